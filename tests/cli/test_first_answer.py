"""Nothing heavy stands between return and the first token, and the prompt is read by then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vitarmm_agent.prompts import render

HEAVY = ("torch", "transformers", "sentence_transformers", "peft", "accelerate", "xgrammar")


@pytest.mark.weights
def test_solving_imports_no_torch_and_finds_its_prompt_read(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    """Two problems, each in a process of its own, with the memory on disk.

    Before anything is remembered the whole prompt is read while Python imports, then what it surely begins with.
    """
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
    read = []
    for problem in ("What is 2 + 2?", "What is 2 + 3?"):
        done = subprocess.run(
            [sys.executable, "-c", code, problem],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        assert done.stderr.splitlines()[-1] == "[]"
        prefix = json.loads(done.stdout)["attempts"][0]["metadata"]["prefix"]
        read.append((prefix["given"] - prefix["reused"], prefix["reused"]))
    system = len(render("reason_system").split())
    assert read[0][0] <= 1 and read[1][0] > 1 and read[1][1] >= system
