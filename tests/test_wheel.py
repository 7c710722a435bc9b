"""The wheel, built from this tree and used where an app has its own prompts/ and graphs/."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = """
import graphs, prompts
import vitarmm_agent
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.memory_store import ReasoningMemory
from langgraph.store.memory import InMemoryStore

assert graphs.OWNER == prompts.OWNER == "the app"
assert "site-packages" in vitarmm_agent.__file__, vitarmm_agent.__file__
agent = ReasoningAgent.open(
    reasoner="scripted:replies.json", feedback="arithmetic", memory="off",
)
print(agent.solve("What is 3 times 4?").answer)
"""


def test_the_wheel_holds_real_files_and_nothing_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vitarmm_agent"}
    assert "vitarmm_agent/graphs/reasoning.py" in names
    assert "vitarmm_agent/prompts/problem.md" in names
    assert "vitarmm_agent/memory_store/schema.py" in names
    assert "vitarmm_agent/evals/run/runner.py" in names
    assert "vitarmm_agent/evals/report/templates/report.html" in names
    assert "vitarmm_agent/py.typed" in names


def test_the_wheel_holds_no_benchmarks_of_ours(wheel: Path) -> None:
    """What measures this package is run from a checkout."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [n for n in names if "/evals/speed" in n or "/evals/studies" in n] == []
    data = [n for n in names if n.endswith(".jsonl")]
    assert data == ["vitarmm_agent/evals/datasets/recurring.jsonl"], (
        "what `eval siblings` and the demo need"
    )


def test_it_works_beside_an_apps_own_prompts_and_graphs(wheel: Path, tmp_path: Path) -> None:
    venv, app = tmp_path / "venv", tmp_path / "app"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    for folder in ("prompts", "graphs"):
        (app / folder).mkdir(parents=True)
        (app / folder / "__init__.py").write_text('OWNER = "the app"\n')
    (app / "replies.json").write_text(json.dumps(["1. 3 * 4 = 12\nAnswer: 12"]))
    (app / "program.py").write_text(PROGRAM)
    environment = os.environ | {
        "PYTHONPATH": sysconfig.get_paths()["purelib"],  # the dependencies, without the source tree
        "VITARMM_DATA_DIR": str(tmp_path / "data"),
    }
    shown = subprocess.run(
        [str(venv / "bin" / "python"), "program.py"],
        cwd=app,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.strip() == "12", shown.stderr


@pytest.mark.slow
@pytest.mark.timeout(2400)  # without a cache it reads all that the app imports
def test_mypy_reads_an_app_on_the_wheel(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    shutil.copy(ROOT / "docs" / "examples" / "sample_app.py", tmp_path)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable",
         str(venv / "bin" / "python"), "sample_app.py"],
        cwd=tmp_path, capture_output=True, text=True,
        env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
