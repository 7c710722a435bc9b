"""Writes of all memories of one store: planned, journalled and carried out in groups.

Each write is a job: a batch that is planned and carried out once. Jobs that wait at the same time are
carried out together (:mod:`vitarmm_agent.group_commit`), under one hold of the lock, with one
transaction of the journal and one call of the store. Jobs of one memory follow one another in the
order they came, each seeing what the one before it wrote, so only jobs of different memories share a
transaction.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from langgraph.store.base import BaseStore

from vitarmm_agent.effects import Call, Flow, arun, in_thread, run
from vitarmm_agent.errors import DatabaseError, MemoryStoreError
from vitarmm_agent.group_commit import GroupCommit, Piece
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Batch, Journal
from vitarmm_agent.memory_store.operations import Written
from vitarmm_agent.memory_store.store.locks import Lock, Turn
from vitarmm_agent.memory_store.write_plan import WritePlan
from vitarmm_agent.one_process import OneProcess

GROUP = 64
"""Jobs of one group at most, so that other processes get the lock in between."""

_workers: WeakKeyDictionary[BaseStore, dict[str, Executor]] = WeakKeyDictionary()
_locks: WeakKeyDictionary[BaseStore, threading.Lock] = WeakKeyDictionary()

Planned = tuple[WritePlan, list[Written]]
"""The changes of a batch, and what its caller is answered."""


@dataclass(eq=False)
class WriteJob(Piece[list[object]]):
    """One caller's batch; its outcome is what the caller is answered.

    Attributes:
        entry_store: the entries of the memory that it changes.
        key: unique in its memory; a batch of a key that was carried out is not carried out again.
        plan: decides the changes, given what the memory holds then.
    """

    entry_store: EntryStore
    key: str
    run: str
    attempt: int
    plan: Callable[[], Flow[Planned]]


Decided = list[tuple[WriteJob, Batch]]


class WriteGroup:
    """Carries out the jobs of all memories of one store and journal. Safe for threads."""

    def __init__(self, store: BaseStore, journal: Journal | None) -> None:
        """The journal, if there is one, is written before ``store``."""
        self._store, self._journal = store, journal
        self._threads: Lock = _locks.setdefault(store, threading.Lock())
        self._opened = OneProcess("this memory")
        self._together = GroupCommit[WriteJob](lambda waiting: run(self._locked(waiting)))

    def lock(self, namespaces: Iterable[tuple[str, ...]]) -> Lock:
        """What keeps all others, in this process or another, from writing to these memories."""
        shared = self._journal.lock(namespaces) if self._journal is not None else None
        return shared or self._threads

    def once(
        self,
        entry_store: EntryStore,
        key: str,
        run: str,
        attempt: int,
        plan: Callable[[], Flow[Planned]],
    ) -> Call[list[object]]:
        """Plan and carry out a batch unless one of this key was; the answer of whichever was.

        Driven asynchronously, groups are worked off in the thread of :meth:`worker`; where there is
        none, because the store is best awaited natively, the job goes alone.
        """
        job = WriteJob(entry_store, key, run, attempt, plan)
        return Call(lambda: self._join(job), lambda: self._ajoin(job))

    def worker(self, lane: str) -> Executor | None:
        """The thread for all calls of one kind; None where the store is best awaited natively.

        On embedded Chroma a write takes a few milliseconds in a dozen small calls: hundreds of runs
        that end together would spend far longer on hops between threads and on the lock.
        """
        if not getattr(self._store, "blocks_briefly", False):
            return None
        self._opened.check()  # its thread is not in a forked process
        lanes = _workers.setdefault(self._store, {})
        if lane not in lanes:
            lanes[lane] = ThreadPoolExecutor(1, thread_name_prefix=f"memory-{lane}")
        return lanes[lane]

    def _join(self, job: WriteJob) -> list[object]:
        self._together.join(job)
        return job.outcome()

    async def _ajoin(self, job: WriteJob) -> list[object]:
        worker = self.worker("write")
        if worker is None:
            await arun(self._locked(deque([job])))
        else:
            await self._together.ajoin(job, worker)
        return job.outcome()

    def _locked(self, waiting: deque[WriteJob]) -> Flow[None]:
        """Take the lock, and carry out those who wait by then."""
        jobs: list[WriteJob] = []
        memories = {job.entry_store.namespace for job in [*waiting.copy()][:GROUP]}
        turn = Turn(self.lock(memories))
        try:
            try:
                yield from turn.take()
            except (MemoryStoreError, DatabaseError) as error:  # nobody else would get it either
                while waiting:
                    waiting.popleft().fail(error)
                return
            while len(jobs) < GROUP and waiting and waiting[0].entry_store.namespace in memories:
                jobs.append(waiting.popleft())
            yield from self._in_rounds(jobs)
        finally:
            turn.give_back()
            waiting.extendleft(job for job in reversed(jobs) if not job.settled)

    def _in_rounds(self, jobs: Sequence[WriteJob]) -> Flow[None]:
        """The first job of each memory together, then the second of each, and so on."""
        while jobs:
            first: dict[tuple[str, ...], WriteJob] = {}
            later = [
                job for job in jobs if first.setdefault(job.entry_store.namespace, job) is not job
            ]
            yield from self._round(list(first.values()))
            jobs = later

    def _round(self, jobs: Sequence[WriteJob]) -> Flow[None]:
        planned: Decided = []
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

    def _each(self, planned: Decided, stage: Callable[[Decided], Flow[None]]) -> Flow[Decided]:
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
        done: Decided = []
        for one in planned:
            done += yield from self._each([one], stage)
        return done

    def _planned(self, job: WriteJob) -> Flow[Batch | None]:
        """The batch of a job; None when it was carried out before, and the job has its answer."""
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

    def _answered(self, job: WriteJob) -> Flow[list[object] | None]:
        """What was answered to the batch of this key; the journal knows when the store lost it.

        What killed processes left is carried out first. The lock is held, so no living one is at it.
        """
        known: Batch | None = None
        if self._journal is not None:
            before = self._journal.before
            left, known = yield from in_thread(before, job.entry_store.namespace, job.key)
            for batch in left:
                yield from self._finished([(job, batch)])
        done = yield from job.entry_store.answer(job.key)
        if done is not None:
            return list(done["result"])
        return None if known is None else list(known.result)

    def _journalled(self, planned: Decided) -> Flow[None]:
        if self._journal is not None:
            rows = [(job.entry_store.namespace, batch) for job, batch in planned]
            yield from in_thread(self._journal.append_all, rows)
        return None

    def _finished(self, planned: Decided) -> Flow[None]:
        """Change the store, and then note in the journal that it is."""
        first, _ = planned[0]
        yield from first.entry_store.carry_out_all(
            [(job.entry_store, batch) for job, batch in planned],
            journalled=self._journal is not None,
        )
        if self._journal is not None:
            keys = [(job.entry_store.namespace, batch.key) for job, batch in planned]
            yield from in_thread(self._journal.mark_all_applied, keys)
        return None
