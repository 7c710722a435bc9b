"""An append-only history of one or more memories.

Every change of an entry is an event with the entry as it was left. The history is what time travel,
``undo`` and ``rebuild`` read. A batch of events is written before the store is, and marked when the
store has it; what a killed process left unmarked is carried out by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.journal.records import (
    Batch,
    JournalEvent,
    entry_json,
    read_change,
    read_entry,
    read_event,
)
from vitarmm_agent.memory_store.journal.rows import JournalRows, SqliteRows, Statements
from vitarmm_agent.memory_store.journal.schema import ALTERED, BATCH, EVENT, OURS
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.locks import Lock
from vitarmm_agent.memory_store.store.records import namespace_labels, namespace_text

ALL = 2**62
"""Events, where there is no limit."""


class Journal:
    """The history of the memories in one store. Safe for threads and processes."""

    def __init__(self, place: Path | JournalRows | None) -> None:
        """Open or make a file, or use rows that are kept elsewhere; None keeps it in memory.

        Raises:
            MemoryStoreError: the file cannot be made, or is damaged.
        """
        self._rows: JournalRows = (
            SqliteRows(place) if place is None or isinstance(place, Path) else place
        )

    @property
    def joined_later(self) -> bool:
        """Whether a memory may have been written before it had a history here."""
        return self._rows.joined_later

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
        with self._rows.writing([name for name, _ in named]) as statements:
            for name, batch in named:
                self._append(statements, name, batch)

    def _append(self, statements: Statements, text: str, batch: Batch) -> None:
        time = float(batch.time)
        said = (text, batch.key, batch.run, batch.attempt, time, json.dumps(batch.result))
        number = statements.add("batches", said)
        statements.add_all(
            "events",
            [
                (number, text, change.kind, change.entry_id, entry_json(change.before),
                 entry_json(change.after), change.reason, time)
                for change in batch.changes
            ],
        )  # fmt: skip

    def mark_applied(self, namespace: Sequence[str], key: str) -> None:
        """Note that the store has the batch of this key."""
        self.mark_all_applied([(namespace, key)])

    def mark_all_applied(self, batches: Sequence[tuple[Sequence[str], str]]) -> None:
        """Note that the store has these batches, each given by namespace and key.

        The note need not survive a power cut: a batch would be carried out again, to no effect.
        """
        named = [(self._name(namespace), key) for namespace, key in batches]
        with self._rows.writing([name for name, _ in named], durable=False) as statements:
            statements.execute_many(
                "UPDATE batches SET applied = 1 WHERE namespace = ? AND key = ?", named
            )

    def batch(self, namespace: Sequence[str], key: str) -> Batch | None:
        """The batch of this key, or None."""
        found = f"{BATCH} WHERE namespace = ? AND key = ?"
        rows = self._rows.sound(found, self._name(namespace), key)
        return self._batch(rows[0]) if rows else None

    def pending(self, namespace: Sequence[str]) -> list[Batch]:
        """Batches that the store may not have, oldest first."""
        found = f"{BATCH} WHERE namespace = ? AND applied = 0 ORDER BY id"
        rows = self._rows.sound(found, self._name(namespace))
        return [self._batch(row) for row in rows]

    def since(self, namespace: Sequence[str], mark: int) -> list[tuple[int, Batch]]:
        """Batches that were written after the one of this number, each with its own; 0 for all."""
        found = f"{BATCH} WHERE namespace = ? AND id > ? ORDER BY id"
        rows = self._rows.sound(found, self._name(namespace), mark)
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
            read_event(row)
            for row in self._rows.sound(
                f"SELECT {EVENT} WHERE e.namespace = ? AND e.entry_id = coalesce(?, e.entry_id) "
                "AND b.run = coalesce(?, b.run) ORDER BY e.seq DESC LIMIT ?",
                self._name(namespace),
                entry_id,
                run,
                limit,
            )
        ]

    def of_run(self, namespace: Sequence[str], run: str) -> list[Batch]:
        """Batches of one run, oldest first."""
        found = f"{BATCH} WHERE namespace = ? AND run = ? ORDER BY id"
        return [self._batch(row) for row in self._rows.sound(found, self._name(namespace), run)]

    def states(
        self, namespace: Sequence[str], entry_ids: Sequence[str], moment: datetime
    ) -> dict[str, MemoryEntry]:
        """These entries as they were at ``moment``; those that did not exist are left out."""
        found: dict[str, MemoryEntry] = {}
        last = (
            f"SELECT after, {ALTERED} FROM events e WHERE namespace = ? AND entry_id = ? "
            "AND time <= ? ORDER BY seq DESC LIMIT 1"
        )
        text, until = self._name(namespace), moment.timestamp()
        for entry_id in entry_ids:
            rows = self._rows.sound(last, text, entry_id, until)
            if rows and rows[0][0] is not None:
                found[entry_id] = read_entry(rows[0][0])
        return found

    def entries(
        self,
        namespace: Sequence[str],
        moment: datetime | None = None,
        *,
        limit: int = ALL,
        offset: int = 0,
    ) -> Iterator[MemoryEntry]:
        """Entries as they are, or were at ``moment``, in the order they were first written."""
        until = float("inf") if moment is None else moment.timestamp()
        rows = self._rows.sound(
            # Sorted are numbers alone: whole entries would take ten times as long.
            f"SELECT e.after, {ALTERED} FROM (SELECT l.last, l.first FROM (SELECT max(seq) AS last, "
            "min(seq) AS first FROM events WHERE namespace = ? AND time <= ? GROUP BY entry_id) l "
            "WHERE l.last NOT IN (SELECT seq FROM events WHERE namespace = ? AND after IS NULL) "
            "ORDER BY l.first LIMIT ? OFFSET ?) p JOIN events e ON e.seq = p.last ORDER BY p.first",
            self._name(namespace),
            until,
            self._name(namespace),
            limit,
            offset,
        )
        return (read_entry(after) for (after,) in rows)

    def unknown(
        self, namespace: Sequence[str], entries: Sequence[MemoryEntry]
    ) -> dict[str, MemoryEntry]:
        """Those of these entries that are as no event left or found them, by id: another's work."""
        left = {entry.id: entry for entry in entries}
        for entry_id, *states in self._rows.sound(
            f"SELECT entry_id, after, before, {ALTERED} FROM events e WHERE namespace = ? "
            "ORDER BY seq DESC",
            self._name(namespace),
        ):
            if entry_id in left and any(s and read_entry(s) == left[entry_id] for s in states):
                del left[entry_id]
        return left

    def past_texts(self, namespace: Sequence[str]) -> Iterator[MemoryEntry]:
        """Entries as they once were, one for each text that is no longer a live entry's."""
        current = {e.id: e.index_text for e in self.entries(namespace) if e.live}
        seen = set(current.items())
        for (after,) in self._rows.sound(
            f"SELECT after, {ALTERED} FROM events e WHERE namespace = ? AND after IS NOT NULL "
            "ORDER BY seq",
            self._name(namespace),
        ):
            entry = read_entry(after)
            if (entry.id, entry.index_text) not in seen:
                seen.add((entry.id, entry.index_text))
                yield entry

    def has_applied(self) -> bool:
        """Whether a store was given any batch."""
        found = f"SELECT 1 FROM batches WHERE applied = 1 AND {OURS} LIMIT 1"
        return bool(self._rows.query(found, self._rows.memory, self._rows.memory))

    def namespaces(self) -> list[tuple[str, ...]]:
        """Memories with a history."""
        memory = self._rows.memory
        rows = self._rows.query(
            f"SELECT DISTINCT namespace FROM batches WHERE {OURS}", memory, memory
        )
        return sorted(namespace_labels(row[0][len(memory) :]) for row in rows)

    def last_key(self, namespace: Sequence[str], *, applied: bool = False) -> str | None:
        """Key of the newest batch, or of the newest that a store has; None where there is none."""
        rows = self._rows.query(
            "SELECT key FROM batches WHERE namespace = ? AND applied >= ? ORDER BY id DESC LIMIT 1",
            self._name(namespace),
            int(applied),
        )
        return str(rows[0][0]) if rows else None

    def applied_between(
        self, namespace: Sequence[str], first: str | None, last: str | None
    ) -> int | None:
        """How many batches that a store has are newer than ``first``, up to ``last``.

        None: the journal does not know ``first``. Without ``first`` all are newer.
        """
        text, known = self._name(namespace), [(0,)]
        number = "SELECT id FROM batches WHERE namespace = ? AND key = ?"
        if first is not None:
            known = self._rows.query(number, text, first)
        if not known:
            return None
        ((count,),) = self._rows.query(
            # an index on namespaces would be gone through from its beginning
            f"SELECT count(*) FROM batches WHERE id > ? AND id <= ({number}) "
            "AND namespace || '' = ? AND applied = 1",
            known[0][0], text, last, text,
        )  # fmt: skip
        return int(count)

    def horizon(self, namespace: Sequence[str]) -> tuple[int, float] | None:
        """First batch of a history that was compacted, and its time; None for a whole one."""
        found = "SELECT first, time FROM horizons WHERE namespace = ?"
        rows = self._rows.query(found, self._name(namespace))
        return (int(rows[0][0]), float(rows[0][1])) if rows else None

    def first_batch(self, namespace: Sequence[str], run: str) -> int | None:
        """Number of the first batch of a run; None where there is none."""
        found = "SELECT min(id) FROM batches WHERE namespace = ? AND run = ?"
        ((first,),) = self._rows.query(found, self._name(namespace), run)
        return None if first is None else int(first)

    @contextmanager
    def deleting(self, namespace: Sequence[str]) -> Iterator[tuple[Statements, str]]:
        """A transaction in which events may be deleted, and the memory's name in the rows."""
        name = self._name(namespace)
        with self._rows.deleting([name]) as statements:
            yield statements, name

    def shrink(self) -> None:
        """Give the space of what was deleted back."""
        self._rows.shrink()

    def check(self) -> None:
        """Look at every page and row of a file; a database has a server that does.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        self._rows.check()

    def close(self) -> None:
        """Close the file or the database."""
        self._rows.close()

    def _name(self, namespace: Sequence[str]) -> str:
        return self._rows.memory + namespace_text(tuple(namespace))

    def _batch(self, row: tuple[Any, ...]) -> Batch:
        changes = self._rows.sound(
            f"SELECT kind, entry_id, reason, before, after, {ALTERED} FROM events e "
            "WHERE batch = ? ORDER BY seq",
            row[0],
        )
        return Batch(
            key=row[1],
            run=row[2],
            attempt=row[3],
            time=row[4],
            result=json.loads(row[5]),
            changes=tuple(read_change(*change) for change in changes),
        )


def history(journal: Journal | None, what: str) -> Journal:
    """The journal that ``what`` needs.

    Raises:
        InputError: the memory keeps none.
    """
    if journal is None:
        raise InputError(f"{what} needs a journal, which this memory does not keep")
    return journal
