"""Whether a SQLite file is as it was written: by its structure, and by sums of its rows.

SQLite checks neither: a flipped bit in a text is read as another text. So each row carries a sum of what
it says (rows of earlier versions have none and are believed), and the structure of a file is
checked when it is opened, unless it is large: then by command.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def sound(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows without their last column, which says whether one was :func:`altered`.

    Raises:
        UnsoundError: one was.
    """
    if any(row[-1] for row in rows):
        raise UnsoundError("a row is not as it was written")
    return [row[:-1] for row in rows]


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
