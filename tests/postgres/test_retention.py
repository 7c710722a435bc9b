"""Expiry, compaction, comparison and upkeep where the history is in Postgres."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.memory_store.test_two_machines import by_id, learn, opened
from tests.postgres.conftest import Machine
from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import DatabaseError, InputError, MemoryStoreError
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.memory_store.agreement import compare
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.traces.upkeep import Upkeep

OVER = datetime.now(UTC) - timedelta(days=1)


def test_history_is_shortened_for_all_machines(machine: Machine) -> None:
    one, two = opened(machine("one")), opened(machine("two"))
    other = opened(machine("one", tenant="other"))
    learn(other, "else", "a boat")
    learn(one, "first", "a square")
    two.edit("first-0", {"content": "Squares are odd."})
    between = datetime.now(UTC)
    learn(two, "later", "a train")
    one.edit("later-0", {"expires_at": OVER})
    assert one.journal is not None
    count = len(one.journal.events(one.namespace))
    planned = one.compact(since=between, dry_run=True)
    assert (planned.expired, planned.changes) == (("later-0",), 1)
    assert len(two.journal.events(two.namespace)) == count  # type: ignore[union-attr]
    assert one.compact(since=between) == planned
    assert list(by_id(two)) == ["first-0"] and not compare(two, two.namespace)
    assert two.rebuild() == 1 and two.compact(since=between).changes == 0
    with pytest.raises(InputError, match="compacted"):
        two.undo("first")
    with pytest.raises(InputError, match="compacted"):
        two.recall("a square", as_of=between - timedelta(hours=1))
    assert other.undo("else") == ["else-0"]  # another memory's history is whole
    with (
        pytest.raises(DatabaseError, match="append-only"),
        one.journal._rows.writing([]) as statements,
    ):
        statements.execute("DELETE FROM events", ())


def test_a_folder_is_compared_with_the_database(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "memory"
    before = opened(machine("one", memory=str(folder), database=None))
    learn(before, "before", "a boat")
    before.close()
    settings = machine("one", memory=str(folder))
    memory = opened(settings)  # what was written before the database was named is no loss
    learn(memory, "one", "a square")
    memory.close()
    older = (folder / "items.sqlite").read_bytes()
    memory = opened(settings)
    learn(memory, "two", "a train")
    memory.close()
    (folder / "items.sqlite").write_bytes(older)
    with pytest.raises(MemoryStoreError, match="lack 1 changes.*reindex"):
        open_memory(settings)
    command = ["memory", "check", "--memory", str(folder), "--json"]
    assert run_app([*command, "--database", str(settings.database_address)]) == 2
    (row,) = json.loads(capsys.readouterr().out)
    assert row["missing"] == ["two-0"] and row["unknown"] == ["before-0"]


def test_upkeep(machine: Machine, tmp_path: Path) -> None:
    settings = machine("one", keep_runs="0min", keep_history="0min")
    reasoner = script(tmp_path / "r.json", RIGHT)
    agent = ReasoningAgent.open(reasoner=reasoner, max_iterations=1, settings=settings)
    agent.solve(QUESTION, thread_id="t")
    assert agent.memory is not None
    learn(agent.memory, "one", "a square")
    agent.memory.edit("one-0", {"expires_at": OVER})
    done = Upkeep(settings, open_traces(settings)).once()
    assert done.runs == 1 and done.expired == 1 and done.changes > 0
    assert agent.memory.list() == []
