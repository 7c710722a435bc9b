"""What the checkpointers of this package have in common: SQLite's and Postgres's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from vitarmm_agent.errors import InputError

T = TypeVar("T")
STRATEGIES = ("keep_latest", "delete")
"""What pruning leaves of a thread: its newest checkpoint, or nothing."""
REMARKS = "CREATE TABLE IF NOT EXISTS remarks (thread_id TEXT PRIMARY KEY, text TEXT NOT NULL)"
"""What people noted of runs, in either database."""

_EVERY_THREAD = """
    SELECT min(thread_id) FROM checkpoints
    UNION ALL
    SELECT (SELECT min(thread_id) FROM checkpoints WHERE thread_id > threads.id)
    FROM threads WHERE threads.id IS NOT NULL
"""
_HEADS = """
WITH RECURSIVE threads(id) AS ({threads}), ends(id, born, last) AS (
    SELECT id,
        (SELECT min(checkpoint_id) FROM checkpoints WHERE thread_id = id AND checkpoint_ns = ''),
        (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = id AND checkpoint_ns = '')
    FROM threads WHERE id IS NOT NULL
)
SELECT id, born, last || ':' || (SELECT count(*) FROM {writes} w
    WHERE w.thread_id = ends.id AND w.checkpoint_ns = '' AND w.checkpoint_id = last) AS version
FROM ends WHERE last IS NOT NULL ORDER BY born DESC
"""


def heads_sql(writes: str, threads: str = _EVERY_THREAD) -> str:
    """A query for threads, each with its first checkpoint, and what changes whenever the thread does.

    Args:
        writes: the table of the saver's writes.
        threads: a query for the ids of the threads; default: of all.
    """
    return _HEADS.format(writes=writes, threads=threads)


class Checkpoints(BaseCheckpointSaver[str]):
    """Synchronous checkpoints with their async methods, which run in worker threads.

    LangGraph has one saver for sync and one for async runs; an agent offers both on one of these.
    """

    worker: Executor
    """Where the async methods run."""

    def shrink(self) -> bool:
        """Give the space of what was deleted back to the disk; whether nobody was writing meanwhile."""
        raise NotImplementedError

    def spare(self) -> float:
        """The share of the space that :meth:`shrink` would give back."""
        raise NotImplementedError

    def remarks(self, thread_id: str | None = None) -> dict[str, str]:
        """What people noted of runs, of one or of all: thread → text, as :meth:`remark` kept it."""
        raise NotImplementedError

    def remark(self, thread_id: str, text: str) -> None:
        """Keep what a person notes of a run, in place of what was noted before; nothing for ""."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what is under way and close."""
        raise NotImplementedError

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints and writes of a thread to another."""
        own: RunnableConfig = {"configurable": {"thread_id": str(source_thread_id)}}
        for found in [*self.list(own)][::-1]:
            at = found.config["configurable"]
            parent = (found.parent_config or {"configurable": {}})["configurable"]
            place = {"thread_id": str(target_thread_id), "checkpoint_ns": at["checkpoint_ns"]}
            versions = found.checkpoint["channel_versions"]
            before = {"checkpoint_id": parent["checkpoint_id"]} if parent else {}
            copied = self.put(
                {"configurable": place | before}, found.checkpoint, found.metadata, versions
            )
            tasks: dict[str, list[tuple[str, Any]]] = {}
            for task_id, channel, value in found.pending_writes or ():
                tasks.setdefault(task_id, []).append((channel, value))
            for task_id, writes in tasks.items():
                self.put_writes(copied, writes, task_id)

    def check_strategy(self, strategy: str) -> None:
        """Refuse a strategy of pruning that is not known.

        Raises:
            InputError: it is not.
        """
        if strategy not in STRATEGIES:
            raise InputError(f"strategy must be 'keep_latest' or 'delete', got {strategy!r}")

    async def off_loop(self, function: Callable[..., T], *args: Any) -> T:
        """What a function returns that is called in a worker."""
        return await asyncio.get_running_loop().run_in_executor(self.worker, function, *args)

    async def write_off_loop(self, function: Callable[..., T], *args: Any) -> T:
        """The same of one that writes."""
        return await self.off_loop(function, *args)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As :meth:`put`."""
        return await self.write_off_loop(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As :meth:`put_writes`."""
        await self.write_off_loop(self.put_writes, config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As :meth:`get_tuple`."""
        return await self.off_loop(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As :meth:`list`."""

        def read() -> list[CheckpointTuple]:
            found: Iterator[CheckpointTuple] = self.list(
                config, filter=filter, before=before, limit=limit
            )
            return [*found]

        for checkpoint in await self.off_loop(read):
            yield checkpoint

    async def adelete_thread(self, thread_id: str) -> None:
        """As :meth:`delete_thread`."""
        await self.off_loop(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As :meth:`delete_for_runs`."""
        await self.off_loop(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As :meth:`copy_thread`."""
        await self.off_loop(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As :meth:`prune`."""
        await self.off_loop(lambda: self.prune(thread_ids, strategy=strategy))
