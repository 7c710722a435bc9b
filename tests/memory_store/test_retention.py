"""Entries that expire, and history that is shortened."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.memory_store.helpers import QUERY, add, entry, recalled
from tests.reliability.helpers import NAMESPACE, open_memory, run_script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.agreement import compare
from vitarmm_agent.memory_store.open import open_memory as open_as_set
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import SCHEMA_VERSION
from vitarmm_agent.settings import Settings

SOON = timedelta(days=1)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[ReasoningMemory]:
    opened = open_memory(tmp_path / "memory")
    yield opened
    opened.close()


def now() -> datetime:
    return datetime.now(UTC)


def events(memory: ReasoningMemory) -> int:
    assert memory.journal is not None
    return len(memory.journal.events(NAMESPACE))


def test_what_has_expired_is_not_recalled_but_listed(memory: ReasoningMemory) -> None:
    old, new = entry(expires_at=now() - SOON), entry("Square a quarter.", expires_at=now() + SOON)
    memory.change({old.id: old, new.id: new}, kind="import", reason="")
    assert recalled(memory) == [new.id]
    assert [e.id for e in memory.list(state="expired")] == [old.id]
    assert [e.id for e in memory.list(state="live", limit=5)] == [new.id]
    assert len(memory.list()) == 2
    memory.edit(old.id, {"expires_at": None})
    assert set(recalled(memory)) == {old.id, new.id}
    before = now()
    memory.edit(new.id, {"expires_at": before})
    kept = memory.get(new.id)
    assert kept is not None and kept.state_at(before) == kept.state_at() == "expired"
    assert kept.state_at(before - timedelta(seconds=0.001)) == kept.state == "live"
    assert kept.model_copy(update={"quarantined": True}).state_at() == "quarantined"
    assert recalled(memory) == [old.id]
    assert set(recalled(memory, as_of=before - timedelta(seconds=0.001))) == {old.id, new.id}


def test_what_is_learned_again_after_its_time_is_recalled_again(memory: ReasoningMemory) -> None:
    old = entry(expires_at=now() - SOON)
    memory.change({old.id: old}, kind="import", reason="")
    (written,) = memory.write(add(entry()), run="again", attempt=1)
    assert (written.kind, written.entry_id) == ("merged", old.id)
    assert recalled(memory) == [old.id]
    memory.undo("again")
    assert recalled(memory) == []


def replacing(memory: ReasoningMemory, old: str, new: MemoryEntry) -> None:
    memory.write([Operation(kind="supersede", target=old, entry=new)], run=new.id, attempt=1)


def test_what_it_had_replaced_comes_back_when_it_goes(memory: ReasoningMemory) -> None:
    """And it goes in whatever state it is."""
    lasting = entry("Squares have 4 sides.")
    memory.write(add(lasting), run="a", attempt=1)
    replacing(memory, lasting.id, entry("It is closed today.", id="m-b", expires_at=now() + SOON))
    replacing(memory, "m-b", entry("It is late today.", id="m-c", expires_at=now() + SOON))
    assert recalled(memory) == ["m-c"]
    memory.edit("m-b", {"expires_at": now()})
    assert memory.compact(since=now() - SOON).expired == ("m-b",)
    was = memory.get(lasting.id)
    assert was is not None and was.superseded_by == "m-c"  # which had replaced what replaced it
    memory.edit("m-c", {"expires_at": now()})
    assert memory.compact(since=now() - SOON).expired == ("m-c",)
    assert recalled(memory) == [lasting.id] and not any(compare(memory, NAMESPACE))


def test_when_it_expires_travels_and_older_entries_never_do(memory: ReasoningMemory) -> None:
    kept = entry(expires_at=now() + SOON)
    memory.write(add(kept), run="r", attempt=1)
    file = io.StringIO()
    memory.export(file)
    other = ReasoningMemory(memory.store, ("other",), journal=memory.journal)
    other.import_(io.StringIO(file.getvalue()))
    assert other.list()[0].expires_at == kept.expires_at
    row = json.loads(file.getvalue())
    assert row["schema_version"] == SCHEMA_VERSION == 3
    del row["expires_at"]
    older = MemoryEntry.model_validate(row | {"schema_version": 2})
    assert older.expires_at is None and not older.expired()


def fill(memory: ReasoningMemory) -> tuple[MemoryEntry, MemoryEntry, datetime]:
    """One entry that was edited, one that was forgotten, one that expired; and the time between."""
    one, gone, over = entry(), entry("Draw it."), entry("Ask again.", expires_at=now() - SOON)
    memory.change(
        {one.id: one, gone.id: gone, over.id: over}, kind="import", reason="", run="first"
    )
    memory.edit(one.id, {"title": "second"})
    memory.forget(gone.id)
    between = now()
    memory.edit(one.id, {"title": "third"})
    memory.edit(one.id, {"title": "fourth"})
    return one, over, between


def test_history_is_shortened_and_what_is_gone_is_refused(memory: ReasoningMemory) -> None:
    one, over, between = fill(memory)
    before = events(memory)
    planned = memory.compact(since=between, dry_run=True)
    assert planned.expired == (over.id,) and events(memory) == before
    done = memory.compact(since=between)
    assert done.expired == (over.id,) and done.changes == planned.changes > 0
    assert events(memory) == before + 1 - done.changes
    assert not compare(memory, NAMESPACE)
    assert memory.recall(QUERY, as_of=between).query  # the first moment that is still told of
    with pytest.raises(InputError, match="history before .* was compacted"):
        memory.recall(QUERY, as_of=between - timedelta(seconds=1))
    with pytest.raises(InputError, match="cannot be taken back"):
        memory.undo("first")
    with pytest.raises(InputError, match="no run 'unheard' is known; perhaps"):
        memory.undo("unheard")
    assert memory.journal is not None
    last = memory.journal.events(NAMESPACE, entry_id=one.id)[0].run
    memory.undo(last)
    kept = memory.get(one.id)
    assert kept is not None and kept.title == "third"
    memory.rebuild()
    assert [e.id for e in memory.list()] == [one.id] and not compare(memory, NAMESPACE)
    assert memory.compact(since=between).changes == 0


def test_a_number_of_batches_stays(memory: ReasoningMemory) -> None:
    one, _, _ = fill(memory)
    memory.compact(keep_batches=2)
    assert memory.journal is not None
    titles = [e.after.title for e in memory.journal.events(NAMESPACE, entry_id=one.id) if e.after]
    assert titles[0] == "fourth" and len(titles) <= 3
    with pytest.raises(InputError, match="--older-than"):
        memory.compact()
    with (
        pytest.raises(MemoryStoreError, match="append-only"),
        memory.journal._rows.writing([]) as statements,
    ):
        statements.execute("DELETE FROM events", ())


def test_a_compaction_that_is_killed_is_done_again() -> None:
    run_script("compaction_kills", 3, 9, 16, 22, 26, 30, 34, 40)


def test_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["--memory", str(tmp_path / "memory"), "--json"]
    assert run_app(["memory", "add", "Halve it.", "--expires", "90d", *place]) == 0
    entry_id = json.loads(capsys.readouterr().out)["entry_id"]

    def end_its_time() -> None:
        memory = open_as_set(Settings.load(memory=place[1]))
        assert memory is not None
        memory.edit(entry_id, {"expires_at": datetime(2020, 1, 31, tzinfo=UTC)})
        memory.close()

    end_its_time()
    assert run_app(["memory", "list", "--state", "expired", *place]) == 0
    assert [e["id"] for e in json.loads(capsys.readouterr().out)] == [entry_id]
    assert run_app(["memory", "show", entry_id, *place[:2]]) == 0
    assert "expired" in capsys.readouterr().out
    assert run_app(["memory", "edit", entry_id, "--expires", "90d", *place]) == 0
    assert run_app(["memory", "list", "--state", "expired", *place]) == 0
    assert capsys.readouterr().out.endswith("[]\n")
    assert run_app(["memory", "edit", entry_id, "--expires", "soon", *place]) == 2
    assert "90d" in capsys.readouterr().err
    assert run_app(["memory", "edit", entry_id, "--expires", "2020-01-31T12:00", *place]) == 0
    capsys.readouterr()
    assert run_app(["memory", "compact", "--keep-batches", "1", "--dry-run", *place]) == 0
    assert json.loads(capsys.readouterr().out)["expired"] == [entry_id]
    assert run_app(["memory", "compact", "--keep-since", "90d", "--yes", *place]) == 0
    assert json.loads(capsys.readouterr().out)["expired"] == [entry_id]
    assert run_app(["memory", "compact", *place]) == 2
    assert "say how much history may go" in capsys.readouterr().err
