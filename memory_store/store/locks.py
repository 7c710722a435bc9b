"""Keeping threads and processes out of each other's way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vitarmm_agent.effects import Call
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.one_process import OneProcess
from vitarmm_agent.private import FILE

if TYPE_CHECKING:
    from filelock import BaseFileLock

PATIENCE = 120.0
"""Seconds to wait for another writer before giving up."""
POLL = 0.003
LONGEST_POLL = 0.05
"""Seconds between two questions to a server."""


class Lock(Protocol):
    """Something one holder at a time can have; any thread may give it back."""

    def acquire(self, blocking: bool = True) -> bool:
        """Take it; without ``blocking``, only if it is free. Returns whether it was taken."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class FolderLock:
    """Excludes every other holder of the same file, in this process or another.

    A killed process leaves no lock behind: the system drops it with the file handle.
    """

    def __init__(self, path: Path) -> None:
        """Lock by the file ``path``, which is made when it is missing."""
        self.path = path
        self._opened = OneProcess(f"the lock {str(path)!r}")
        self._threads = threading.Lock()
        self._held: BaseFileLock | None = None

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock.

        Raises:
            MemoryStoreError: somebody else has held it for :data:`PATIENCE` seconds, the file
                cannot be made, or this process was forked from the one that named it.
        """
        from filelock import FileLock, Timeout

        self._opened.check()
        patience = PATIENCE if blocking else 0
        if not self._threads.acquire(timeout=patience):
            return self._not_taken(blocking)
        # A new handle is a new holder, also within one process.
        lock = FileLock(
            self.path, timeout=patience, poll_interval=POLL, thread_local=False, mode=FILE
        )
        try:
            lock.acquire()
            self._held = lock
        except Timeout:
            return self._not_taken(blocking)
        except OSError as error:
            raise MemoryStoreError(
                f"memory folder {str(self.path.parent)!r} cannot be locked: {error.strerror}; "
                "check that it exists and can be written"
            ) from None
        finally:
            if self._held is None:
                self._threads.release()
        return True

    def release(self) -> None:
        """Give the lock back."""
        held, self._held = self._held, None
        if held is not None:
            held.release()
            self._threads.release()

    def _not_taken(self, blocking: bool) -> bool:
        if blocking:
            raise MemoryStoreError(
                f"{str(self.path)!r} was locked by another process for {PATIENCE:.0f} s; "
                "end that process or try again"
            )
        return False


@contextmanager
def holding(lock: Lock) -> Iterator[None]:
    """Hold ``lock`` for the length of a ``with`` block."""
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class Turn:
    """One turn at a lock: to be taken inside the ``try`` that gives it back.

    A flow that is cancelled may never hear that it has the lock; its turn knows.
    """

    def __init__(self, lock: Lock) -> None:
        """Wait for no lock yet."""
        self._lock, self._taken = lock, False

    def take(self) -> Call[None]:
        """Take the lock; when driven asynchronously the event loop goes on meanwhile."""
        return Call(self._take, self._atake)

    def give_back(self) -> None:
        """Release what was taken."""
        if self._taken:
            self._taken = False
            self._lock.release()

    def _take(self) -> None:
        self._taken = self._lock.acquire()

    async def _atake(self) -> None:
        self._taken = await _take(self._lock)


async def _take(lock: Lock) -> bool:
    deadline, pause = time.monotonic() + PATIENCE, POLL
    while not await _tried(lock):  # a cancelled waiter leaves nothing taken
        if time.monotonic() > deadline:
            return lock.acquire()
        await asyncio.sleep(pause)
        if getattr(lock, "waits_for_a_server", False):
            pause = min(pause * 1.5, LONGEST_POLL)
    return True


async def _tried(lock: Lock) -> bool:
    """Whether it was free, and is taken now; a server is asked off the event loop."""
    if not getattr(lock, "waits_for_a_server", False):
        return lock.acquire(blocking=False)
    asked = asyncio.ensure_future(asyncio.to_thread(lock.acquire, False))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        asked.add_done_callback(lambda done: _give_back(lock, done))
        raise


def _give_back(lock: Lock, asked: asyncio.Future[bool]) -> None:
    if not asked.cancelled() and asked.exception() is None and asked.result():
        lock.release()
