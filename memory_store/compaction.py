"""Shorten the history of a journal: what is older than a moment goes, but the last word on each entry.

What stays tells how each entry was at that moment and later, so ``as_of`` and ``rebuild`` go on from there.
What was before cannot be asked for any more, and is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.journal.rows import Statements

_OLD = """
    DELETE FROM events WHERE seq IN (
        SELECT e.seq FROM events e JOIN batches b ON b.id = e.batch
        WHERE e.namespace = ? AND b.id < ? AND b.applied = 1
        AND (e.after IS NULL OR EXISTS (
            SELECT 1 FROM events later JOIN batches lb ON lb.id = later.batch
            WHERE later.namespace = e.namespace AND later.entry_id = e.entry_id
            AND later.seq > e.seq AND lb.id < ?)))
    RETURNING 1
"""
_BARE = """
    DELETE FROM batches WHERE namespace = ? AND id < ? AND applied = 1
    AND NOT EXISTS (SELECT 1 FROM events WHERE batch = batches.id)
    RETURNING 1
"""
_HORIZON = """
    INSERT INTO horizons (namespace, first, time) VALUES (?, ?, ?)
    ON CONFLICT (namespace) DO UPDATE SET first = excluded.first, time = excluded.time
    WHERE excluded.first > horizons.first
"""


class Shortened(NamedTuple):
    """What of a history went, or would go: changes, and batches without any left."""

    changes: int
    batches: int


def shorten(
    journal: Journal,
    namespace: Sequence[str],
    *,
    since: datetime | None,
    keep_batches: int,
    dry_run: bool = False,
) -> Shortened:
    """Forget changes of a memory from before ``since``, or but the last so many batches; one transaction.

    A batch that both would keep stays. Batches that the store may not have yet, and the newest, stay.
    """
    with journal.deleting(namespace) as (statements, name):
        first = _first_kept(statements, name, since, keep_batches)
        newest = "SELECT max(time) FROM batches WHERE namespace = ? AND id < ?"
        ((time,),) = statements.execute(newest, (name, first))
        statements.execute("SAVEPOINT shortening", ())
        changes = len(statements.execute(_OLD, (name, first, first)))
        batches = len(statements.execute(_BARE, (name, first)))
        if changes or batches:
            statements.execute(_HORIZON, (name, first, time))
        if dry_run:
            statements.execute("ROLLBACK TO SAVEPOINT shortening", ())
    return Shortened(changes, batches)


def _first_kept(
    statements: Statements, name: str, since: datetime | None, keep_batches: int
) -> int:
    """Number of the first batch whose changes all stay."""
    ((newest,),) = statements.execute("SELECT max(id) FROM batches WHERE namespace = ?", (name,))
    first = int(newest or 0)
    if since is not None:
        ((later,),) = statements.execute(
            "SELECT min(id) FROM batches WHERE namespace = ? AND time >= ?",
            (name, since.timestamp()),
        )
        first = min(first, int(later or first))
    if keep_batches:
        kept = statements.execute(
            "SELECT id FROM batches WHERE namespace = ? ORDER BY id DESC LIMIT 1 OFFSET ?",
            (name, keep_batches - 1),
        )
        first = min(first, int(kept[0][0]) if kept else 0)
    return first


def check_horizon(journal: Journal, namespace: Sequence[str], moment: datetime) -> None:
    """Refuse a question about a time that the history no longer tells of.

    Raises:
        InputError: ``moment`` is such a time.
    """
    begins = journal.horizon(namespace)
    if begins is not None and moment.timestamp() < begins[1]:
        raise InputError(
            f"the history before {_words(begins[1])} was compacted, so nobody knows how the memory was "
            f"at {moment:%Y-%m-%d %H:%M:%S}; ask for a later time"
        )


def check_undo(journal: Journal, namespace: Sequence[str], run: str) -> None:
    """Refuse to take back a run of which the history no longer tells all.

    Raises:
        InputError: it wrote before the history begins, or the journal knows no such run.
    """
    begins = journal.horizon(namespace)
    first = journal.first_batch(namespace, run)
    if begins is not None and (first is None or first < begins[0]):
        known = (
            f"run {run!r} is" if first is not None else f"no run {run!r} is known; perhaps it was"
        )
        raise InputError(
            f"{known} from before {_words(begins[1])}, and the history before that was compacted: it "
            "cannot be taken back. Change its entries by: vitarmm memory edit, forget"
        )
    if first is None:
        raise InputError(f"the journal knows no run {run!r}; see: vitarmm memory log")


def _words(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"
