"""An append-only history of one or more memories, in SQLite.

Every change of an entry is an event with the entry as it was left. The history is what time travel,
``undo`` and ``rebuild`` read. A batch of events is written before the store is, and marked when the
store has it; what a killed process left unmarked is carried out by the next one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store.journal_records import (
    Batch,
    Change,
    JournalEvent,
    damaged,
    entry_json,
    read_change,
    read_entry,
    read_event,
)
from vitarmm_agent.memory_store.journal_schema import (
    ALTERED,
    ANY_ALTERED,
    BATCH,
    EVENT,
    SCHEMA,
    TRIGGERS,
)
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.locks import OneProcess
from vitarmm_agent.memory_store.store.names import namespace_labels, namespace_text
from vitarmm_agent.memory_store.store.soundness import (
    FAULTS,
    add_sums,
    check_structure,
    checksum,
    is_damage,
    sound,
    vacuum,
)
from vitarmm_agent.private import private_database

__all__ = ["Batch", "Change", "Journal", "JournalEvent", "history"]


class Journal:
    """The history file. Safe for threads and processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file; None keeps it in memory.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        self.path = path
        self._opened = OneProcess(f"journal {str(path)!r}")
        self._lock = threading.RLock()
        with self._guarded():
            self._db = private_database(path)
            check_structure(self._db, path)
            self._db.executescript(SCHEMA)
            for trigger in TRIGGERS:
                self._db.execute(trigger)
            add_sums(self._db, "batches", "events")

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
        with self._guarded(), self._transaction() as db:
            for namespace, batch in batches:
                self._append(db, namespace_text(tuple(namespace)), batch)

    def _append(self, db: sqlite3.Connection, text: str, batch: Batch) -> None:
        said = (text, batch.key, batch.run, batch.attempt, float(batch.time))
        result = json.dumps(batch.result)
        number = db.execute(
            "INSERT INTO batches (namespace, key, run, attempt, time, result, applied, total)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
            (*said, result, checksum(*said, result)),
        ).lastrowid
        rows = [
            (number, text, change.kind, change.entry_id, entry_json(change.before), entry_json(change.after),
             change.reason, float(batch.time))
            for change in batch.changes
        ]  # fmt: skip
        db.executemany(
            "INSERT INTO events"
            " (batch, namespace, kind, entry_id, before, after, reason, time, total)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row, checksum(*row)) for row in rows],
        )

    def mark_applied(self, namespace: Sequence[str], key: str) -> None:
        """Note that the store has the batch of this key."""
        self.mark_all_applied([(namespace, key)])

    def mark_all_applied(self, batches: Sequence[tuple[Sequence[str], str]]) -> None:
        """Note that the store has these batches, each given by namespace and key.

        The note need not survive a power cut: a batch would be carried out again, to no effect.
        """
        with self._guarded(), self._lock:
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._transaction() as db:
                    db.executemany(
                        "UPDATE batches SET applied = 1 WHERE namespace = ? AND key = ?",
                        [(namespace_text(tuple(namespace)), key) for namespace, key in batches],
                    )
            finally:
                self._db.execute("PRAGMA synchronous = FULL")

    def batch(self, namespace: Sequence[str], key: str) -> Batch | None:
        """The batch of this key, or None."""
        found = f"{BATCH} WHERE namespace = ? AND key = ?"
        rows = self._sound(found, namespace_text(tuple(namespace)), key)
        return self._batch(rows[0]) if rows else None

    def pending(self, namespace: Sequence[str]) -> list[Batch]:
        """Batches that the store may not have, oldest first."""
        found = f"{BATCH} WHERE namespace = ? AND applied = 0 ORDER BY id"
        rows = self._sound(found, namespace_text(tuple(namespace)))
        return [self._batch(row) for row in rows]

    def before(self, namespace: Sequence[str], key: str) -> tuple[list[Batch], Batch | None]:
        """What comes before a batch of this key: :meth:`pending` ones, and the one of this key."""
        return self.pending(namespace), self.batch(namespace, key)

    def last_key(self, namespace: Sequence[str]) -> str | None:
        """Key of the newest batch; None where there is none."""
        rows = self.query(
            "SELECT key FROM batches WHERE namespace = ? ORDER BY id DESC LIMIT 1",
            namespace_text(tuple(namespace)),
        )
        return str(rows[0][0]) if rows else None

    def applied_after(self, namespace: Sequence[str], key: str | None) -> int | None:
        """How many batches that a store has are newer than the one of this key, or than none.

        None: it is unknown.
        """
        text, found = namespace_text(tuple(namespace)), [(0,)]
        if key is not None:
            by_key = "SELECT id FROM batches WHERE namespace = ? AND key = ?"
            found = cast("list[tuple[int]]", self.query(by_key, text, key))
        newer = "SELECT count(*) FROM batches WHERE id > ? AND +namespace = ? AND applied = 1"
        return int(self.query(newer, found[0][0], text)[0][0]) if found else None

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, for what looks after the file."""
        with self._guarded(), self._transaction() as db:
            yield db

    def shrink(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with self._guarded(), self._lock:
            vacuum(self._db)

    def events(
        self,
        namespace: Sequence[str],
        *,
        entry_id: str | None = None,
        run: str | None = None,
        limit: int = -1,
    ) -> list[JournalEvent]:
        """Events of a memory, newest first."""
        return [
            read_event(row)
            for row in self._sound(
                f"SELECT {EVENT} WHERE e.namespace = ? AND (? IS NULL OR e.entry_id = ?) "
                "AND (? IS NULL OR b.run = ?) ORDER BY e.seq DESC LIMIT ?",
                namespace_text(tuple(namespace)),
                entry_id,
                entry_id,
                run,
                run,
                limit,
            )
        ]

    def run_events(self, namespace: Sequence[str], run: str) -> list[JournalEvent]:
        """Events of one run, oldest first."""
        rows = self._sound(
            f"SELECT {EVENT} WHERE b.namespace = ? AND b.run = ? ORDER BY e.seq",
            namespace_text(tuple(namespace)),
            run,
        )
        return [read_event(row) for row in rows]

    def states(
        self, namespace: Sequence[str], entry_ids: Sequence[str], moment: datetime
    ) -> dict[str, MemoryEntry]:
        """These entries as they were at ``moment``; those that did not exist are left out."""
        found: dict[str, MemoryEntry] = {}
        last = (
            f"SELECT after, {ALTERED} FROM events e WHERE namespace = ? AND entry_id = ? "
            "AND time <= ? ORDER BY seq DESC LIMIT 1"
        )
        text, until = namespace_text(tuple(namespace)), moment.timestamp()
        for entry_id in entry_ids:
            rows = self._sound(last, text, entry_id, until)
            if rows and rows[0][0] is not None:
                found[entry_id] = read_entry(rows[0][0])
        return found

    def entries(
        self, namespace: Sequence[str], moment: datetime | None = None
    ) -> Iterator[MemoryEntry]:
        """All entries as they are, or were at ``moment``, in the order they were first written."""
        until = float("inf") if moment is None else moment.timestamp()
        rows = self._sound(
            f"SELECT e.after, {ALTERED} FROM events e JOIN (SELECT max(seq) AS last, min(seq) AS first "
            "FROM events WHERE namespace = ? AND time <= ? GROUP BY entry_id) l "
            "ON e.seq = l.last WHERE e.after IS NOT NULL ORDER BY l.first",
            namespace_text(tuple(namespace)),
            until,
        )
        return (read_entry(after) for (after,) in rows)

    def unknown(
        self, namespace: Sequence[str], entries: Sequence[MemoryEntry]
    ) -> dict[str, MemoryEntry]:
        """Those of these entries that are as no event left or found them, by id: another's work."""
        left = {entry.id: entry for entry in entries}
        for entry_id, *states in self._sound(
            f"SELECT entry_id, after, before, {ALTERED} FROM events e WHERE namespace = ? ORDER BY seq DESC",
            namespace_text(tuple(namespace)),
        ):
            if entry_id in left and any(s and read_entry(s) == left[entry_id] for s in states):
                del left[entry_id]
        return left

    def past_texts(self, namespace: Sequence[str]) -> Iterator[MemoryEntry]:
        """Entries as they once were, one for each text that is no longer a live entry's."""
        current = {e.id: e.index_text for e in self.entries(namespace) if e.live}
        seen = set(current.items())
        for (after,) in self._sound(
            f"SELECT after, {ALTERED} FROM events e WHERE namespace = ? AND after IS NOT NULL "
            "ORDER BY seq",
            namespace_text(tuple(namespace)),
        ):
            entry = read_entry(after)
            if (entry.id, entry.index_text) not in seen:
                seen.add((entry.id, entry.index_text))
                yield entry

    def has_applied(self) -> bool:
        """Whether a store was given any batch."""
        return bool(self.query("SELECT 1 FROM batches WHERE applied = 1 LIMIT 1"))

    def namespaces(self) -> list[tuple[str, ...]]:
        """Memories with a history."""
        rows = self.query("SELECT DISTINCT namespace FROM batches")
        return sorted(namespace_labels(row[0]) for row in rows)

    def check(self) -> None:
        """Look at every page and row of the file.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        with self._guarded(), self._lock:
            check_structure(self._db, self.path, wholly=True)
        for sql in ANY_ALTERED:
            self._sound(sql)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _batch(self, row: tuple[Any, ...]) -> Batch:
        changes = self._sound(
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

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        with self._guarded(), self._lock:
            return self._db.execute(sql, parameters).fetchall()

    def _sound(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._guarded(), self._lock:
            return sound(self._db.execute(sql, parameters).fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        self._opened.check()
        try:
            yield
        except FAULTS as error:
            if is_damage(error):
                raise damaged(f"journal {str(self.path)!r}", error) from error
            raise MemoryStoreError(
                f"journal {str(self.path)!r} cannot be used: {error}; "
                "check that the folder exists, can be written and has space"
            ) from error


def history(journal: Journal | None, what: str) -> Journal:
    """The journal that ``what`` needs.

    Raises:
        InputError: the memory keeps none.
    """
    if journal is None:
        raise InputError(f"{what} needs a journal, which this memory does not keep")
    return journal
