"""Locks by name that all machines respect: Postgres's advisory locks.

One connection of a process holds all its locks, and what is written under a lock is written on it: when
the connection breaks, the locks go with it, and so does the right to write.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import DatabaseError
from vitarmm_agent.one_process import OneProcess

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

PATIENCE = 120.0
"""Seconds to wait for another holder before giving up."""
POLL = 0.005
"""Seconds between two looks at a lock that somebody has."""


class LockSession:
    """The connection that holds the locks of this process. Safe for threads."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        told: Callable[[], AbstractContextManager[None]],
        opened: OneProcess,
    ) -> None:
        """Take connections from ``connect`` when they are needed; say errors as ``told`` does."""
        self._connect, self._told, self._opened = connect, told, opened
        self._mutex = threading.RLock()
        self._connection: Connection | None = None
        self._number = 0
        self._held: dict[int, int] = {}  # key: number of the connection that took it
        self._last: tuple[list[int], float] = [], 0.0

    def lock(self, names: Iterable[str]) -> NamesLock:
        """A lock on all of these names together; not taken yet."""
        return NamesLock(self, sorted({_key(name) for name in names}))

    def take(self, keys: list[int]) -> bool:
        """Take all of these or none; whether they were free.

        Raises:
            DatabaseError: the database does not answer.
        """
        self._opened.check()
        with self._mutex, self._told():
            if not self._held.keys().isdisjoint(keys):
                return False
            taken = self._tried(keys)
            if len(taken) < len(keys):
                self._unlock(taken)
                return False
            self._held.update(dict.fromkeys(keys, self._number))
            return True

    def give_back(self, keys: list[int]) -> None:
        """Give these back; a connection that broke has done so already."""
        with self._mutex:
            still = [key for key in keys if self._held.pop(key, None) == self._number]
            self._unlock(still)
            self._last = keys, time.monotonic()

    def let_others_look(self, keys: list[int]) -> None:
        """Who has just given a lock back and wants it again lets those who wait for it look first."""
        last, at = self._last
        if last == keys and (left := at + 1.5 * POLL - time.monotonic()) > 0:
            time.sleep(left)

    @contextmanager
    def transaction(self, names: Iterable[str]) -> Iterator[Connection]:
        """One transaction under those of the locks on ``names`` that this process has.

        Raises:
            DatabaseError: a lock was lost since it was taken, or the database does not answer.
        """
        self._opened.check()
        with self._mutex, self._told():
            connection = self._alive()
            lost = [n for n in names if self._held.get(_key(n), self._number) != self._number]
            if lost:
                raise DatabaseError(
                    "the connection to the database broke while this process was writing, and with "
                    "it the lock; nothing was written. Try again, or resume the run"
                )
            with connection.transaction():
                yield connection

    def close(self) -> None:
        """Close the connection; its locks go with it."""
        with self._mutex:
            self._drop()

    def _tried(self, keys: list[int]) -> list[int]:
        """Those that were free, and are ours now."""
        import psycopg

        ask = "SELECT k FROM unnest(%s::bigint[]) AS k WHERE pg_try_advisory_lock(k)"
        try:
            rows = self._alive().execute(ask, (keys,)).fetchall()
        except psycopg.OperationalError:  # it broke while nobody used it
            self._drop()
            rows = self._alive().execute(ask, (keys,)).fetchall()
        return [key for (key,) in rows]

    def _unlock(self, keys: list[int]) -> None:
        import psycopg

        if not keys or self._connection is None:
            return
        try:
            self._connection.execute(
                "SELECT pg_advisory_unlock(k) FROM unnest(%s::bigint[]) AS k", (keys,)
            )
        except psycopg.Error:
            self._drop()

    def _alive(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            self._number += 1
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


class NamesLock:
    """Several names as one lock; any thread may give it back."""

    waits_for_a_server = True
    """Taking it asks a server: off the event loop, then."""

    def __init__(self, session: LockSession, keys: list[int]) -> None:
        """Not taken yet."""
        self._session, self._keys = session, keys

    def acquire(self, blocking: bool = True) -> bool:
        """Take it; without ``blocking``, only if it is free. Returns whether it was taken.

        Raises:
            DatabaseError: the database does not answer, or somebody else has had it for
                :data:`PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        if blocking:
            self._session.let_others_look(self._keys)
        while not self._session.take(self._keys):
            if not blocking:
                return False
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"another process or machine has been writing to this memory for {PATIENCE:.0f} s; "
                    "end it, or try again"
                )
            time.sleep(POLL)
        return True

    def release(self) -> None:
        """Give it back."""
        self._session.give_back(self._keys)

    def __enter__(self) -> None:
        """Hold it for the length of a ``with`` block."""
        self.acquire()

    def __exit__(self, *failure: object) -> None:
        """Give it back."""
        self.release()


def _key(name: str) -> int:
    return int.from_bytes(
        hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], signed=True
    )
