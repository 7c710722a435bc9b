"""One thing for each event loop, closed with it.

A pool of HTTP connections belongs to the event loop in which they were opened: in another they fail
with "Event loop is closed". ``asyncio.run`` ends asynchronous generators before it closes its loop,
and one of these holds what belongs to the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, Protocol, TypeVar


class _Closable(Protocol):
    """What can be closed on its event loop."""

    async def aclose(self) -> None:
        """Let go of what is held."""
        ...


T = TypeVar("T", bound=_Closable)


class PerLoop(Generic[T]):
    """Makes one ``T`` for each event loop that asks.

    What belonged to a loop that was closed without ending its generators is let go of when another
    loop comes.

    Args:
        make: makes one; called on the loop.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None, None]]] = {}

    async def get(self) -> T:
        """The one of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            for closed in [known for known in list(self._held) if known.is_closed()]:
                self._held.pop(closed, None)
            made = self._make()
            holder = self._hold(loop, made)
            self._held[loop] = made, holder
            await anext(holder)
        return self._held[loop][0]

    async def _hold(self, loop: asyncio.AbstractEventLoop, made: T) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._held.pop(loop, None)
            await made.aclose()
