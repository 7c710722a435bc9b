"""Connections to model servers: for threads, and for any number of event loops, one after another or at once.

LangChain shares one pool of connections over a whole process, so that a second ``asyncio.run`` would meet
the first one's; and where one of two clients is given, it makes the other one deaf to proxies.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any
from urllib.request import getproxies

import openai

from vitarmm_agent.errors import InputError
from vitarmm_agent.loopwise import PerLoop
from vitarmm_agent.redaction import public_address
from vitarmm_agent.servers.bodies import CONTENT, fault

ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""After how many idle seconds a connection is probed, how often again, and how many times."""
MOST, MOST_IDLE = 1000, 100
"""Connections, as the OpenAI client has by default."""
_http: Any = import_module(openai.DefaultAsyncHttpxClient.__base__.__module__.partition(".")[0])
"""The HTTP library that the installed OpenAI client is built on: httpx, or its successor."""


class ThreadsClient(openai.DefaultHttpxClient):
    """An HTTP client for threads; an answer that is none has the status that it should have."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request."""
        answer = super().send(request, **options)
        if _is_judged(answer):
            answer.read()
            return _as_told(answer)
        return answer


class LoopwiseClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with connections of its own for each event loop; they end with the loop."""

    def __init__(self) -> None:
        """Begin without a connection."""
        super().__init__()
        self._clients: PerLoop[Any] = PerLoop(_loop_client)

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request over a connection of the running loop; see :class:`ThreadsClient`."""
        answer = await (await self._clients.get()).send(request, **options)
        if _is_judged(answer):
            await answer.aread()
            return _as_told(answer)
        return answer


def connections(proxy: str | None = None) -> dict[str, Any]:
    """The clients that all hosted models of this process share, as options of a LangChain model.

    Args:
        proxy: LangChain's own option, as its variable ``OPENAI_PROXY``; it then makes the clients.

    Raises:
        InputError: a proxy of the environment cannot be used.
    """
    if proxy or os.environ.get("OPENAI_PROXY"):
        return {}
    return dict(_connections(tuple(sorted(getproxies().items()))))


@cache
def _connections(proxies: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    with _proxies_named(dict(proxies)):
        return {
            "http_client": ThreadsClient(**_transport(_http.HTTPTransport)),
            "http_async_client": LoopwiseClient(),
        }


@contextmanager
def _proxies_named(proxies: dict[str, str]) -> Iterator[None]:
    """Say which proxy it is that the HTTP library cannot use."""
    try:
        yield
    except (ImportError, ValueError, _http.InvalidURL) as error:
        known = {scheme: url for scheme, url in proxies.items() if scheme != "no"}
        if not known:
            raise
        shown = ", ".join(f"{public_address(url)!r} ({key})" for key, url in known.items())
        reason = (
            "a SOCKS proxy needs the package socksio, which is not installed: pip install socksio"
            if isinstance(error, ImportError)
            else f"{error}"
        )
        raise InputError(
            f"the proxy of the environment cannot be used ({shown}): {reason}; or unset its variable"
        ) from None


def _loop_client() -> Any:
    """A client for one event loop."""
    return openai.DefaultAsyncHttpxClient(**_transport(_http.AsyncHTTPTransport))


def _transport(make: Any) -> dict[str, Any]:
    """A transport whose sockets tell of a dead peer, unless a proxy is between."""
    if getproxies():  # found by the HTTP library itself, if it is given no transport
        return {}
    probes = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in ALIVE
        if hasattr(socket, name)
    ]
    transport = make(
        limits=_http.Limits(max_connections=MOST, max_keepalive_connections=MOST_IDLE),
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *probes],
    )
    return {"transport": transport}


def _is_judged(answer: Any) -> bool:
    """Whether an answer is to be read before the OpenAI client sees it; a stream of events is not."""
    if answer.status_code != 200 or not answer.request.url.path.endswith((*CONTENT, "/responses")):
        return False
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return False
    whole = kind in ("application/json", "text/html") or answer.headers.get("content-length") == "0"
    return whole or answer.is_closed


def _as_told(answer: Any) -> Any:
    """The answer, or in place of one that is none the refusal that it should have been."""
    wrong = fault(answer.request.url.path, answer.content)
    if wrong is None:
        return answer
    status, words = wrong
    told = {"error": {"message": f"HTTP 200 with {words}", "code": status}}
    return _http.Response(status, json=told, request=answer.request)
