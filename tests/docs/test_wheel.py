"""The wheel in an environment of its own, without extras, on the newest Python there is too.

torch has no wheel for every Python; nothing here needs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.conftest import ATTEMPT, ROOT, script
from tests.docs.hosted import hosted_model
from tests.docs.test_code_blocks import blocks_of
from tests.docs.test_examples import serving
from tests.scripts import QUESTION
from vitarmm_agent import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200, func_only=True)]
USE_IT_FROM = ROOT / "docs" / "use-it-from.md"
KEY = "a-key-that-is-long-enough"


def newest_python() -> str:
    """The newest one on the machine; skips where that is this one."""
    candidates = [
        *Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python"),
        *(Path(found) for v in range(30, 11, -1) if (found := shutil.which(f"python3.{v}"))),
    ]
    newest = max(candidates, key=version_of, default=Path(sys.executable))
    if version_of(newest) == sys.version_info[:3]:
        pytest.skip("there is no newer Python here")
    return str(newest)


def version_of(python: Path) -> tuple[int, ...]:
    shown = subprocess.run([python, "--version"], capture_output=True, text=True).stdout
    return tuple(int(number) for number in re.findall(r"\d+", shown)[:3])


class Installed:
    """The wheel and nothing but what it asks for, in an environment and a home of its own."""

    def __init__(self, python: str, wheel: Path, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
        install = [self.python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
        subprocess.run(install, check=True)
        (folder / "script.json").write_text(json.dumps(script()), encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        return own | {"VITARMM_REASONER": "scripted:script.json"} | more

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python WORDS`` in its folder."""
        return subprocess.run(
            [self.python, *words], cwd=self.folder, env=self.environment(**more),
            capture_output=True, text=True,
        )  # fmt: skip


@pytest.fixture(scope="module", params=["this", "newest"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    python = sys.executable if request.param == "this" else newest_python()
    return Installed(python, wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture
def cached(weights: Callable[[str], Path]) -> dict[str, str]:
    """Where the embedder's weights are."""
    weights("all-minilm-l6-v2")
    return {"VITARMM_HOME": str(Settings.load().home)}


def test_readme_program(installed: Installed, cached: dict[str, str]) -> None:
    program = next(b.code for b in blocks_of(ROOT / "README.md") if b.language == "python")
    done = installed.run("-c", program, **cached)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("25 abstained ")
    assert second == "25 ['left after Y days']"


COMMAND = ("-m", "vitarmm_agent.cli")
SIBLING = "A square has a perimeter of 36 cm. What is its area?"


def test_with_a_hosted_model_it_remembers_recalls_and_serves(
    installed: Installed, cached: dict[str, str]
) -> None:
    model, asked = hosted_model()
    with serving(model) as url:
        own = {"VITARMM_REASONER": "openai:some-model", "VITARMM_BASE_URL": f"{url}/v1", **cached}
        first = installed.run(*COMMAND, "solve", QUESTION, "--thread", "monday", "--json", **own)
        assert json.loads(first.stdout)["answer"] == "25", first.stderr
        taught = installed.run(*COMMAND, "teach", "monday", "--solution", ATTEMPT, **own)
        assert taught.returncode == 0, taught.stderr
        shown = installed.run(*COMMAND, "solve", SIBLING, "--json", **own)
        (recalled,) = json.loads(shown.stdout)["recalled"][0]["entries"]
        assert recalled["entry"]["example"]["problem"] == QUESTION
        earlier_turn = asked[-1]["messages"][1]
        assert earlier_turn["role"] == "user" and QUESTION in earlier_turn["content"]
        with chat_server(installed, **own) as served:
            client = next(b.code for b in blocks_of(USE_IT_FROM) if "OpenAI()" in b.code)
            told = installed.run("-c", client, OPENAI_BASE_URL=served, OPENAI_API_KEY=KEY)
    assert told.stdout == f"{ATTEMPT}\n", told.stderr


@contextmanager
def chat_server(installed: Installed, **own: str) -> Iterator[str]:
    """``vitarmm serve`` of the wheel."""
    process = subprocess.Popen(
        [installed.python, *COMMAND, "serve", "--port", "0"], cwd=installed.folder, text=True,
        env=installed.environment(**own, VITARMM_API_KEY=KEY), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "vitarmm serve at " in line, line + process.stderr.read()
        yield line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("mcp", "mcp"),
        ("solve x --reasoner local:.", "torch"),
        ("solve x --images ocr", "ocr"),
        ("solve x --database postgresql://127.0.0.1/x", "postgres"),
        ("eval --gsm8k-path hub:a/b --output-dir o", "eval"),
        ("eval --problems-path p.jsonl --output-dir o --cluster local", "cluster"),
        ("train --data-path p.jsonl --output-dir o", "train"),
    ],
)
def test_a_door_that_needs_an_extra_names_it(installed: Installed, words: str, extra: str) -> None:
    row = {"id": "a", "text": "What is 5?", "reference": "5"}
    (installed.folder / "p.jsonl").write_text(json.dumps(row))
    (installed.folder / "config.json").write_text("{}")
    refused = installed.run(*COMMAND, *words.split(), VITARMM_MEMORY="off")
    assert refused.returncode == 2
    assert f'pip install "vitarmm-agent[{extra}]"' in refused.stderr
