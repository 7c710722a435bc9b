"""SQLite checkpoints for sync and async runs alike."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from vitarmm_agent.errors import InputError

BUSY_SECONDS = 60
T = TypeVar("T")


class SqliteCheckpoints(SqliteSaver):
    """LangGraph's ``SqliteSaver`` with its async methods, which run in one worker thread.

    LangGraph has one saver for sync and one for async runs; an agent offers both on one file. The
    saver's lock lets one call through at a time anyway: one thread of our own keeps the others of
    the process free, and a call takes well under a millisecond.
    """

    def __init__(
        self, conn: sqlite3.Connection, *, serde: SerializerProtocol | None = None
    ) -> None:
        """Use an open connection that may be used from several threads."""
        super().__init__(conn, serde=serde)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")

    def close(self) -> None:
        """Finish what is under way and close the file."""
        self._worker.shutdown()
        self.conn.close()

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *args)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As :meth:`get_tuple`."""
        return await self._off_loop(self.get_tuple, config)

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

        for checkpoint in await self._off_loop(read):
            yield checkpoint

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As :meth:`put`."""
        return await self._off_loop(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As :meth:`put_writes`."""
        await self._off_loop(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As :meth:`delete_thread`."""
        await self._off_loop(self.delete_thread, thread_id)


def open_checkpoints(path: Path) -> SqliteCheckpoints:
    """Open, or make, the checkpoint file; several processes may have it open.

    Raises:
        InputError: the folder cannot be written or the file is no SQLite database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA synchronous=NORMAL")
        checkpoints = SqliteCheckpoints(connection)
        checkpoints.setup()
    except (OSError, sqlite3.Error) as error:
        raise InputError(
            f"traces cannot be kept in {str(path)!r}: {error}; check the folder, or set "
            "VITARMM_DATA_DIR to another"
        ) from None
    return checkpoints
