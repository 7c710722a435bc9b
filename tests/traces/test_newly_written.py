"""The list of runs while runs are written: what has changed is read, and it is what all of it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.traces import RunIndex


def test_what_was_written_since_is_seen_without_looking_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = open_checkpoints(tmp_path / "traces.sqlite")
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", *[RIGHT] * 9),
        feedback="arithmetic",
        memory="off",
        checkpointer=kept,
    )
    index = RunIndex(open_checkpoints(tmp_path / "traces.sqlite"))
    looks: list[int] = []
    look_at_all = index._look_at_all
    monkeypatch.setattr(index, "_look_at_all", lambda: (looks.append(1), look_at_all()))

    def seen() -> list[str]:
        found, whole = index.page(limit=9), RunIndex(kept).page(limit=9)
        assert found == whole
        return [run.thread_id for run in found.runs]

    def solve(name: str) -> None:
        agent.graph.invoke({"problem": {"text": QUESTION}}, {"configurable": {"thread_id": name}})

    for name in ("one", "two"):
        solve(name)
    assert seen() == ["two", "one"] and len(looks) == 1
    solve("three")
    solve("one")
    assert seen() == ["three", "two", "one"] and len(looks) == 1
    kept.delete_thread("two")
    assert seen() == ["three", "one"] and len(looks) == 2
    rows = kept.conn.execute("SELECT count(*) FROM checkpoints").fetchone()
    kept.delete_thread("one")
    solve("five")
    solve("five")  # in the very rows that another run had
    assert kept.conn.execute("SELECT count(*) FROM checkpoints").fetchone() == rows
    assert seen() == ["five", "three"]
