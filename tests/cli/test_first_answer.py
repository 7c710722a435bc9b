"""Nothing heavy stands between return and the first token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "sentence_transformers", "peft", "accelerate", "xgrammar")


@pytest.mark.weights
def test_solving_remembering_and_recalling_import_no_torch(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    """Two problems, each in a process of its own, with the memory on disk."""
    weights("smollm2-135m-instruct"), weights("all-minilm-l6-v2")
    code = f"""
import sys
from vitarmm_agent.cli import main
sys.argv = ["vitarmm", "solve", sys.argv[1], "--reasoner", "local:smollm2-135m-instruct",
            "--max-iterations", "1", "--json"]
try:
    main()
except SystemExit:
    pass
sys.stderr.write("\\n" + repr(sorted(set(sys.modules) & set({HEAVY!r}))))
"""
    environment = os.environ | {"VITARMM_MAX_TOKENS": "60", "VITARMM_CONTEXT": "4096"}
    for problem in ("What is 2 + 2?", "What is 2 + 3?"):
        done = subprocess.run(
            [sys.executable, "-c", code, problem],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        assert '"status"' in done.stdout
        assert done.stderr.splitlines()[-1] == "[]"
