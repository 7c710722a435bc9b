"""An append-only history of one or more memories.

Every change of an entry is an event with the entry as it was left. The history is what time travel,
``undo`` and ``rebuild`` read. A batch of events is written before the store is, and marked when the
store has it; what a killed process left unmarked is carried out by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.journal_rows import JournalRows, Row, SqliteRows, Statements
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.locks import Lock, OneProcess
from vitarmm_agent.memory_store.store.names import namespace_labels, namespace_text

ALL = 2**62
"""Events, where there is no limit."""


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


class Journal:
    """The history of the memories in one store. Safe for threads and processes."""

    def __init__(self, place: Path | JournalRows | None) -> None:
        """Open or make a file, or use rows that are kept elsewhere; None keeps it in memory.

        Raises:
            MemoryStoreError: the file cannot be made, or is damaged.
        """
        self._opened = OneProcess(f"journal {str(place)!r}")
        self._rows: JournalRows = (
            SqliteRows(place) if place is None or isinstance(place, Path) else place
        )

    def lock(self, namespaces: Iterable[Sequence[str]]) -> Lock | None:
        """What keeps all other writers of these memories out, wherever they are; None: nobody else.

        A file has one for all of its memories.
        """
        return self._rows.lock([self._name(namespace) for namespace in namespaces])

    def append(self, namespace: Sequence[str], batch: Batch) -> None:
        """Write a batch; durable when this returns.

        Raises:
            MemoryStoreError: the file cannot be written, or has a batch of this key already.
        """
        self.append_all([(namespace, batch)])

    def append_all(self, batches: Sequence[tuple[Sequence[str], Batch]]) -> None:
        """Write batches, each with its namespace; all are durable when this returns, or none is.

        Raises:
            MemoryStoreError: the file cannot be written, or has a batch of such a key already.
        """
        named = [(self._name(namespace), batch) for namespace, batch in batches]
        with self._transaction([name for name, _ in named]) as statements:
            for name, batch in named:
                self._append(statements, name, batch)

    def _append(self, statements: Statements, text: str, batch: Batch) -> None:
        ((number,),) = statements.execute(
            "INSERT INTO batches (namespace, key, run, attempt, time, result)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (text, batch.key, batch.run, batch.attempt, batch.time, json.dumps(batch.result)),
        )
        statements.execute_many(
            "INSERT INTO events (batch, namespace, kind, entry_id, before, after, reason, time)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    text,
                    change.kind,
                    change.entry_id,
                    _json(change.before),
                    _json(change.after),
                    change.reason,
                    batch.time,
                )
                for change in batch.changes
            ],
        )

    def mark_applied(self, namespace: Sequence[str], key: str) -> None:
        """Note that the store has the batch of this key."""
        self.mark_all_applied([(namespace, key)])

    def mark_all_applied(self, batches: Sequence[tuple[Sequence[str], str]]) -> None:
        """Note that the store has these batches, each given by namespace and key.

        The note need not survive a power cut: a batch would be carried out again, to no effect.
        """
        named = [(self._name(namespace), key) for namespace, key in batches]
        with self._transaction([name for name, _ in named], durable=False) as statements:
            statements.execute_many(
                "UPDATE batches SET applied = 1 WHERE namespace = ? AND key = ?", named
            )

    def batch(self, namespace: Sequence[str], key: str) -> Batch | None:
        """The batch of this key, or None."""
        found = f"{_BATCH} WHERE namespace = ? AND key = ?"
        rows = self._query(found, self._name(namespace), key)
        return self._batch(rows[0]) if rows else None

    def pending(self, namespace: Sequence[str]) -> list[Batch]:
        """Batches that the store may not have, oldest first."""
        found = f"{_BATCH} WHERE namespace = ? AND applied = 0 ORDER BY id"
        rows = self._query(found, self._name(namespace))
        return [self._batch(row) for row in rows]

    def since(self, namespace: Sequence[str], mark: int) -> list[tuple[int, Batch]]:
        """Batches that were written after the one of this number, each with its own; 0 for all."""
        found = f"{_BATCH} WHERE namespace = ? AND id > ? ORDER BY id"
        rows = self._query(found, self._name(namespace), mark)
        return [(row[0], self._batch(row)) for row in rows]

    def before(self, namespace: Sequence[str], key: str) -> tuple[list[Batch], Batch | None]:
        """What comes before a batch of this key: :meth:`pending` ones, and the one of this key."""
        return self.pending(namespace), self.batch(namespace, key)

    def events(
        self,
        namespace: Sequence[str],
        *,
        entry_id: str | None = None,
        run: str | None = None,
        limit: int = ALL,
    ) -> list[JournalEvent]:
        """Events of a memory, newest first."""
        return [
            _event(row)
            for row in self._query(
                f"SELECT {_EVENT} WHERE e.namespace = ? AND e.entry_id = coalesce(?, e.entry_id) "
                "AND b.run = coalesce(?, b.run) ORDER BY e.seq DESC LIMIT ?",
                self._name(namespace),
                entry_id,
                run,
                limit,
            )
        ]

    def run_events(self, namespace: Sequence[str], run: str) -> list[JournalEvent]:
        """Events of one run, oldest first."""
        rows = self._query(
            f"SELECT {_EVENT} WHERE b.namespace = ? AND b.run = ? ORDER BY e.seq",
            self._name(namespace),
            run,
        )
        return [_event(row) for row in rows]

    def states(
        self, namespace: Sequence[str], entry_ids: Sequence[str], moment: datetime
    ) -> dict[str, MemoryEntry]:
        """These entries as they were at ``moment``; those that did not exist are left out."""
        found: dict[str, MemoryEntry] = {}
        last = (
            "SELECT after FROM events WHERE namespace = ? AND entry_id = ? AND time <= ? "
            "ORDER BY seq DESC LIMIT 1"
        )
        text, until = self._name(namespace), moment.timestamp()
        for entry_id in entry_ids:
            rows = self._query(last, text, entry_id, until)
            if rows and rows[0][0] is not None:
                found[entry_id] = _entry(rows[0][0])
        return found

    def entries(
        self, namespace: Sequence[str], moment: datetime | None = None
    ) -> Iterator[MemoryEntry]:
        """All entries as they are, or were at ``moment``, in the order they were first written."""
        until = float("inf") if moment is None else moment.timestamp()
        rows = self._query(
            "SELECT e.after FROM events e JOIN (SELECT max(seq) AS last, min(seq) AS first "
            "FROM events WHERE namespace = ? AND time <= ? GROUP BY entry_id) l "
            "ON e.seq = l.last WHERE e.after IS NOT NULL ORDER BY l.first",
            self._name(namespace),
            until,
        )
        return (_entry(after) for (after,) in rows)

    def unknown(
        self, namespace: Sequence[str], entries: Sequence[MemoryEntry]
    ) -> dict[str, MemoryEntry]:
        """Those of these entries that are as no event left or found them, by id: another's work."""
        left = {entry.id: entry for entry in entries}
        for entry_id, *states in self._query(
            "SELECT entry_id, after, before FROM events WHERE namespace = ? ORDER BY seq DESC",
            self._name(namespace),
        ):
            if entry_id in left and any(s and _entry(s) == left[entry_id] for s in states):
                del left[entry_id]
        return left

    def past_texts(self, namespace: Sequence[str]) -> Iterator[MemoryEntry]:
        """Entries as they once were, one for each text that is no longer a live entry's."""
        current = {e.id: e.index_text for e in self.entries(namespace) if e.live}
        seen = set(current.items())
        for (after,) in self._query(
            "SELECT after FROM events WHERE namespace = ? AND after IS NOT NULL ORDER BY seq",
            self._name(namespace),
        ):
            entry = _entry(after)
            if (entry.id, entry.index_text) not in seen:
                seen.add((entry.id, entry.index_text))
                yield entry

    def has_applied(self) -> bool:
        """Whether a store was given any batch."""
        found = f"SELECT 1 FROM batches WHERE applied = 1 AND {_OURS} LIMIT 1"
        return bool(self._query(found, self._rows.memory, self._rows.memory))

    def namespaces(self) -> list[tuple[str, ...]]:
        """Memories with a history."""
        memory = self._rows.memory
        rows = self._query(f"SELECT DISTINCT namespace FROM batches WHERE {_OURS}", memory, memory)
        return sorted(namespace_labels(row[0][len(memory) :]) for row in rows)

    def close(self) -> None:
        """Close the file or the database."""
        self._rows.close()

    def _name(self, namespace: Sequence[str]) -> str:
        return self._rows.memory + namespace_text(tuple(namespace))

    def _batch(self, row: tuple[Any, ...]) -> Batch:
        changes = self._query(
            "SELECT kind, entry_id, reason, before, after FROM events WHERE batch = ? ORDER BY seq",
            row[0],
        )
        return Batch(
            key=row[1],
            run=row[2],
            attempt=row[3],
            time=row[4],
            result=json.loads(row[5]),
            changes=tuple(_change(*change) for change in changes),
        )

    def _query(self, sql: str, *values: Any) -> list[Row]:
        self._opened.check()
        return self._rows.query(sql, values)

    def _transaction(
        self, names: Sequence[str], *, durable: bool = True
    ) -> AbstractContextManager[Statements]:
        self._opened.check()
        return self._rows.transaction(names, durable=durable)


