"""Tags and notes on runs: kept beside the checkpoints, found again, and gone with their run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import SqliteCheckpoints, open_checkpoints, read_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import Remark, RunFilter, RunIndex, note_run, read_trace


def begun(kept: Any, *threads: str) -> None:
    """Runs that have just been given their problem."""
    for thread in threads:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {
            "problem": {"text": f"What is {thread}?"},
            "status": "failed",
        }
        checkpoint["channel_versions"] = {"problem": "1", "status": "1"}
        at: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        kept.put(at, checkpoint, {"source": "input"}, checkpoint["channel_versions"])


def walk(kept: Any) -> None:
    """Tag, note, find, change, and delete."""
    begun(kept, "one", "two")
    index = RunIndex(kept)
    assert index.page(RunFilter(tag="hard")).total == 0
    note_run(
        kept, "one", add=["hard", " to   discuss "], note=" It reads <b>the figure</b> wrong. "
    )
    note_run(kept, "two", add=["harder"])
    found = index.page(RunFilter(tag="hard")).runs
    assert [(run.thread_id, run.tags) for run in found] == [("one", ("hard", "to discuss"))]
    assert index.page(RunFilter(text="FIGURE")).runs[0].note == "It reads <b>the figure</b> wrong."
    assert index.tags() == ["hard", "harder", "to discuss"]
    assert note_run(kept, "one", add=["new"], remove=["hard"]).tags == ("new", "to discuss")
    assert index.page(RunFilter(tag="hard")).total == 0
    assert read_trace(kept, "one").remark.note == "It reads <b>the figure</b> wrong."
    for wrong, words in (
        ({"add": ["x" * 41]}, "up to 40 characters"),
        ({"add": [f"t{n}" for n in range(20)]}, "at most 20"),
        ({"add": ["a,b"]}, "a word or a few"),
        ({"add": ["\x1b[31m"]}, "a word or a few"),
        ({"note": "x" * 4_001}, "at most 4000"),
    ):
        with pytest.raises(InputError, match=words):
            note_run(kept, "one", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no run"):
        note_run(kept, "three", note="x")
    kept.delete_thread("one")
    assert kept.remarks() == {"two": '{"tags":["harder"],"note":""}'}
    note_run(kept, "two", tags=[])
    assert kept.remarks() == {} and index.tags() == []


def test_remarks_in_a_file(tmp_path: Path) -> None:
    walk(open_checkpoints(tmp_path / "traces.sqlite"))


def test_remarks_in_a_database(tmp_path: Path) -> None:
    from tests.postgres.server import PostgresServer, programs

    if programs() is None:
        pytest.skip("needs Postgres: apt-get install postgresql, or pip install pgserver")
    from vitarmm_agent.graphs.open_checkpoints import open_traces

    server = PostgresServer()
    try:
        kept = open_traces(Settings.load(database=server.new("remarks")))
        walk(kept)
        kept.close()
    finally:
        server.remove()


def test_a_file_without_remarks_or_with_strange_ones_is_read(tmp_path: Path) -> None:
    """It is of an earlier version, or was mailed."""
    path = tmp_path / "traces.sqlite"
    kept = open_checkpoints(path)
    begun(kept, "one")
    kept.remark("one", "[" * 10_000)
    assert read_trace(kept, "one").remark == Remark() and RunIndex(kept).page().total == 1
    kept.conn.execute("DROP TABLE remarks")
    kept.conn.commit()
    kept.close()
    old = read_checkpoints(path)
    assert isinstance(old, SqliteCheckpoints) and read_trace(old, "one").remark == Remark()
    with pytest.raises(InputError, match="InMemorySaver"):
        note_run(InMemorySaver(), "one", note="x")


def test_the_command_line_tags_notes_and_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path))
    kept = open_checkpoints(Settings.load().checkpoints_path)
    begun(kept, "run-one", "run-two")

    def said(*arguments: str) -> str:
        assert run_app([*arguments]) == 0
        return capsys.readouterr().out

    assert "hard, to do" in said("trace", "tag", "run-one", "hard", "to do")
    assert "wrong figure" in said("trace", "note", "run-one", "wrong figure")
    assert json.loads(said("trace", "tag", "run-one", "--remove", "to do", "--json"))["tags"] == [
        "hard"
    ]
    listed = said("trace", "list", "--tag", "hard")
    assert "[hard] What is run-one?" in listed and "run-two" not in listed
    shown = said("trace", "show", "run-one")
    assert "tags     hard" in shown and "note     wrong figure" in shown
    assert run_app(["trace", "tag", "run-one", "a,b"]) == 2
    assert "a word or a few" in capsys.readouterr().err
