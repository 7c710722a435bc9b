"""Writes that wait at the same time are carried out together: group commit.

Each write is a job: a batch that is planned and carried out once. Whoever comes first does the work
of all who wait by then, under one hold of the lock, with one transaction of the journal and one
call of the store; each caller returns when its own batch is durable. An error is raised only in the
caller whose batch it concerns. Jobs of one memory follow one another in the order they came, each
seeing what the one before it wrote, so only jobs of different memories share a transaction.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field

from vitarmm_agent.effects import Call, Flow, arun, run
from vitarmm_agent.errors import InternalError, MemoryStoreError
from vitarmm_agent.memory_store.journal import Batch, Journal
from vitarmm_agent.memory_store.locks import Lock, taking
from vitarmm_agent.memory_store.operations import Written
from vitarmm_agent.memory_store.planning import Plan
from vitarmm_agent.memory_store.shelf import Shelf
from vitarmm_agent.memory_store.twins import blocking

GROUP = 64
"""Jobs of one group at most, so that other processes get the lock in between."""

Planner = Callable[[], Flow[tuple[Plan, list[Written]]]]


@dataclass(eq=False)
class Job:
    """One caller's batch, and what came of it.

    Attributes:
        shelf: the entries of the memory that it changes.
        namespace: that memory's name in the journal.
        key: unique in its memory; a batch of a key that was carried out is not carried out again.
        plan: decides the changes, given what the memory holds then.
    """

    shelf: Shelf
    namespace: tuple[str, ...]
    key: str
    run: str
    attempt: int
    plan: Planner
    settled: bool = False
    answer: list[object] = field(default_factory=list)
    error: Exception | None = None

    def settle(self, answer: list[object]) -> None:
        """It is durable, with this answer."""
        self.answer, self.settled = answer, True

    def fail(self, error: Exception) -> None:
        """It could not be carried out."""
        self.error, self.settled = error, True

    def result(self) -> list[object]:
        """The answer.

        Raises:
            Exception: what made it fail.
        """
        if self.error is not None:
            raise self.error
        if not self.settled:
            raise InternalError(f"write {self.key!r} was given up by its caller")
        return self.answer


Planned = list[tuple[Job, Batch]]


class WriteGroup:
    """Carries out the jobs of all memories of one store and journal. Safe for threads."""

    def __init__(self, journal: Journal | None, lock: Lock) -> None:
        """Work under ``lock``, which excludes other processes; the journal is written first."""
        self._journal = journal
        self._lock = lock
        self._waiting: deque[Job] = deque()
        self._turn = threading.Lock()

    def carry_out(self, job: Job, worker: Callable[[], Executor | None]) -> Call:
        """Carry out a job, with others that wait.

        Driven asynchronously, groups are worked off in the thread of ``worker``; where there is
        none, because the store is best awaited natively, the job goes alone.
        """
        return Call(lambda: self._join(job), lambda: self._ajoin(job, worker()))

    def _join(self, job: Job) -> list[object]:
        self._waiting.append(job)
        return self._lead_or_follow(job)

    async def _ajoin(self, job: Job, worker: Executor | None) -> list[object]:
        if worker is None:
            await arun(self._locked(deque([job])))
            return job.result()
        self._waiting.append(job)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(worker, self._lead_or_follow, job)
        except asyncio.CancelledError:
            self._leave(job)
            raise

    def _lead_or_follow(self, job: Job) -> list[object]:
        try:
            with self._turn:
                while job in self._waiting:  # not when it is done, or its caller has left
                    run(self._locked(self._waiting))
        finally:
            self._leave(job)
        return job.result()

    def _leave(self, job: Job) -> None:
        with suppress(ValueError):  # usually it was taken
            self._waiting.remove(job)

    def _locked(self, waiting: deque[Job]) -> Flow[None]:
        """Take the lock, and carry out those who wait by then."""
        jobs: list[Job] = []
        try:
            yield taking(self._lock)
        except MemoryStoreError as error:  # nobody else would get it either
            while waiting:
                waiting.popleft().fail(error)
            return
        try:
            while waiting and len(jobs) < GROUP:
                jobs.append(waiting.popleft())
            yield from self._in_rounds(jobs)
        finally:
            self._lock.release()
            waiting.extendleft(job for job in reversed(jobs) if not job.settled)

    def _in_rounds(self, jobs: Sequence[Job]) -> Flow[None]:
        """The first job of each memory together, then the second of each, and so on."""
        while jobs:
            first: dict[tuple[str, ...], Job] = {}
            later = [job for job in jobs if first.setdefault(job.namespace, job) is not job]
            yield from self._round(list(first.values()))
            jobs = later

    def _round(self, jobs: Sequence[Job]) -> Flow[None]:
        planned: Planned = []
        for job in jobs:
            try:
                batch = yield from self._planned(job)
            except Exception as error:  # raised again in its own caller
                job.fail(error)
                continue
            if batch is not None:
                planned.append((job, batch))
        planned = yield from self._each(planned, self._journalled)
        planned = yield from self._each(planned, self._finished)
        for job, batch in planned:
            job.settle(list(batch.result))

    def _each(self, planned: Planned, stage: Callable[[Planned], Flow[None]]) -> Flow[Planned]:
        """One stage for all at once; if that fails, for each alone. Returns those that are done."""
        if not planned:
            return []
        try:
            yield from stage(planned)
            return planned
        except Exception as error:  # raised again in its own caller
            if len(planned) == 1:
                planned[0][0].fail(error)
                return []
        done: Planned = []
        for one in planned:
            done += yield from self._each([one], stage)
        return done

    def _planned(self, job: Job) -> Flow[Batch | None]:
        """The batch of a job; None when it was carried out before, and the job has its answer."""
        yield from self._finish_pending(job)
        done = yield from self._answered(job)
        if done is not None:
            job.settle(done)
            return None
        decided, written = yield from job.plan()
        return Batch(
            key=job.key,
            run=job.run,
            attempt=job.attempt,
            changes=decided.changes(),
            result=[row.model_dump(mode="json") for row in written],
            time=decided.now.timestamp(),
        )

    def _answered(self, job: Job) -> Flow[list[object] | None]:
        """What was answered to the batch of this key; the journal knows when the store lost it."""
        done = yield from job.shelf.answer(job.key)
        if done is not None:
            return list(done["result"])
        if self._journal is None:
            return None
        batch: Batch | None = yield blocking(self._journal.batch, job.namespace, job.key)
        return None if batch is None else list(batch.result)

    def _finish_pending(self, job: Job) -> Flow[None]:
        """Carry out what killed processes left. The lock is held, so no living one is at it."""
        if self._journal is not None:
            left: list[Batch] = yield blocking(self._journal.pending, job.namespace)
            for batch in left:
                yield from self._finished([(job, batch)])
        return None

    def _journalled(self, planned: Planned) -> Flow[None]:
        if self._journal is not None:
            rows = [(job.namespace, batch) for job, batch in planned]
            yield blocking(self._journal.append_all, rows)
        return None

    def _finished(self, planned: Planned) -> Flow[None]:
        """Change the store, and then note in the journal that it is."""
        first, _ = planned[0]
        yield from first.shelf.carry_out_all([(job.shelf, batch) for job, batch in planned])
        if self._journal is not None:
            keys = [(job.namespace, batch.key) for job, batch in planned]
            yield blocking(self._journal.mark_all_applied, keys)
        return None
