"""Files of traces that someone else may have written, or that are damaged: what is looked at first."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.soundness import FAULTS, check_structure

logger = logging.getLogger(__name__)


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
