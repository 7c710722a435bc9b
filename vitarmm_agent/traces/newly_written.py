"""Which runs of a SQLite file were written since the last look, without reading all of them."""

from __future__ import annotations

import sqlite3

from vitarmm_agent.graphs.any_checkpoints import heads_sql

MOST = 500
"""Changed runs above which it is as quick to look at all."""
_MARK = """
SELECT count(*), max(rowid), (SELECT max(rowid) FROM writes),
    (SELECT thread_id || checkpoint_id FROM checkpoints ORDER BY rowid DESC LIMIT 1)
FROM checkpoints
"""
_CHANGED = """
SELECT thread_id FROM checkpoints WHERE rowid > ?
UNION SELECT thread_id FROM writes WHERE rowid > ? LIMIT ?
"""
_HEAD = heads_sql("writes", "SELECT ?")


class NewlyWritten:
    """Rows are only added, or all rows of a run deleted; a deletion is noticed by their number."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Look at the tables of LangGraph's saver on this connection."""
        self._connection = connection
        self._seen: tuple[int, int, int, str] | None = None

    def heads(self) -> list[tuple[str, str, str]] | None:
        """Name, first checkpoint and version of each run written since the last call.

        None where that cannot be told: at first, after a deletion, or when there are many.
        """
        mark = self._connection.execute(_MARK).fetchone()
        count, last, last_write, name = mark[0], mark[1] or 0, mark[2] or 0, mark[3] or ""
        seen, self._seen = self._seen, (count, last, last_write, name)
        if seen is None or last < seen[1] or last_write < seen[2]:
            return None
        added, newest = self._connection.execute(
            "SELECT (SELECT count(*) FROM checkpoints WHERE rowid > ?1 AND rowid <= ?2), "
            "(SELECT thread_id || checkpoint_id FROM checkpoints WHERE rowid = ?1)",
            (seen[1], last),
        ).fetchone()
        if count != seen[0] + added or (newest or "") != seen[3]:
            return None
        changed = self._connection.execute(_CHANGED, (seen[1], seen[2], MOST + 1)).fetchall()
        if len(changed) > MOST:
            return None
        found = [self._connection.execute(_HEAD, row).fetchone() for row in changed]
        return [head for head in found if head is not None]
