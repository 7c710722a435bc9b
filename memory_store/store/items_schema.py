"""The tables of a store's SQLite file, and the columns that are read of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from vitarmm_agent.memory_store.store.soundness import checksum

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


def put_meta(db: sqlite3.Connection, values: Mapping[str, object]) -> None:
    """Write notes about a store in a transaction of it."""
    db.executemany(
        "INSERT OR REPLACE INTO meta (name, value, total) VALUES (?, ?, ?)",
        [(name, str(value), checksum(name, str(value))) for name, value in values.items()],
    )
