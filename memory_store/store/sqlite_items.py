"""Items and their vectors in one SQLite file: the truth that a Chroma index is derived from.

One transaction holds all puts and deletes of a batch, so a batch is durable and whole or did not
happen, whichever process is killed when. Every vector has a sequence number; a Chroma index knows
up to which number it is complete, and what lies beyond is searched directly (``chroma_index.py``).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple, cast

from langgraph.store.base import Item

from vitarmm_agent.errors import InputError
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
from vitarmm_agent.memory_store.store.sqlite_file import SqliteFile, checksum

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS namespaces (id INTEGER PRIMARY KEY, labels TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    expires_at REAL,
    ttl REAL,
    UNIQUE (namespace, key)
);
CREATE INDEX IF NOT EXISTS items_by_time ON items (namespace, updated_at);
CREATE INDEX IF NOT EXISTS items_expiring ON items (expires_at) WHERE expires_at IS NOT NULL;
-- A vector of NULL says that the record is gone; it stays until every index has heard of it.
CREATE TABLE IF NOT EXISTS vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    record TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL DEFAULT '',
    vector BLOB,
    UNIQUE (namespace, record)
);
CREATE INDEX IF NOT EXISTS vectors_by_key ON vectors (namespace, key);
-- Counting through it reads no vectors, which are nearly all of the file.
CREATE INDEX IF NOT EXISTS vectors_there ON vectors (namespace, seq) WHERE vector IS NOT NULL;
"""
ITEM = "key, value, created_at, updated_at, altered(total, key, value, created_at, updated_at)"
ALTERED_VECTOR = "vector IS NOT NULL AND altered(v.total, v.record, v.key, v.digest, v.vector)"
ANY_ALTERED = (
    "SELECT 1 FROM items WHERE altered(total, key, value, created_at, updated_at) LIMIT 1",
    f"SELECT 1 FROM vectors v WHERE {ALTERED_VECTOR} LIMIT 1",
    "SELECT 1 FROM meta WHERE altered(total, name, value) LIMIT 1",
)


class Standing(NamedTuple):
    """What an index compares itself with.

    Attributes:
        last: number of the newest vector change; 0 when there is none.
        applied: up to which the index on the disk holds them.
        pruned: up to which notices of what is gone were deleted.
        generation: name of the index on the disk as it is.
    """

    last: int
    applied: int
    pruned: int
    generation: str


class Items(SqliteFile):
    """The SQLite file of one store. Safe for threads and for processes."""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file at ``path``; None keeps everything in memory.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        remedy = "move it away and make it again from the journal with: vitarmm memory reindex"
        tables = ("items", "vectors", "meta")
        super().__init__(path, "memory file", remedy, schema=SCHEMA, sums=tables)
        self._numbers: dict[Namespace, int] = {}

    def check(self) -> None:
        """Look at every page and row of the file.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        super().check()
        for sql in ANY_ALTERED:
            self.sound(sql)

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
        number = self._numbers.get(namespace)
        if number is None:
            text = namespace_text(namespace)
            rows = self.query("SELECT id FROM namespaces WHERE labels = ?", text)
            if not rows:
                return -1
            number = self._numbers[namespace] = int(rows[0][0])  # it keeps it for ever
        return number

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
            self._put(db, [(numbers[put.namespace], put) for put in kept], now)
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

    def _put(self, db: sqlite3.Connection, puts: Sequence[tuple[int, Put]], now: float) -> None:
        for number, put in puts:
            expires = None if put.ttl is None else now + put.ttl * 60
            try:
                db.execute(
                    "INSERT INTO items (namespace, key, value, created_at, updated_at, expires_at,"
                    " ttl) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (namespace, key) DO UPDATE SET"
                    " value = excluded.value, updated_at = excluded.updated_at,"
                    " expires_at = excluded.expires_at, ttl = excluded.ttl",
                    (number, put.key, put.value, now, now, expires, put.ttl),
                )
            except UnicodeEncodeError:
                raise InputError(f"key {put.key!r} holds a lone surrogate; remove it") from None
        db.executemany(
            "UPDATE items SET total = checksum(key, value, created_at, updated_at)"
            " WHERE namespace = ? AND key = ?",
            [(number, put.key) for number, put in puts],
        )
        for number, put in puts:
            new = [vector for vector in put.vectors if self._is_new(db, number, put.key, vector)]
            db.executemany(
                "INSERT OR REPLACE INTO vectors (namespace, record, key, digest, vector, total)"
                " VALUES (?1, ?2, ?3, ?4, ?5, checksum(?2, ?3, ?4, ?5))",
                [(number, vector.record, put.key, vector.digest, vector.data) for vector in new],
            )
            self._retire(db, number, put.key, keep={vector.record for vector in put.vectors})

    def _is_new(self, db: sqlite3.Connection, number: int, key: str, vector: Vector) -> bool:
        """Whether a vector is to be stored; one that is there keeps its number, so no index is touched."""
        kept = db.execute(
            "SELECT 1 FROM vectors WHERE namespace = ? AND record = ? AND digest = ? "
            "AND vector IS NOT NULL AND vector = coalesce(?, vector)",
            (number, vector.record, vector.digest, vector.data),
        ).fetchone()
        if not kept and vector.data is None:
            raise StaleVectorError(key)
        return not kept

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

    def standing(self) -> Standing:
        """What an index compares itself with, as it stands at one moment."""
        rows = self.sound(
            "SELECT name, value, altered(total, name, value) FROM meta "
            "WHERE name IN ('applied', 'pruned', 'generation') "
            "UNION ALL SELECT 'last', (SELECT max(seq) FROM vectors), 0"
        )
        noted = dict(cast("list[tuple[str, str | int | None]]", rows))
        last, applied, pruned = (int(noted.get(n) or 0) for n in ("last", "applied", "pruned"))
        return Standing(last, applied, pruned, str(noted.get("generation", "")))

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


def put_meta(db: sqlite3.Connection, values: Mapping[str, object]) -> None:
    """Write notes about a store in a transaction of it."""
    db.executemany(
        "INSERT OR REPLACE INTO meta (name, value, total) VALUES (?, ?, ?)",
        [(name, str(value), checksum(name, str(value))) for name, value in values.items()],
    )
