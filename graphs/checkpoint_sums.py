"""Whether checkpoints are as they were written: each row carries a sum of what it says.

LangGraph's tables get one column more, which its own saver passes over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.runnables import RunnableConfig

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.soundness import (
    FAULTS,
    add_columns,
    altered,
    checksum,
    is_damage,
)

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, EOFError, NotImplementedError)
"""What is raised over a checkpoint whose bytes cannot be decoded."""
DAMAGE = (*UNREADABLE, sqlite3.DatabaseError)
_SAID = {
    "checkpoints": "parent_checkpoint_id, type, checkpoint, metadata",
    "writes": "task_path, channel, type, value",
}
_OF_ONE = "thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?"


class CheckpointSums:
    """The sums of one file.

    They are computed here, not by SQL: threads use the connection at the same time (``add_sums`` says why).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use an open file; one of an earlier version has no sums until it is written to."""
        self._connection = connection

    def prepare(self) -> None:
        """Make the columns that are missing."""
        add_columns(self._connection, *_SAID)

    def note(self, cursor: sqlite3.Cursor, table: str, config: RunnableConfig) -> None:
        """Sum up the rows of a checkpoint that have been written."""
        rows = cursor.execute(
            f"SELECT rowid, {_SAID[table]} FROM {table} WHERE {_OF_ONE} AND total IS NULL",
            _names(config),
        ).fetchall()
        cursor.executemany(
            f"UPDATE {table} SET total = ? WHERE rowid = ?",
            [(checksum(*said), row) for row, *said in rows],
        )

    def check(self, config: RunnableConfig) -> None:
        """Compare a checkpoint and its writes with their sums.

        Raises:
            InputError: one says something else than when it was written.
        """
        for table, said in _SAID.items():
            columns = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
            if not any(column[1] == "total" for column in columns):
                continue
            rows = self._connection.execute(
                f"SELECT total, {said} FROM {table} WHERE {_OF_ONE}", _names(config)
            )
            if any(altered(*row) for row in rows.fetchall()):
                raise InputError(
                    f"a checkpoint of run {_names(config)[0]!r} is not as it was written; go on from "
                    "an earlier one (fork), begin the run anew, or bring back a copy of the file"
                )


@contextmanager
def telling(connection: sqlite3.Connection, *, of_reading: bool = False) -> Iterator[None]:
    """Say in an error of ours what is wrong with the file, and what to do.

    Args:
        connection: of the file.
        of_reading: what cannot be decoded is damage, too.

    Raises:
        InputError: it is damaged, or cannot be written or read.
    """
    try:
        yield
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"traces in {_file(connection)!r} {words(error)}") from error
    except UNREADABLE as error:
        if not of_reading:
            raise
        raise InputError(
            f"a checkpoint in {_file(connection)!r} is damaged ({type(error).__name__}: {error}); "
            "begin the run anew, or bring back a copy of the file"
        ) from error


def words(error: Exception) -> str:
    """What is wrong with a file of traces, and what to do."""
    if not is_damage(error):
        return f"cannot be kept or read: {error}; check that the disk has space and can be written"
    return (
        f"are damaged: {error}; bring back a copy of the file, or move it away: new runs begin "
        "another. What it still holds, `vitarmm trace list` shows"
    )


def _file(connection: sqlite3.Connection) -> str:
    try:
        return str(connection.execute("PRAGMA database_list").fetchone()[2])
    except FAULTS:
        return "the file"


def _names(config: RunnableConfig) -> tuple[str, str, str]:
    named = config["configurable"]
    return (
        str(named["thread_id"]),
        str(named.get("checkpoint_ns", "")),
        str(named["checkpoint_id"]),
    )
