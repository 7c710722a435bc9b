"""What waits at the same time is carried out together: group commit.

A commit costs about the same for one piece of work as for fifty. Whoever comes first carries out the
pieces of all who wait by then; each caller returns when its own is settled, and an error reaches only
the callers it concerns.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from vitarmm_agent.errors import InternalError

T = TypeVar("T")


@dataclass(eq=False, kw_only=True)
class Piece(Generic[T]):
    """One caller's piece of work, and what came of it."""

    settled: bool = False
    value: T | None = None
    error: Exception | None = None

    def settle(self, value: T) -> None:
        """It is durable, with this outcome."""
        self.value, self.settled = value, True

    def fail(self, error: Exception) -> None:
        """It could not be carried out."""
        self.error, self.settled = error, True

    def outcome(self) -> T:
        """What came of it.

        Raises:
            Exception: what made it fail.
        """
        if self.error is not None:
            raise self.error
        if not self.settled:
            raise InternalError(f"{self!r:.200} was given up by its caller")
        return self.value  # type: ignore[return-value]


P = TypeVar("P", bound=Piece)  # type: ignore[type-arg]


class GroupCommit(Generic[P]):
    """Carries out pieces of work of many callers in groups. Safe for threads."""

    def __init__(self, carry_out: Callable[[deque[P]], None]) -> None:
        """``carry_out`` takes pieces from the left of those that wait and settles or fails each.

        One call of it runs at a time; what it leaves waiting is carried out by the next.
        """
        self.waiting: deque[P] = deque()
        self._carry_out = carry_out
        self._turn = threading.Lock()

    def join(self, piece: P) -> None:
        """Return when ``piece`` is settled; this thread carries out a group if it has to."""
        self.waiting.append(piece)
        self._lead_or_follow(piece)

    async def ajoin(self, piece: P, worker: Executor, *, leaves: bool = True) -> None:
        """:meth:`join`, in the thread of ``worker``.

        A caller that is cancelled leaves, unless its piece is under way; without ``leaves`` the piece
        stays, and is carried out with a later one or by :meth:`finish`.
        """
        self.waiting.append(piece)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(worker, self._lead_or_follow, piece)
        except asyncio.CancelledError:
            if leaves:
                self._leave(piece)
            raise

    def finish(self) -> None:
        """Carry out whatever waits."""
        with self._turn:
            while self.waiting:
                self._carry_out(self.waiting)

    def _lead_or_follow(self, piece: P) -> None:
        try:
            with self._turn:
                while piece in self.waiting:  # not when it is done, or its caller has left
                    self._carry_out(self.waiting)
        except BaseException:
            self._leave(piece)
            raise

    def _leave(self, piece: P) -> None:
        with suppress(ValueError):  # usually it was taken
            self.waiting.remove(piece)


def taken(waiting: deque[P]) -> list[P]:
    """All pieces that wait by now, in order; they wait no longer."""
    pieces = []
    while waiting:
        pieces.append(waiting.popleft())
    return pieces
