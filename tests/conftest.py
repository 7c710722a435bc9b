"""What every test may use. Real parts only: real Chroma, real SQLite, real embedder."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait spin: beside others they slow all

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep each test's memory, traces and images out of the user's."""
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VITARMM_CONFIG", str(tmp_path / "vitarmm.toml"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def own_root_logger() -> Iterator[None]:
    """Take away what a library hung on the root logger: it would print beside later tests' output."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of benchmark data and proof files beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"benchmark data is not at {SHARED}; see CONTRIBUTING.md")
    return SHARED


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Path]:
    """``weights(name)``: path of pulled weights; skips where they are not on this machine."""
    from vitarmm_agent.errors import WeightsError
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.weights import resolve

    home = Settings.load().home

    def find(name: str) -> Path:
        try:
            return resolve(name, home)
        except WeightsError as error:
            pytest.skip(str(error))

    return find


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of this tree."""
    tree, folder = tmp_path_factory.mktemp("tree") / "source", tmp_path_factory.mktemp("dist")
    left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=left_out)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(tree)], check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a ``.jsonl`` or ``.jsonl.gz`` file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
