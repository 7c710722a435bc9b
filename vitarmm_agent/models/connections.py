"""Connections to model servers that any number of event loops may use, one after another or at once.

A pool of HTTP connections belongs to the event loop in which they were opened: in another they fail
with "Event loop is closed". LangChain shares one pool over a whole process, so that a second
``asyncio.run`` would meet the first one's connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from functools import cache
from importlib import import_module
from typing import Any
from urllib.request import getproxies

import openai

ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""After how many idle seconds a connection is probed, how often again, and how many times."""
MOST, MOST_IDLE = 1000, 100
"""Connections, as the OpenAI client has by default."""
_http: Any = import_module(openai.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
"""The HTTP library that the installed OpenAI client is built on: httpx, or its successor."""


class LoopwiseClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with connections of its own for each event loop; they end with the loop.

    ``asyncio.run`` ends asynchronous generators before it closes its loop, and one of these holds
    the loop's connections. Those of a loop that was closed without that are let go of when another
    loop comes.
    """

    def __init__(self) -> None:
        """Begin without a connection."""
        super().__init__()
        self._held: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None, None]]] = {}

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request over a connection of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._held:
            for closed in [known for known in list(self._held) if known.is_closed()]:
                self._held.pop(closed, None)
            client = _client()
            holder = self._hold(loop, client)
            self._held[loop] = client, holder
            await anext(holder)
        return await self._held[loop][0].send(request, **options)

    async def _hold(
        self, loop: asyncio.AbstractEventLoop, client: Any
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._held.pop(loop, None)
            await client.aclose()


@cache
def loopwise_client() -> LoopwiseClient:
    """The client that all hosted models of this process share."""
    return LoopwiseClient()


def _client() -> Any:
    """A client for one event loop; its sockets tell of a dead peer, unless a proxy is between."""
    if getproxies():  # found by the HTTP library itself, if it is given no transport
        return openai.DefaultAsyncHttpxClient()
    probes = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in ALIVE
        if hasattr(socket, name)
    ]
    transport = _http.AsyncHTTPTransport(
        limits=_http.Limits(max_connections=MOST, max_keepalive_connections=MOST_IDLE),
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *probes],
    )
    return openai.DefaultAsyncHttpxClient(transport=transport)
