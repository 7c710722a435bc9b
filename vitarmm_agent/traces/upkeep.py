"""What a server that runs for months does at intervals: old runs go, and so does old history."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from vitarmm_agent.ages import age
from vitarmm_agent.errors import UserError
from vitarmm_agent.graphs.any_checkpoints import Checkpoints
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.traces.pruning import prunable

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from vitarmm_agent.settings import Settings

logger = logging.getLogger(__name__)

FIRST = 60.0
"""Seconds until the first round, so that a server that is begun anew each day has one too."""
RUNS = 500
"""Runs that one round deletes at most, the oldest first."""
SPARE = 0.25
"""Share of a file that was deleted before its space is given back: nobody can write meanwhile."""


class Round(NamedTuple):
    """What one round removed."""

    runs: int
    expired: int
    changes: int


class Upkeep:
    """Rounds in a thread of its own, from ``start`` to ``stop``, or within a ``with`` block."""

    def __init__(self, settings: Settings, checkpointer: BaseCheckpointSaver[str]) -> None:
        """Do as the settings say; without ``upkeep_hours`` nothing is done."""
        self._settings, self._checkpointer = settings, checkpointer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if the settings say so."""
        hours = self._settings.upkeep_hours
        if hours is None or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._go_on, args=(hours * 3600,), name="upkeep", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End; a round that is under way is finished."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Upkeep:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def once(self) -> Round:
        """One round.

        Raises:
            UserError: traces or memory cannot be used; what was done by then stays done.
        """
        runs = self._prune()
        expired, changes = self._compact()
        done = Round(runs, expired, changes)
        logger.info("upkeep removed %d runs, %d expired entries, %d old changes", *done)
        return done

    def _go_on(self, seconds: float) -> None:
        pause = min(FIRST, seconds)
        while not self._stopping.wait(pause):
            try:
                self.once()
            except UserError as error:
                logger.warning("upkeep is tried again later: %s", error)
            pause = seconds

    def _prune(self) -> int:
        kept = self._checkpointer
        old = prunable(kept, older_than=age(self._settings.keep_runs))[-RUNS:]
        for run in old:
            kept.delete_thread(run.thread_id)
        if old and isinstance(kept, Checkpoints) and kept.spare() > SPARE:
            kept.shrink()
        return len(old)

    def _compact(self) -> tuple[int, int]:
        memory = open_memory(self._settings)
        if memory is None or memory.journal is None:
            return 0, 0
        since = datetime.now(UTC) - age(self._settings.keep_history)
        try:
            done = [
                memory.with_namespace(name).compact(since=since)
                for name in memory.journal.namespaces()
            ]
        finally:
            memory.close()
        return sum(len(one.expired) for one in done), sum(one.changes for one in done)
