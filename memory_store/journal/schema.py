"""The tables of a journal in SQLite, and the columns that are read of them.

Postgres has the same tables, see :mod:`vitarmm_agent.postgres.database`, with indexes of its own, and without
the sums: its server has checksums. Those are made once and have a version; a file is brought up to date
whenever it is opened.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    time REAL NOT NULL,
    result TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, key)
);
CREATE INDEX IF NOT EXISTS batches_by_run ON batches (namespace, run);
CREATE INDEX IF NOT EXISTS batches_pending ON batches (namespace, id) WHERE applied = 0;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL REFERENCES batches (id),
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    before TEXT,
    after TEXT,
    reason TEXT NOT NULL,
    time REAL NOT NULL
);
-- It holds the time as well, so that what there was at a moment is found without reading the events.
CREATE INDEX IF NOT EXISTS events_in_time ON events (namespace, entry_id, seq, time);
DROP INDEX IF EXISTS events_by_entry;
CREATE INDEX IF NOT EXISTS events_that_deleted ON events (namespace) WHERE after IS NULL;
CREATE INDEX IF NOT EXISTS events_by_batch ON events (batch);
-- Where a history that was compacted begins: its first whole batch, and when that was.
CREATE TABLE IF NOT EXISTS horizons (
    namespace TEXT PRIMARY KEY, first INTEGER NOT NULL, time REAL NOT NULL
);
"""
TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS events_stay BEFORE DELETE ON events "
    "BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;",
    "CREATE TRIGGER IF NOT EXISTS events_are_final BEFORE UPDATE ON events "
    "BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;",
)
COLUMNS = {
    "batches": ("namespace", "key", "run", "attempt", "time", "result"),
    "events": (
        "batch",
        "namespace",
        "kind",
        "entry_id",
        "before",
        "after",
        "reason",
        "time",
    ),
}
"""What a new row says; in a file, a sum of it goes with it, in a column ``total``."""


def _altered(table: str, short: str) -> str:
    return f"altered({', '.join(f'{short}.{name}' for name in ('total', *COLUMNS[table]))})"


ALTERED, BATCH_ALTERED = _altered("events", "e"), _altered("batches", "b")
OURS = "substr(namespace, 1, length(?)) = ?"
BATCH = f"SELECT id, key, run, attempt, time, result, {BATCH_ALTERED} FROM batches b"
EVENT = (
    "e.seq, e.kind, e.entry_id, e.before, e.after, e.reason, e.time, b.run, b.attempt, "
    f"{ALTERED} OR {BATCH_ALTERED} FROM events e JOIN batches b ON b.id = e.batch"
)
ANY_ALTERED = (
    f"SELECT 1 FROM events e WHERE {ALTERED} LIMIT 1",
    f"SELECT 1 FROM batches b WHERE {BATCH_ALTERED} LIMIT 1",
)
