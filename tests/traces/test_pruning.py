"""Old runs go; what can be gone on with, and what is kept by number, stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.ages import age
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import SqliteCheckpoints
from vitarmm_agent.traces.pruning import prunable
from vitarmm_agent.verifiers import FeedbackPolicy, Function, Human


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReasoningAgent:
    """With runs ``old``, ``failed``, ``waiting`` and ``new``, in this order."""
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path))
    fails = FeedbackPolicy((Function(lambda problem, attempt: False),))
    for name, feedback in (
        ("old", None),
        ("failed", fails),
        ("waiting", FeedbackPolicy((Human(),))),
        ("new", None),
    ):
        options = {} if feedback is None else {"feedback": feedback}
        agent = ReasoningAgent.open(
            reasoner=script(tmp_path / "r.json", RIGHT), memory="off", max_iterations=1, **options
        )
        agent.solve(QUESTION * 20, thread_id=name)
    return agent


LATER = datetime.now(UTC) + timedelta(days=40)


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ({"older_than": timedelta(days=30)}, ["new", "failed", "old"]),
        ({"older_than": timedelta(days=90)}, []),
        ({"keep_last": 1}, ["failed", "old"]),
        ({"keep_last": 9}, []),
        ({"older_than": timedelta(days=30), "failed_only": True}, ["failed"]),
        ({"older_than": timedelta(days=30), "keep_last": 3}, ["old"]),
    ],
)
def test_which_runs_go(agent: ReasoningAgent, wanted: dict[str, object], goes: list[str]) -> None:
    found = prunable(agent.graph.checkpointer, now=LATER, **wanted)  # type: ignore[arg-type]
    assert [run.thread_id for run in found] == goes


def test_the_command_says_what_would_go_and_gives_the_space_back(
    agent: ReasoningAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces, saver = tmp_path / "traces.sqlite", agent.graph.checkpointer
    assert isinstance(saver, SqliteCheckpoints)
    saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = traces.stat().st_size
    assert run_app(["trace", "prune", "--keep-last", "1", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "would delete 2 runs" in shown and "failed" in shown and traces.stat().st_size == before
    assert run_app(["trace", "prune", "--keep-last", "1", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": ["failed", "old"], "dry_run": False}
    assert traces.stat().st_size < before
    assert agent.result("waiting").status == "interrupted" and agent.result("new").answer == "25"
    with pytest.raises(InputError):
        agent.result("old")


@pytest.mark.parametrize(
    ("text", "hours"),
    [("30d", 720), ("12h", 12), ("8 weeks", 1344), ("90 min", 1.5), ("1 Day", 24)],
)
def test_ages(text: str, hours: float) -> None:
    assert age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "30", "-3d", "3 months", "9999999d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InputError, match="30d"):
        age(text)


def test_it_is_not_told_to_delete_everything_by_accident(
    agent: ReasoningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["trace", "prune", "--yes"]) == 2
    assert "say which runs may go" in capsys.readouterr().err
