"""The wheel in an environment of its own, on the newest Python there is, runs README's program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import ROOT, script
from tests.docs.test_code_blocks import blocks_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def pythons() -> list[str]:
    """This Python, and the newest other one on the machine."""
    candidates = [
        *Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python"),
        *(Path(found) for v in range(30, 11, -1) if (found := shutil.which(f"python3.{v}"))),
    ]
    newest = max(candidates, key=version_of, default=Path(sys.executable))
    return list(dict.fromkeys([sys.executable, str(newest)]))


def version_of(python: Path) -> tuple[int, ...]:
    shown = subprocess.run([python, "--version"], capture_output=True, text=True).stdout
    return tuple(int(number) for number in re.findall(r"\d+", shown)[:3])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "-o", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.parametrize("python", pythons())
def test_readme_program(wheel: Path, tmp_path: Path, python: str) -> None:
    """Without the extra `local`: torch has no wheel for every Python. Memory needs an embedder."""
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    own = tmp_path / "venv" / "bin" / "python"
    install = [own, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True)
    (tmp_path / "script.json").write_text(json.dumps(script()), encoding="utf-8")
    program = next(b.code for b in blocks_of(ROOT / "README.md") if b.language == "python")
    environment = {
        "PATH": os.environ["PATH"],
        "VITARMM_REASONER": f"scripted:{tmp_path / 'script.json'}",
        "VITARMM_MEMORY": "off",
        "VITARMM_DATA_DIR": str(tmp_path / "data"),
    }
    done = subprocess.run(
        [own, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("25 passed ")
