"""What every part of a memory rests on: its store, its history, and one batch at a time."""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from copy import copy
from datetime import UTC, datetime
from typing import Self

from langgraph.store.base import BaseStore

from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.chroma import ChromaStore
from vitarmm_agent.memory_store.group import Job, Planner, WriteGroup
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.locks import FolderLock, Lock
from vitarmm_agent.memory_store.names import check_namespace, decode_namespace
from vitarmm_agent.memory_store.planning import Plan
from vitarmm_agent.memory_store.ranking import DEFAULT_FLOOR, RecallConfig
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.shelf import ENTRIES, EVERYTHING, Shelf

_workers: weakref.WeakKeyDictionary[BaseStore, dict[str, Executor]] = weakref.WeakKeyDictionary()
_locks: weakref.WeakKeyDictionary[BaseStore, threading.Lock] = weakref.WeakKeyDictionary()


class MemoryCore:
    """One namespace of a store, with or without a journal."""

    def __init__(
        self,
        store: BaseStore,
        namespace: tuple[str, ...] = ("default", "agent"),
        *,
        journal: Journal | None = None,
        config: RecallConfig | None = None,
    ) -> None:
        """Use ``namespace`` of ``store``; without a journal there is no history and no undo.

        Raises:
            InputError: the namespace is empty or has a label that cannot be stored.
        """
        self.store = store
        self.namespace = check_namespace(namespace)
        self.journal = journal
        self.config = config or RecallConfig()
        self.shelf = Shelf(store, self.namespace)
        self._lock: Lock = _locks.setdefault(store, threading.Lock())
        if journal is not None and journal.path is not None:
            self._lock = FolderLock(journal.path.with_suffix(".lock"))
        self._group = WriteGroup(journal, self._lock)

    @property
    def floor(self) -> float:
        """Similarity below which nothing is recalled."""
        return DEFAULT_FLOOR if self.config.floor is None else self.config.floor

    def with_namespace(self, namespace: Sequence[str]) -> Self:
        """Another memory of the same store, journal and configuration: another tenant's.

        Raises:
            InputError: see :meth:`__init__`.
        """
        view = copy(self)
        view.namespace = check_namespace(tuple(namespace))
        view.shelf = Shelf(self.store, view.namespace)
        return view

    def worker(self, lane: str) -> Executor | None:
        """The thread for all calls of one kind; None where the store is best awaited natively.

        On embedded Chroma a write takes a few milliseconds in a dozen small calls: hundreds of runs
        that end together would spend far longer on hops between threads and on the lock.
        """
        if not getattr(self.store, "blocks_briefly", False):
            return None
        lanes = _workers.setdefault(self.store, {})
        if lane not in lanes:
            lanes[lane] = ThreadPoolExecutor(1, thread_name_prefix=f"memory-{lane}")
        return lanes[lane]

    def namespaces(self) -> dict[tuple[str, ...], int]:
        """All memories of the store and how many entries each has, put-aside ones included."""
        found = self.store.list_namespaces(suffix=(f"%{ENTRIES}",), limit=EVERYTHING)
        return {decode_namespace(stored): self._size(stored) for stored in found}

    def _size(self, stored: tuple[str, ...]) -> int:
        if isinstance(self.store, ChromaStore):
            return self.store.count(stored)
        items = self.store.search(stored, limit=EVERYTHING)
        return sum(item.namespace == stored for item in items)

    def close(self) -> None:
        """Release the store's and the journal's files."""
        close = getattr(self.store, "close", None)
        if close is not None:
            close()
        if self.journal is not None:
            self.journal.close()

    def _needed(self, entry_id: str) -> Flow[MemoryEntry]:
        entry = (yield from self.shelf.get([entry_id])).get(entry_id)
        if entry is None:
            raise InputError(f"there is no entry {entry_id!r}; see: vitarmm memory list")
        return entry

    def _history(self, what: str) -> Journal:
        if self.journal is None:
            raise InputError(f"{what} needs a journal, which this memory does not keep")
        return self.journal

    def _once(self, key: str, run: str, attempt: int, plan: Planner) -> Flow[list[object]]:
        """Plan and carry out a batch unless one of this key was; the answer of whichever was."""
        job = Job(self.shelf, self.namespace, key, run, attempt, plan)
        answer: list[object] = yield self._group.carry_out(job, lambda: self.worker("write"))
        return answer


def person_run(kind: str) -> str:
    """A run name for what a person does."""
    return f"person-{kind}-{uuid.uuid4().hex[:8]}"


def new_plan(known: dict[str, MemoryEntry]) -> Plan:
    """A plan that starts from these entries, now."""
    return Plan(known=known, now=datetime.now(UTC))
