"""Where a journal's rows are: a SQLite file, or a Postgres database that several machines share.

The statements are the same for both; what differs is how a transaction is made, who else is kept out
meanwhile, and what an error means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vitarmm_agent.memory_store.journal.records import REMEDY
from vitarmm_agent.memory_store.journal.schema import (
    ALTERED,
    ANY_ALTERED,
    BATCH_ALTERED,
    COLUMNS,
    SCHEMA,
    TRIGGERS,
)
from vitarmm_agent.memory_store.store.locks import FolderLock, Lock
from vitarmm_agent.memory_store.store.sqlite_file import SqliteFile, checksum

if TYPE_CHECKING:
    import psycopg

    from vitarmm_agent.postgres.database import Postgres

Row = tuple[Any, ...]


class Statements(Protocol):
    """What is carried out in a transaction; values stand for ``?``."""

    def execute(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """The rows that a statement gives."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Row], /) -> None:
        """The same statement for many rows of values."""
        ...

    def add(self, table: str, row: Row, /) -> int:
        """Add a row of :data:`~vitarmm_agent.memory_store.journal.schema.COLUMNS`; its number."""
        ...

    def add_all(self, table: str, rows: Sequence[Row], /) -> None:
        """Add such rows."""
        ...


class JournalRows(Protocol):
    """The tables of journals.

    Attributes:
        memory: which memory's rows are meant, before each namespace; files have one memory's only.
        joined_later: whether a memory may be older than its first row here.
    """

    memory: str
    joined_later: bool

    def query(self, sql: str, /, *values: Any) -> list[Row]:
        """The rows that a statement finds."""
        ...

    def sound(self, sql: str, /, *values: Any) -> list[Row]:
        """The same without their last column, which says whether a row was altered.

        Raises:
            MemoryStoreError: one was.
        """
        ...

    def writing(
        self, names: Iterable[str], *, durable: bool = True
    ) -> AbstractContextManager[Statements]:
        """All that is carried out within, or nothing; ``names`` are the namespaces it is about."""
        ...

    def deleting(self, names: Iterable[str]) -> AbstractContextManager[Statements]:
        """A transaction that may delete events, which no other may."""
        ...

    def lock(self, names: Iterable[str]) -> Lock | None:
        """What keeps all other writers of these namespaces out; None: there are none."""
        ...

    def check(self) -> None:
        """Look at every page and row, where that is not a server's work.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        ...

    def shrink(self) -> None:
        """Give the space of what was deleted back."""
        ...

    def close(self) -> None:
        """Close them."""
        ...


class SqliteRows(SqliteFile):
    """A file, or the memory of this process. Safe for threads and processes."""

    memory = ""
    joined_later = False

    def __init__(self, path: Path | None) -> None:
        """Open or make the file.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        schema = "".join((SCHEMA, *TRIGGERS))
        super().__init__(path, "journal", REMEDY, schema=schema, sums=("batches", "events"))
        self._writers = None if path is None else FolderLock(path.with_suffix(".lock"))

    @contextmanager
    def writing(self, names: Iterable[str], *, durable: bool = True) -> Iterator[Statements]:
        """See :class:`JournalRows`."""
        if durable:
            with self.transaction():
                yield self
            return
        with self.held() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                with self.transaction():
                    yield self
            finally:
                db.execute("PRAGMA synchronous = FULL")

    def execute(self, sql: str, values: Sequence[Any], /) -> list[Row]:
        """See :class:`Statements`."""
        return self.connection.execute(sql, values).fetchall()

    def execute_many(self, sql: str, rows: Sequence[Row], /) -> None:
        """See :class:`Statements`."""
        self.connection.executemany(sql, rows)

    def add(self, table: str, row: Row, /) -> int:
        """See :class:`Statements`; a sum of the row goes with it."""
        values = (*row, checksum(*row))
        return int(self.connection.execute(_insert(table, "total"), values).lastrowid or 0)

    def add_all(self, table: str, rows: Sequence[Row], /) -> None:
        """See :class:`Statements`; a sum of each row goes with it."""
        self.execute_many(_insert(table, "total"), [(*row, checksum(*row)) for row in rows])

    @contextmanager
    def deleting(self, names: Iterable[str]) -> Iterator[Statements]:
        """See :class:`JournalRows`."""
        with self.transaction() as db:
            db.execute("DROP TRIGGER IF EXISTS events_stay")
            yield self
            for trigger in TRIGGERS:
                db.execute(trigger)

    def lock(self, names: Iterable[str]) -> Lock | None:
        """The lock of the file, whatever the namespaces."""
        return self._writers

    def check(self) -> None:
        """See :class:`JournalRows`."""
        super().check()
        for sql in ANY_ALTERED:
            self.sound(sql)


class PostgresRows:
    """Rows of one memory in a team's database. Safe for threads, processes and machines."""

    joined_later = True

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

    def query(self, sql: str, /, *values: Any) -> list[Row]:
        """See :class:`JournalRows`."""
        with self._database.connection() as connection:
            return connection.execute(_marked(sql), values).fetchall()

    def sound(self, sql: str, /, *values: Any) -> list[Row]:
        """See :class:`JournalRows`; that the rows are as they were written is the server's care."""
        return [row[:-1] for row in self.query(sql, *values)]

    @contextmanager
    def writing(self, names: Iterable[str], *, durable: bool = True) -> Iterator[Statements]:
        """See :class:`JournalRows`; a lock that was taken for these names must still be there."""
        with self._database.locks.transaction(self._locks(names)) as connection:
            if not durable:
                connection.execute("SET LOCAL synchronous_commit = off")
            yield _PostgresStatements(connection)

    @contextmanager
    def deleting(self, names: Iterable[str]) -> Iterator[Statements]:
        """See :class:`JournalRows`."""
        with self.writing(names) as statements:
            statements.execute("SET LOCAL vitarmm.deleting = 'on'", ())
            yield statements

    def lock(self, names: Iterable[str]) -> Lock | None:
        """One lock for each namespace, taken together."""
        return self._database.locks.lock(self._locks(names))

    def check(self) -> None:
        """Nothing is to be done: pages have the server's own checksums, where it was set up with them."""

    def shrink(self) -> None:
        """Have the space of what was deleted used again; the server does so by itself, too."""
        with self._database.connection() as connection:
            connection.execute("VACUUM batches, events")

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

    def add(self, table: str, row: Row, /) -> int:
        ((number,),) = self.execute(f"{_insert(table)} RETURNING id", row)
        return int(number)

    def add_all(self, table: str, rows: Sequence[Row], /) -> None:
        self.execute_many(_insert(table), rows)


def _insert(table: str, *more: str) -> str:
    columns = (*COLUMNS[table], *more)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _marked(sql: str) -> str:
    """A statement in Postgres's words: its marks of values, and no sums."""
    for sums in (ALTERED, BATCH_ALTERED):
        sql = sql.replace(sums, "false")
    return sql.replace("?", "%s")


def _texts(values: Sequence[Any]) -> list[Any]:
    """Values without the one character that Postgres has no place for in text."""
    return [
        v.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(v, str) else v for v in values
    ]
