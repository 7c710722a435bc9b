"""A SQLite file of ours, and whether it is as it was written: by its structure, and by sums of its rows.

SQLite checks neither: a flipped bit in a text is read as another text. So each row carries a sum of what
it says (rows of earlier versions have none and are believed), and the structure of a file is
checked when it is opened, unless it is large: then by command.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.one_process import forked
from vitarmm_agent.private import private_database

CHECKED_AT_OPEN = 32 * 2**20
"""Bytes of a file whose structure is checked whenever it is opened; that takes up to 0.2 s."""
NOT_DAMAGE = {
    getattr(sqlite3, f"SQLITE_{name}")
    for name in ("PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR",
                 "FULL", "CANTOPEN", "PROTOCOL", "TOOBIG", "MISUSE")
}  # fmt: skip


FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What Python's SQLite raises; the second over a name in a damaged file, which its own error would hold."""


class UnsoundError(sqlite3.DatabaseError):
    """A file, or a row of it, is not as it was written."""


class SqliteFile:
    """A file for this user alone, or the memory of this process. Safe for threads and processes."""

    def __init__(
        self, path: Path | None, what: str, remedy: str, *, schema: str, sums: Sequence[str]
    ) -> None:
        """Open or make the file at ``path``; None keeps everything in memory.

        Args:
            path: of the file.
            what: it is called in errors.
            remedy: what to do when it is damaged.
            schema: makes what is missing of its tables.
            sums: tables whose rows carry sums.

        Raises:
            MemoryStoreError: it cannot be made, or is damaged.
        """
        self.path = path
        self._called, self._remedy = f"{what} {str(path or 'in memory')!r}", remedy
        self._process = os.getpid()
        self._lock = threading.RLock()
        try:
            self.connection = private_database(path)
            self._inode = path.stat().st_ino if path else 0
            check_structure(self.connection, path)
            self.connection.executescript(schema)
            add_sums(self.connection, *sums)
        except FAULTS as error:
            raise self._unusable(error) from error

    @contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone.

        Raises:
            MemoryStoreError: the file is damaged, cannot be used or was replaced, or another process
                opened it.
        """
        if os.getpid() != self._process:  # the lock may be held by a thread that is not in this one
            raise MemoryStoreError(forked(self._called))
        with self._lock:
            self._check_same_file()
            try:
                yield self.connection
            except FAULTS as error:
                raise self._unusable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; an error inside takes everything back. Raises as :meth:`held` does."""
        with self.held() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one SELECT. Raises as :meth:`held` does."""
        with self.held() as db:
            return _rows(db, sql, values)

    def sound(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The same without their last column, which says whether a row was :func:`altered`: then it raises."""
        with self.held() as db:
            rows = _rows(db, sql, values)
            if any(row[-1] for row in rows):
                raise UnsoundError("a row is not as it was written")
            return [row[:-1] for row in rows]

    def check(self) -> None:
        """Look at every page of the file.

        Raises:
            MemoryStoreError: one is not as it was written.
        """
        with self.held() as db:
            check_structure(db, self.path, wholly=True)

    def shrink(self) -> None:
        """Give the space of what was deleted back to the disk."""
        with self.held() as db:
            vacuum(db)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    def _check_same_file(self) -> None:
        """Refuse to go on in a file that another process has replaced."""
        try:
            if self.path is None or self.path.stat().st_ino == self._inode:
                return
        except OSError:
            pass
        raise MemoryStoreError(
            f"{self._called} was replaced or removed by another process "
            "(perhaps by `vitarmm memory reindex`); open the memory again"
        )

    def _unusable(self, error: Exception) -> MemoryStoreError:
        if is_damage(error):
            return MemoryStoreError(f"{self._called} is damaged: {error}; {self._remedy}")
        return MemoryStoreError(
            f"{self._called} cannot be used: {error}; "
            "check that the folder exists, can be written and has space"
        )


def _rows(db: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    try:
        return db.execute(sql, values).fetchall()
    except UnicodeEncodeError:
        words = f"a key holds a lone surrogate, got {values!r:.200}; remove it"
        raise InputError(words) from None


def checksum(*values: object) -> int:
    """A sum of what a row says; no change of one bit leaves it as it is."""
    total = 0
    for value in values:
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        total = zlib.crc32(data, zlib.crc32(b"%d;" % len(data), total))
    return total


def altered(total: int | None, *values: object) -> bool:
    """Whether a row says something else than it did when it was written."""
    return total is not None and total != checksum(*values)


def add_sums(db: sqlite3.Connection, *tables: str) -> None:
    """Let these tables carry sums, and SQL work with them by ``checksum`` and ``altered``.

    Only where a lock is held whenever the connection is used: SQLite calls them with its own lock held, and
    another thread that uses the connection then waits for that one with the interpreter's, for ever.
    """
    add_columns(db, *tables)
    db.create_function("checksum", -1, checksum, deterministic=True)
    db.create_function("altered", -1, altered, deterministic=True)


def add_columns(db: sqlite3.Connection, *tables: str) -> None:
    """Let these tables carry sums."""
    for table in tables:
        columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if "total" not in columns:
            with suppress(sqlite3.OperationalError):  # another process was quicker
                db.execute(f"ALTER TABLE {table} ADD COLUMN total INTEGER")


def check_structure(db: sqlite3.Connection, path: Path | None, *, wholly: bool = False) -> None:
    """Check the structure of a file and of its indexes, if it is small or ``wholly`` is said.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    if path is None or not (wholly or path.stat().st_size <= CHECKED_AT_OPEN):
        return
    found = db.execute("PRAGMA integrity_check(3)").fetchall()
    if found != [("ok",)]:
        raise UnsoundError("; ".join(str(row[0]) for row in found)[:300])


def is_damage(error: Exception) -> bool:
    """Whether an error says that a file is not as it was written, rather than a full disk or a lock."""
    if not isinstance(error, sqlite3.Error):
        return True
    if isinstance(error, sqlite3.ProgrammingError):  # closed
        return False
    return getattr(error, "sqlite_errorcode", 1) & 0xFF not in NOT_DAMAGE


def vacuum(db: sqlite3.Connection) -> None:
    """Give the space of what was deleted back to the disk.

    Raises:
        sqlite3.OperationalError: somebody is writing.
    """
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