def history(journal: Journal | None, what: str) -> Journal:
    """The journal that ``what`` needs.

    Raises:
        InputError: the memory keeps none.
    """
    if journal is None:
        raise InputError(f"{what} needs a journal, which this memory does not keep")
    return journal


_OURS = "substr(namespace, 1, length(?)) = ?"
_BATCH = "SELECT id, key, run, attempt, time, result FROM batches"
_EVENT = (
    "e.seq, e.kind, e.entry_id, e.before, e.after, e.reason, e.time, b.run, b.attempt "
    "FROM events e JOIN batches b ON b.id = e.batch"
)


def _event(row: tuple[Any, ...]) -> JournalEvent:
    seq, kind, entry_id, before, after, reason, time, run, attempt = row
    return JournalEvent(
        seq=seq,
        kind=kind,
        entry_id=entry_id,
        before=before and _entry(before),
        after=after and _entry(after),
        reason=reason,
        time=datetime.fromtimestamp(time, UTC),
        run=run,
        attempt=attempt,
    )


def _change(kind: str, entry_id: str, reason: str, *states: str | None) -> Change:
    before, after = (state and _entry(state) for state in states)
    return Change(kind=kind, entry_id=entry_id, before=before, after=after, reason=reason)


def _json(entry: MemoryEntry | None) -> str | None:
    return None if entry is None else entry.model_dump_json()


def _entry(text: str) -> MemoryEntry:
    return MemoryEntry.model_validate_json(text)
