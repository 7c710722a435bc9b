"""SQLite checkpoints for sync and async runs alike."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
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
from vitarmm_agent.private import FILE, private_file, private_folder

BUSY_SECONDS = 60
T = TypeVar("T")


class SqliteCheckpoints(SqliteSaver):
    """LangGraph's ``SqliteSaver`` with its async methods, which run in one worker thread.

    LangGraph has one saver for sync and one for async runs; an agent offers both on one file. The
    saver's lock lets one call through at a time anyway: one thread of our own keeps the others of
    the process free, and a call takes well under a millisecond. Asynchronous writes that wait at
    the same time share one transaction; each returns when its own is committed.
    """

    def __init__(
        self, conn: sqlite3.Connection, *, serde: SerializerProtocol | None = None
    ) -> None:
        """Use an open connection that may be used from several threads."""
        super().__init__(conn, serde=serde)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._waiting: list[_Write] = []
        self._gate = threading.Lock()
        self._grouping = threading.local()

    def close(self) -> None:
        """Finish what is under way and close the file."""
        self._worker.shutdown()
        self.conn.close()

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As in the base class; within a group of writes, the group holds the lock and commits."""
        if not getattr(self._grouping, "on", False):
            with super().cursor(transaction) as cursor:
                yield cursor
            return
        cursor = self.conn.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    async def _with_others(self, function: Callable[..., T], *args: Any) -> T:
        """Carry out a write in the worker, in one transaction with all that wait by then."""
        loop = asyncio.get_running_loop()
        write = _Write(lambda: function(*args), loop, loop.create_future())
        with self._gate:
            self._waiting.append(write)
            first = len(self._waiting) == 1
        if first:
            self._worker.submit(self._write_group)
        done: T = await write.future
        return done

    def _write_group(self) -> None:
        with self._gate:
            group, self._waiting = self._waiting, []
        try:
            with super().cursor():
                self._grouping.on = True
                for write in group:
                    write.carry_out()
        except sqlite3.Error as error:  # of the commit: nothing was written
            self.conn.rollback()
            for write in group:
                write.error = write.error or error
        finally:
            self._grouping.on = False
        for loop in dict.fromkeys(write.loop for write in group):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, [w for w in group if w.loop is loop])

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
        return await self._with_others(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As :meth:`put_writes`."""
        await self._with_others(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As :meth:`delete_thread`."""
        await self._off_loop(self.delete_thread, thread_id)


@dataclass(eq=False)
class _Write:
    """One write that waits, and what came of it."""

    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None

    def carry_out(self) -> None:
        try:
            self.value = self.function()
        except Exception as error:  # raised again in the coroutine that waits
            self.error = error


def _settle(group: Sequence[_Write]) -> None:
    for write in group:
        if write.future.done():  # cancelled
            continue
        if write.error is None:
            write.future.set_result(write.value)
        else:
            write.future.set_exception(write.error)


def open_checkpoints(path: Path) -> SqliteCheckpoints:
    """Open, or make, the checkpoint file; several processes may have it open, and open it at once.

    A killed process loses nothing that was written. A power cut may lose the newest checkpoints,
    never the file: the log is brought to the disk at SQLite's own checkpoints only (WAL with
    ``synchronous=NORMAL``). The run then goes on from an earlier one, and what it had written to
    memory, which is brought to the disk at once, is not written twice.

    Raises:
        InputError: the folder cannot be written or the file is no SQLite database.
    """
    from filelock import FileLock

    try:
        private_folder(path.parent)
        private_file(path)
        connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_SECONDS)
        connection.execute("PRAGMA synchronous=NORMAL")
        checkpoints = SqliteCheckpoints(connection)
        # SQLite refuses at once, without waiting, to change to WAL where another is at it.
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=BUSY_SECONDS, mode=FILE):
            checkpoints.setup()
    except (OSError, sqlite3.Error) as error:
        raise InputError(
            f"traces cannot be kept in {str(path)!r}: {error}; check the folder, or set "
            "VITARMM_DATA_DIR to another"
        ) from None
    return checkpoints
