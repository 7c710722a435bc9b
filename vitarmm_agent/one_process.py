"""Things that only the process that opened them can use."""

from __future__ import annotations

import os
from collections.abc import Callable

from vitarmm_agent.errors import MemoryStoreError, UserError


class OneProcess:
    """Refuses a process that was forked after something was opened.

    It has none of the threads that its parent's databases run on, and would wait for them for ever,
    perhaps holding a lock that its parent waits for; and its connections to servers are its parent's,
    so that each might read what the other was answered.
    """

    def __init__(self, what: str, error: type[UserError] = MemoryStoreError) -> None:
        """``what`` is opened by the process that runs now; another gets ``error``."""
        self._what, self._error, self._process = what, error, os.getpid()

    def check(self) -> None:
        """Go on only in the same process.

        Raises:
            UserError: this is another one.
        """
        if os.getpid() != self._process:
            raise self._error(forked(self._what))

    def only(self, close: Callable[[], None]) -> Callable[[], None]:
        """``close``, which does nothing in another process: what it would close is not its own."""

        def closed() -> None:
            if os.getpid() == self._process:
                close()

        return closed


def forked(what: str) -> str:
    """What is said to a process that was forked after ``what`` was opened."""
    return (
        f"{what} was opened before this process was forked; open the memory in the "
        "process that uses it, or start processes by `spawn`"
    )
