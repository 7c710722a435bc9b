"""The demo tells its story with any model, and leaves the user's own memory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scripts import nothing, script
from vitarmm_agent import Settings
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.traces import list_runs, read_trace

WRONG = "1. It is 1 + 1 = 2.\nAnswer: 2"


@pytest.mark.weights
def test_a_kind_that_is_solved_wrong_is_taught_and_shown(
    tmp_path: Path,
    own_data_dir: Path,
    weights: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights("all-minilm-l6-v2")
    monkeypatch.setenv("VITARMM_REASONER", script(tmp_path / "r.json", *[WRONG] * 9))
    monkeypatch.setenv("VITARMM_RMM", script(tmp_path / "w.json", *[nothing()] * 9))
    kept = tmp_path / "kept"
    assert run_app(["demo", "--keep", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert "problem 2: answer 2 (failed)" in shown
    assert "Taught once" in shown and shown.count("✗") == 6
    assert not list(own_data_dir.rglob("*")), "nothing is the user's own"
    memory = open_memory(Settings.load(data_dir=kept))
    assert memory is not None
    (entry,) = [entry for entry in memory.list() if entry.example]
    memory.close()
    checkpoints = open_checkpoints(kept / "traces.sqlite")
    runs = [read_trace(checkpoints, run.thread_id).result for run in list_runs(checkpoints)]
    helped = [run for run in runs if entry.id in run.attempts[0].recalled]
    assert len(helped) == 3, "each of the others is shown the example"
