"""Something that is closed once, by whatever way."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Self

from vitarmm_agent.errors import InputError


class Closable:
    """Closes what it opened, once: by ``with``, ``async with`` or :meth:`close`."""

    def __init__(self, closing: ExitStack | None = None) -> None:
        """Have ``closing`` release it."""
        self._closing = closing or ExitStack()
        self._closed = False

    def close(self) -> None:
        """Release the files that were opened for this agent; what was passed to it stays open."""
        self._closed = True
        self._closing.close()

    def check_open(self) -> None:
        """Refuse to be used when closed.

        Raises:
            InputError: it is.
        """
        if self._closed:
            raise InputError("this agent is closed; open another")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)
