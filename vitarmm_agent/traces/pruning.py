"""Which runs are old enough to go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vitarmm_agent.errors import InputError
from vitarmm_agent.traces.runs import RunIndex
from vitarmm_agent.traces.summary import RunSummary

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

PAGE = 500
GOING = ("running", "interrupted")
"""A run of these may be gone on with, and is never pruned."""


def prunable(
    checkpointer: BaseCheckpointSaver[str],
    *,
    older_than: timedelta | None = None,
    keep_last: int = 0,
    failed_only: bool = False,
    now: datetime | None = None,
) -> list[RunSummary]:
    """Runs that may be deleted, newest first; those that can be gone on with are never among them.

    Args:
        checkpointer: where runs are kept.
        older_than: only runs whose last checkpoint is older.
        keep_last: the newest so many runs stay, whatever they are.
        failed_only: only runs that failed, or that an error stopped.
        now: default: the present.

    Raises:
        InputError: neither an age nor a number to keep is given, or it is negative.
    """
    if older_than is None and keep_last <= 0:
        raise InputError("say which runs may go: an age (--older-than 30d), or how many stay")
    index = RunIndex(checkpointer)
    latest = (now or datetime.now(UTC)) - (older_than or timedelta())
    try:
        runs = [*_all_runs(index)]
    finally:
        index.close()
    return [
        run
        for run in runs[max(0, keep_last) :]
        if run.status not in GOING
        and not run.unreadable
        and (not failed_only or run.status in ("failed", "died"))
        and (older_than is None or _older(run.updated_at, latest))
    ]


def _all_runs(index: RunIndex) -> Iterator[RunSummary]:
    offset = 0
    while page := index.page(limit=PAGE, offset=offset).runs:
        yield from page
        offset += len(page)


def _older(written: str, latest: datetime) -> bool:
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return False  # damaged: nobody knows how old it is
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) < latest
