"""Items and their vectors in one SQLite file: the truth that a Chroma index is derived from.

One transaction holds all puts and deletes of a batch, so a batch is durable and whole or did not
happen, whichever process is killed when. Every vector has a sequence number; a Chroma index knows
up to which number it is complete, and what lies beyond is searched directly (``chroma_index.py``).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from langgraph.store.base import Item

from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store.store.items_schema import (
    ALTERED_VECTOR,
    ANY_ALTERED,
    ITEM,
    SCHEMA,
    put_meta,
)
from vitarmm_agent.memory_store.store.records import (
    Namespace,
    Put,
    StaleVectorError,
    Vector,
    VectorRow,
    namespace_labels,
    namespace_text,
    read_item,
)
from vitarmm_agent.memory_store.store.soundness import (
    FAULTS,
    UnsoundError,
    add_sums,
    check_structure,
    checksum,
    is_damage,
    sound,
    vacuum,
)
from vitarmm_agent.one_process import OneProcess
from vitarmm_agent.private import private_database


class Items:
    """The SQLite file of one store. Safe for threads and for processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file at ``path``; None keeps everything in memory.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        self.path = path
        self._opened = OneProcess(f"memory file {str(path or 'in memory')!r}")
        self._lock = threading.RLock()
        try:
            self._db = private_database(path)
            self._inode = path.stat().st_ino if path else 0
            check_structure(self._db, path)
            self._db.executescript(SCHEMA)
            add_sums(self._db, "items", "vectors", "meta")
        except FAULTS as error:
            raise self._unusable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; an error inside takes everything back.

        Raises:
            MemoryStoreError: the file is damaged or cannot be written.
        """
        self._opened.check()
        with self._guarded():
            self._check_same_file()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def sound(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of one SELECT whose last column says whether a row was altered."""
        try:
            return sound(self.query(sql, *parameters))
        except UnsoundError as error:
            raise self._unusable(error) from None

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of one SELECT.

        Raises:
            InputError: a parameter holds a lone surrogate.
            MemoryStoreError: the file is damaged.
        """
        self._opened.check()
        with self._guarded():
            self._check_same_file()
            try:
                return self._db.execute(sql, parameters).fetchall()
            except UnicodeEncodeError:
                words = f"a key holds a lone surrogate, got {parameters!r:.200}; remove it"
                raise InputError(words) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def check(self) -> None:
        """Look at every page and row of the file.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        with self._guarded():
            check_structure(self._db, self.path, wholly=True)
        for sql in ANY_ALTERED:
            self.sound(sql)

    def shrink(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with self._guarded():
            vacuum(self._db)

    # what the store reads

    def get(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Item]:
        """The items of ``keys`` that exist."""
        found: dict[str, Item] = {}
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            marks = ",".join("?" * len(chunk))
            rows = self.sound(
                f"SELECT {ITEM} FROM items JOIN namespaces n ON n.id = namespace WHERE n.labels = ? AND key IN ({marks})",
                namespace_text(namespace),
                *chunk,
            )
            found.update((row[0], read_item(namespace, *row)) for row in rows)
        return found

    def scan(self, namespaces: Sequence[Namespace], *, page: int = 500) -> Iterator[Item]:
        """All items of the namespaces, last updated first, read page by page."""
        names = {self.namespace_id(labels): labels for labels in namespaces}
        marks = ",".join("?" * len(names))
        after: tuple[float, int] = (float("inf"), 1 << 62)
        while True:
            rows = self.sound(
                f"SELECT id, namespace, {ITEM} FROM items "
                f"WHERE namespace IN ({marks}) AND (updated_at, id) < (?, ?) "
                "ORDER BY updated_at DESC, id DESC LIMIT ?",
                *names,
                *after,
                page,
            )
            for row in rows:
                yield read_item(names[row[1]], *row[2:])
            if len(rows) < page:
                return
            after = (rows[-1][5], rows[-1][0])

    def namespaces(self, prefix: Namespace = ()) -> list[Namespace]:
        """Namespaces that hold at least one item: ``prefix`` itself and those below it."""
        sql = (
            "SELECT labels FROM namespaces n "
            "WHERE EXISTS (SELECT 1 FROM items WHERE namespace = n.id)"
        )
        bounds: list[str] = []
        if prefix:  # labels are a JSON array: below lies what goes on with a comma
            start = namespace_text(prefix)[:-1]
            sql += " AND (labels = ? OR labels > ? AND labels < ?)"
            bounds = [f"{start}]", f"{start},", f"{start},~"]
        return [namespace_labels(row[0]) for row in self.query(sql, *bounds)]

    def namespace_id(self, namespace: Namespace) -> int:
        """Number of a namespace, or -1 when it holds nothing."""
        rows = self.query("SELECT id FROM namespaces WHERE labels = ?", namespace_text(namespace))
        return int(rows[0][0]) if rows else -1

    def count(self, namespace: Namespace) -> int:
        """How many items the namespace holds."""
        number = self.namespace_id(namespace)
        return int(self.query("SELECT count(*) FROM items WHERE namespace = ?", number)[0][0])

    def expired(self, moment: float) -> list[tuple[Namespace, str]]:
        """Items whose time was over at ``moment`` (seconds since 1970)."""
        sql = "SELECT labels, key FROM items JOIN namespaces n ON n.id = namespace WHERE expires_at <= ?"
        return [(namespace_labels(labels), key) for labels, key in self.query(sql, moment)]

    # what the store writes

    def write(self, puts: Iterable[Put], deletes: Iterable[tuple[Namespace, str]]) -> None:
        """Store and delete in one transaction.

        Raises:
            InputError: a key holds a lone surrogate.
            StaleVectorError: a vector to keep is gone; nothing was written.
            MemoryStoreError: the file is damaged or cannot be written.
        """
        kept, gone, now = list(puts), list(deletes), time.time()
        places = {put.namespace for put in kept} | {namespace for namespace, _ in gone}
        with self.transaction() as db:
            numbers = {namespace: self._number(db, namespace) for namespace in places}
            for put in kept:
                self._put(db, numbers[put.namespace], put, now)
            for namespace, key in gone:
                number = numbers[namespace]
                db.execute("DELETE FROM items WHERE namespace = ? AND key = ?", (number, key))
                self._retire(db, number, key, keep=frozenset())

    def touch(self, namespace: Namespace, keys: Sequence[str]) -> None:
        """Start the time-to-live of these items anew."""
        number, now = self.namespace_id(namespace), time.time()
        with self.transaction() as db:
            db.executemany(
                "UPDATE items SET expires_at = ? + ttl * 60 "
                "WHERE namespace = ? AND key = ? AND ttl IS NOT NULL",
                [(now, number, key) for key in keys],
            )

    def _put(self, db: sqlite3.Connection, number: int, put: Put, now: float) -> None:
        expires = None if put.ttl is None else now + put.ttl * 60
        try:
            db.execute(
                "INSERT INTO items (namespace, key, value, created_at, updated_at, expires_at, ttl)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, key) DO UPDATE SET"
                " value = excluded.value, updated_at = excluded.updated_at,"
                " expires_at = excluded.expires_at, ttl = excluded.ttl",
                (number, put.key, put.value, now, now, expires, put.ttl),
            )
        except UnicodeEncodeError:
            raise InputError(f"key {put.key!r} holds a lone surrogate; remove it") from None
        db.execute(
            "UPDATE items SET total = checksum(key, value, created_at, updated_at)"
            " WHERE namespace = ? AND key = ?",
            (number, put.key),
        )
        for vector in put.vectors:
            self._put_vector(db, number, put.key, vector)
        self._retire(db, number, put.key, keep={vector.record for vector in put.vectors})

    def _put_vector(self, db: sqlite3.Connection, number: int, key: str, vector: Vector) -> None:
        """Store a vector; one that is there already gets no new number, so no index is touched."""
        kept = db.execute(
            "SELECT 1 FROM vectors WHERE namespace = ? AND record = ? AND digest = ? "
            "AND vector IS NOT NULL AND vector = coalesce(?, vector)",
            (number, vector.record, vector.digest, vector.data),
        ).fetchone()
        if kept:
            return
        if vector.data is None:
            raise StaleVectorError(key)
        db.execute(
            "INSERT OR REPLACE INTO vectors (namespace, record, key, digest, vector, total)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                number,
                vector.record,
                key,
                vector.digest,
                vector.data,
                checksum(vector.record, key, vector.digest, vector.data),
            ),  # fmt: skip
        )

    def digests(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, str]:
        """Text hashes of the vectors stored for these items, by record."""
        return {name: found.digest for name, found in self.vectors(namespace, keys).items()}

    def vectors(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Vector]:
        """The vectors stored for these items, by record."""
        found: dict[str, Vector] = {}
        labels = namespace_text(namespace)
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            marks = ",".join("?" * len(chunk))
            rows = self.sound(
                f"SELECT record, digest, vector, {ALTERED_VECTOR} "
                "FROM vectors v JOIN namespaces n ON n.id = namespace "
                f"WHERE n.labels = ? AND key IN ({marks}) AND vector IS NOT NULL",
                labels,
                *chunk,
            )
            found.update((record, Vector(record, digest, data)) for record, digest, data in rows)
        return found

    def _retire(self, db: sqlite3.Connection, number: int, key: str, *, keep: Set[str]) -> None:
        """Mark the vectors of an item as gone, but for the records to keep."""
        rows = db.execute(
            "SELECT record FROM vectors WHERE namespace = ? AND key = ? AND vector IS NOT NULL",
            (number, key),
        ).fetchall()
        db.executemany(
            "INSERT OR REPLACE INTO vectors (namespace, record, key, vector)"
            " VALUES (?, ?, ?, NULL)",
            [(number, record, key) for (record,) in rows if record not in keep],
        )

    def _number(self, db: sqlite3.Connection, namespace: Namespace) -> int:
        text = namespace_text(namespace)
        db.execute("INSERT OR IGNORE INTO namespaces (labels) VALUES (?)", (text,))
        row = db.execute("SELECT id FROM namespaces WHERE labels = ?", (text,)).fetchone()
        return int(row[0])

    # what an index reads and notes

    def last_seq(self) -> int:
        """Number of the newest vector change; 0 when there is none."""
        return int(self.query("SELECT max(seq) FROM vectors")[0][0] or 0)

    def changes(self, after: int, *, limit: int = -1) -> list[VectorRow]:
        """Vector changes with a number above ``after``, oldest first."""
        rows = self.sound(
            f"SELECT seq, namespace, record, key, vector, {ALTERED_VECTOR} FROM vectors v "
            "WHERE seq > ? ORDER BY seq LIMIT ?",
            after,
            limit,
        )
        return [VectorRow(*row) for row in rows]

    def keys_of(self, namespace: int, records: Sequence[str]) -> dict[str, str]:
        """Keys of records that have a vector."""
        found: dict[str, str] = {}
        for start in range(0, len(records), 5_000):
            chunk = records[start : start + 5_000]
            marks = ",".join("?" * len(chunk))
            rows = self.query(
                f"SELECT record, key FROM vectors WHERE namespace = ? AND record IN ({marks}) "
                "AND vector IS NOT NULL",
                namespace,
                *chunk,
            )
            found.update({record: key for record, key in rows})
        return found

    def meta(self, name: str) -> str:
        """A note about the store, or an empty text."""
        return self.metas(name)[0]

    def metas(self, *names: str) -> list[str]:
        """Notes about the store as they stand at one moment; an empty text for one that is not there."""
        marks = ",".join("?" * len(names))
        found = dict(
            self.sound(
                "SELECT name, value, altered(total, name, value) FROM meta "
                f"WHERE name IN ({marks})",
                *names,
            )
        )
        return [cast(str, found.get(name, "")) for name in names]

    def set_meta(self, **values: object) -> None:
        """Write notes about the store."""
        with self.transaction() as db:
            put_meta(db, values)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except FAULTS as error:
                raise self._unusable(error) from error

    def _check_same_file(self) -> None:
        """Refuse to go on in a file that another process has replaced."""
        try:
            if self.path is None or self.path.stat().st_ino == self._inode:
                return
        except OSError:
            pass
        raise MemoryStoreError(
            f"memory file {str(self.path)!r} was replaced or removed by another process "
            "(perhaps by `vitarmm memory reindex`); open the memory again"
        )

    def _unusable(self, error: Exception) -> MemoryStoreError:
        where = str(self.path or "memory")
        if not is_damage(error):
            return MemoryStoreError(
                f"memory file {where!r} cannot be used: {error}; "
                "check that the folder exists, can be written and has space"
            )
        return MemoryStoreError(
            f"memory file {where!r} is damaged: {error}; move it away and make it again from the "
            "journal with: vitarmm memory reindex"
        )
