"""Whether a file of traces is as it was written, and safe to look at: someone else may have written it.

Each row of a checkpoint carries a sum of what it says. LangGraph's tables get one column more, which its
own saver passes over.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from langchain_core.runnables import RunnableConfig

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.sqlite_file import (
    FAULTS,
    add_columns,
    altered,
    check_structure,
    checksum,
)

logger = logging.getLogger(__name__)

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


def warn_of_damage(connection: sqlite3.Connection, path: Path) -> None:
    """Warn of a damaged file that is only looked at: what can be read of it is still shown."""
    try:
        check_structure(connection, path)
    except FAULTS as error:
        logger.warning("traces in %r are damaged, and what follows may lack some: %s", path, error)


def plain_tables(connection: sqlite3.Connection, path: Path) -> set[str]:
    """The tables of a file that holds nothing which works when it is read.

    Raises:
        InputError: it has views, triggers, virtual tables or computed columns; ours have none.
    """
    connection.execute("PRAGMA trusted_schema=OFF")
    rows = connection.execute("SELECT type, name, rootpage FROM sqlite_master").fetchall()
    tables = {name for kind, name, _ in rows if kind == "table"}
    odd = [name for kind, name, page in rows if kind not in ("table", "index") or not page]
    for name in tables - set(odd):
        columns = connection.execute("SELECT hidden FROM pragma_table_xinfo(?)", (name,))
        odd += [name] if any(hidden for (hidden,) in columns) else []
    if odd:
        connection.close()
        raise InputError(
            f"{str(path)!r} is no plain file of traces: {', '.join(map(repr, odd[:5]))} would be "
            "carried out by reading it. Do not trust where it comes from"
        )
    return tables


def _names(config: RunnableConfig) -> tuple[str, str, str]:
    named = config["configurable"]
    return (
        str(named["thread_id"]),
        str(named.get("checkpoint_ns", "")),
        str(named["checkpoint_id"]),
    )
