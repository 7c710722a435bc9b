"""Where a journal's rows are: a SQLite file, or a Postgres database that several machines share.

The statements are the same for both; what differs is how a transaction is made, who else is kept out
meanwhile, and what an error means.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.locks import FolderLock, Lock
from vitarmm_agent.private import private_database

if TYPE_CHECKING:
    import psycopg

    from vitarmm_agent.postgres.database import Postgres

Row = tuple[Any, ...]
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
CREATE INDEX IF NOT EXISTS events_by_entry ON events (namespace, entry_id, seq);
CREATE INDEX IF NOT EXISTS events_by_batch ON events (batch);
CREATE TRIGGER IF NOT EXISTS events_stay BEFORE DELETE ON events
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_final BEFORE UPDATE ON events
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
"""
"""Of a file; Postgres has the same tables, see :mod:`vitarmm_agent.postgres.database`."""


class Statements(Protocol):
    """What is carried out in a transaction; values stand for ``?``."""

    def execute(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """The rows that a statement gives."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Row], /) -> None:
        """The same statement for many rows of values."""
        ...


class JournalRows(Protocol):
    """The tables of journals.

    Attributes:
        memory: which memory's rows are meant, before each namespace; files have one memory's only.
    """

    memory: str

    def query(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """The rows that a statement finds."""
        ...

    def transaction(
        self, names: Iterable[str], *, durable: bool = True
    ) -> AbstractContextManager[Statements]:
        """All that is carried out within, or nothing; ``names`` are the namespaces it is about."""
        ...

    def lock(self, names: Iterable[str]) -> Lock | None:
        """What keeps all other writers of these namespaces out; None: there are none."""
        ...

    def close(self) -> None:
        """Close them."""
        ...


class SqliteRows:
    """A file, or the memory of this process. Safe for threads and processes."""

    memory = ""

    def __init__(self, path: Path | None) -> None:
        """Open or make the file.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        self._path = path
        self._lock = threading.RLock()
        self._writers = None if path is None else FolderLock(path.with_suffix(".lock"))
        with self._guarded():
            self.connection = private_database(path)
            self.connection.executescript(SCHEMA)

    def query(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """See :class:`JournalRows`."""
        with self._guarded(), self._lock:
            return self.connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self, names: Iterable[str], *, durable: bool = True) -> Iterator[Statements]:
        """See :class:`JournalRows`."""
        with self._guarded(), self._lock:
            if not durable:
                self.connection.execute("PRAGMA synchronous = NORMAL")
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self
                except BaseException:
                    self.connection.execute("ROLLBACK")
                    raise
                self.connection.execute("COMMIT")
            finally:
                if not durable:
                    self.connection.execute("PRAGMA synchronous = FULL")

    def execute(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """See :class:`Statements`."""
        return self.connection.execute(sql, values).fetchall()

    def execute_many(self, sql: str, rows: Sequence[Row], /) -> None:
        """See :class:`Statements`."""
        self.connection.executemany(sql, rows)

    def lock(self, names: Iterable[str]) -> Lock | None:
        """The lock of the file, whatever the namespaces."""
        return self._writers

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise MemoryStoreError(
                f"journal {str(self._path)!r} cannot be used: {error}; "
                "check that the folder exists, can be written and has space"
            ) from error
        except sqlite3.DatabaseError as error:
            raise MemoryStoreError(
                f"journal {str(self._path)!r} is damaged: {error}; move it away and begin a new one "
                "from the entries as they are with: vitarmm memory reindex"
            ) from error


class PostgresRows:
    """Rows of one memory in a team's database. Safe for threads, processes and machines."""

    def __init__(self, database: Postgres, memory: str, *, one_lock: bool = False) -> None:
        """Use those of the memory that is known by this name.

        Args:
            database: where they are.
            memory: its name.
            one_lock: one for all of its namespaces, as a folder needs, whose files are replaced whole.
        """
        self.memory = f"{memory} "
        self._database, self._one_lock = database, one_lock

    def __str__(self) -> str:
        return self._database.where

    def query(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """See :class:`JournalRows`."""
        with self._database.connection() as connection:
            return connection.execute(_marked(sql), values).fetchall()

    @contextmanager
    def transaction(self, names: Iterable[str], *, durable: bool = True) -> Iterator[Statements]:
        """See :class:`JournalRows`; a lock that was taken for these names must still be there."""
        with self._database.locks.transaction(self._locks(names)) as connection:
            if not durable:
                connection.execute("SET LOCAL synchronous_commit = off")
            yield _PostgresStatements(connection)

    def lock(self, names: Iterable[str]) -> Lock | None:
        """One lock for each namespace, taken together."""
        return self._database.locks.lock(self._locks(names))

    def _locks(self, names: Iterable[str]) -> Iterable[str]:
        return [self.memory] if self._one_lock else names

    def close(self) -> None:
        """Nothing is to be done: a database closes when nobody uses it any more."""


class _PostgresStatements:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        found = self._connection.execute(_marked(sql), _texts(values))
        return found.fetchall() if found.description else []

    def execute_many(self, sql: str, rows: Sequence[Row], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_marked(sql), [_texts(row) for row in rows])


def _marked(sql: str) -> str:
    return sql.replace("?", "%s")


def _texts(values: Sequence[Any]) -> list[Any]:
    """Values without the one character that Postgres has no place for in text."""
    return [
        v.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(v, str) else v for v in values
    ]
