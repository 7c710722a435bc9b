"""What a journal tells: batches of changes, and each change as an event; and how rows are read as such."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.schema import MemoryEntry

REMEDY = (
    "move it away and begin a new one from the entries as they are with: vitarmm memory reindex"
)


class Change(BaseModel):
    """One entry before and after; None where it did not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    entry_id: str
    before: MemoryEntry | None
    after: MemoryEntry | None
    reason: str = ""


@dataclass(frozen=True)
class Batch:
    """Changes made together.

    Attributes:
        key: unique in its memory, so that the same batch is never carried out twice.
        run: what made them: a run's thread id, or a name for a person's command.
        result: what the caller was answered, as JSON.
    """

    key: str
    run: str
    attempt: int
    changes: tuple[Change, ...]
    result: Any = None
    time: float = 0.0


@dataclass(frozen=True)
class JournalEvent:
    """A change as it stands in the journal."""

    seq: int
    kind: str
    entry_id: str
    before: MemoryEntry | None
    after: MemoryEntry | None
    reason: str
    time: datetime
    run: str
    attempt: int


def read_event(row: tuple[Any, ...]) -> JournalEvent:
    """An event of its columns."""
    seq, kind, entry_id, before, after, reason, time, run, attempt = row
    return JournalEvent(
        seq=seq,
        kind=kind,
        entry_id=entry_id,
        before=before and read_entry(before),
        after=after and read_entry(after),
        reason=reason,
        time=datetime.fromtimestamp(time, UTC),
        run=run,
        attempt=attempt,
    )


def read_change(kind: str, entry_id: str, reason: str, *states: str | None) -> Change:
    """A change of its columns."""
    before, after = (state and read_entry(state) for state in states)
    return Change(kind=kind, entry_id=entry_id, before=before, after=after, reason=reason)


def entry_json(entry: MemoryEntry | None) -> str | None:
    """An entry as it is kept."""
    return None if entry is None else entry.model_dump_json()


def read_entry(text: str) -> MemoryEntry:
    """An entry as it was kept.

    Raises:
        MemoryStoreError: it is damaged.
    """
    try:
        return MemoryEntry.model_validate_json(text)
    except ValidationError as error:  # of an earlier version: its rows have no sums
        raise MemoryStoreError(f"the journal is damaged: {error}; {REMEDY}") from None
