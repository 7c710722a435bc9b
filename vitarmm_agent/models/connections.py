"""Connections to model servers that any number of event loops may use, one after another or at once.

LangChain shares one pool of connections over a whole process, so that a second ``asyncio.run`` would meet
the first one's.
"""

from __future__ import annotations

import socket
from functools import cache
from importlib import import_module
from typing import Any
from urllib.request import getproxies

import openai

from vitarmm_agent.loopwise import PerLoop

ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""After how many idle seconds a connection is probed, how often again, and how many times."""
MOST, MOST_IDLE = 1000, 100
"""Connections, as the OpenAI client has by default."""
_http: Any = import_module(openai.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
"""The HTTP library that the installed OpenAI client is built on: httpx, or its successor."""


class LoopwiseClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with connections of its own for each event loop; they end with the loop."""

    def __init__(self) -> None:
        """Begin without a connection."""
        super().__init__()
        self._clients: PerLoop[Any] = PerLoop(_client)

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request over a connection of the running loop."""
        return await (await self._clients.get()).send(request, **options)


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
