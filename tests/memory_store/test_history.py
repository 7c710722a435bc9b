"""What a memory's journal is for: time travel, undo, rebuilding, completing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.memory_store.conftest import OpenStore, stores
from tests.memory_store.helpers import QUERY, SQUARE, add, entry, recalled
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.entry_store import entry_value
from vitarmm_agent.memory_store.journal import Batch, Journal
from vitarmm_agent.memory_store.operations import Operation, VerdictEffect
from vitarmm_agent.memory_store.schema import Provenance


@stores("in-memory", "sqlite", "chroma-folder")
def test_recall_as_it_was(memory: ReasoningMemory) -> None:
    moments: list[datetime] = []

    def tick() -> None:
        time.sleep(0.01)
        moments.append(datetime.now(UTC))
        time.sleep(0.01)

    one, two = entry(), entry("Use the diagonal.")
    tick()
    memory.write(add(one), run="r", attempt=1)
    tick()
    memory.write([Operation(kind="supersede", target=one.id, entry=two)], run="r", attempt=2)
    tick()
    memory.edit(two.id, {"applies_when": "a square has a perimeter, its area is wanted"})
    tick()
    memory.forget(two.id)
    tick()
    then = [recalled(memory, as_of=moment) for moment in moments]
    assert then == [[], [one.id], [two.id], [two.id], []]
    was = memory.recall(QUERY, as_of=moments[2]).entries[0].entry
    assert was.applies_when == SQUARE
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert recalled(memory, as_of=long_ago) == []
    journal = memory.journal
    assert journal is not None
    for moment, there in zip(
        moments, ([], [one.id], [one.id, two.id], [one.id, two.id], [one.id]), strict=True
    ):
        pages = [
            [e.id for e in journal.entries(memory.namespace, moment, limit=1, offset=place)]
            for place in range(3)
        ]
        assert sum(pages, []) == there == [e.id for e in journal.entries(memory.namespace, moment)]


@stores("in-memory", "sqlite", "chroma-folder")
def test_undo_takes_back_what_one_run_wrote(memory: ReasoningMemory) -> None:
    old = entry("The side is the perimeter divided by 4.")
    memory.write(add(old), run="first", attempt=1)
    before = memory.get(old.id)
    new = entry("Use the diagonal.")
    memory.write([Operation(kind="supersede", target=old.id, entry=new)], run="second", attempt=1)
    memory.credit([old.id], "pass", run="third", attempt=1)
    assert set(memory.undo("second")) == {old.id, new.id}
    assert memory.get(new.id) is None
    after = memory.get(old.id)
    assert after is not None and before is not None
    assert after.superseded_by is None and after.helpful == 1  # the third run's credit stays
    assert after.content == before.content and recalled(memory) == [old.id]
    run = memory.forget(old.id)
    assert memory.get(old.id) is None
    memory.undo(run)
    assert memory.get(old.id) == after
    with pytest.raises(InputError, match="no run"):
        memory.undo("no such run")


@stores("in-memory", "chroma-folder")
def test_undo_leaves_what_other_runs_did_in_between(memory: ReasoningMemory) -> None:
    """Two runs of two machines count, in turns, for an entry that a person edits meanwhile."""
    one = entry("The side is the perimeter divided by 4.")
    memory.write(add(one), run="first", attempt=1)
    memory.credit([one.id], "pass", run="a", attempt=1)
    memory.credit([one.id], "pass", run="b", attempt=1)
    memory.edit(one.id, {"title": "Sides"})
    memory.credit([one.id], "fail", run="a", attempt=2)
    assert memory.undo("a") == [one.id]
    left = memory.get(one.id)
    assert left is not None and (left.used, left.helpful, left.harmful) == (1, 1, 0)
    assert left.title == "Sides"
    memory.forget(one.id)
    assert memory.undo("b") == [one.id] and memory.get(one.id) is None  # it is not brought back


@stores("in-memory", "chroma-folder")
def test_a_run_is_taken_back_once(memory: ReasoningMemory) -> None:
    """However often, and by whichever command, it is asked for; unless the undo is undone."""
    assert memory.journal is not None
    one = entry("The side is the perimeter divided by 4.")
    memory.write(add(one), run="first", attempt=1)
    for run in ("a", "b", "a/judged-1"):
        memory.credit([one.id], "pass", run=run, attempt=1)

    def used() -> int:
        found = memory.get(one.id)
        assert found is not None
        return found.used

    memory.undo("a")
    with pytest.raises(InputError, match="'a' was taken back before"):
        memory.undo("a")
    assert used() == 2
    undone = memory.journal.events(memory.namespace)[0].run
    memory.undo(undone)
    assert used() == 3  # a counts again
    memory.undo("a")
    assert used() == 2
    memory.credit([one.id], "pass", run="a", attempt=2)  # the run went on
    memory.undo("a")
    assert used() == 2
    judged = VerdictEffect(Provenance(run="a/judged-1", attempt=1), "pass", (one.id,))
    memory.undo("a/judged-1")
    assert memory.retract([judged], by="a/judged-2") == [one.id] and used() == 1
    with pytest.raises(InputError, match="taken back before"):
        memory.undo("a/judged-1")
    kept = memory.forget(one.id)
    memory.undo(kept)
    memory.edit(one.id, {"title": "Sides"})
    with pytest.raises(InputError, match="taken back before"):
        memory.undo(kept)
    left = memory.get(one.id)
    assert left is not None and left.title == "Sides"


@stores("in-memory", "sqlite", "chroma-folder")
def test_rebuild_from_the_journal(memory: ReasoningMemory, open_store: OpenStore) -> None:
    entries = [entry(f"Fact {n}.", applies_when=f"word{n} other{n}") for n in range(5)]
    memory.write(add(*entries), run="r", attempt=1)
    memory.credit([entries[0].id], "pass", run="r", attempt=2)
    memory.forget(entries[1].id)
    wanted = sorted(memory.list(), key=lambda e: e.id)
    moment = datetime.now(UTC)
    memory.edit(entries[2].id, {"applies_when": "something new"})
    for one in entries:  # lose and damage what the store holds
        memory.store.delete(memory.entry_store.entries, one.id)
    memory.store.put(memory.entry_store.entries, "m-stray", entry_value(entry(id="m-stray")))
    for item in memory.store.search(memory.entry_store.past, limit=100):
        memory.store.delete(item.namespace, item.key)
    assert memory.rebuild() == 4
    rebuilt = {e.id: e for e in memory.list()}
    assert rebuilt.keys() == {e.id for e in wanted} | {"m-stray"}  # not the journal's to delete
    assert [rebuilt[e.id] for e in wanted if e.id != entries[2].id] == [
        e for e in wanted if e.id != entries[2].id
    ]
    assert recalled(memory, "word3 other3") == [entries[3].id]
    assert recalled(memory, "word2 other2") == []
    assert recalled(memory, "word2 other2", as_of=moment) == [entries[2].id]
    # A resumed run is still known, although its mark in the store may be lost.
    memory.store.delete(memory.entry_store.batches, "write:r:1")
    assert len(memory.write(add(*entries), run="r", attempt=1)) == 5
    assert len(memory.list()) == 5


@stores("chroma-folder")
def test_a_killed_write_is_completed_by_the_next(memory: ReasoningMemory) -> None:
    """The journal has the batch, the store has not: as after a kill between the two."""
    one = entry()
    scratch = ReasoningMemory(
        type(memory.store)(index=memory.store.index_config),  # type: ignore[attr-defined,call-arg]
        memory.namespace,
        journal=Journal(None),
    )
    written = scratch.write(add(one), run="dead", attempt=1)
    batch = scratch.journal.batch(memory.namespace, "write:dead:1")  # type: ignore[union-attr]
    assert batch is not None and memory.journal is not None
    memory.journal.append(memory.namespace, batch)
    assert memory.get(one.id) is None
    memory.credit([], "pass", run="other", attempt=1)
    assert memory.get(one.id) is not None
    assert memory.write(add(one), run="dead", attempt=1) == written


def test_the_journal_only_grows(tmp_path: Path) -> None:
    import sqlite3

    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(("a",), Batch("k", "r", 1, (), [], 0.0))
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("INSERT INTO events (batch, namespace, kind, entry_id, reason, time)"
                   " VALUES (1, 'n', 'add', 'm', '', 0)")  # fmt: skip
        for change in ("DELETE FROM events", "UPDATE events SET reason = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(change)


def test_a_journal_that_another_process_replaced_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    (tmp_path / "journal.sqlite").rename(tmp_path / "aside.sqlite")
    for use in (journal.namespaces, lambda: journal.append(("team",), Batch("k", "r", 1, ()))):
        with pytest.raises(MemoryStoreError, match="replaced or removed"):
            use()
