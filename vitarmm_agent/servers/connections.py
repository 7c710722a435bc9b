"""Connections to model servers: for threads, and for any number of event loops, one after another or at once.

LangChain shares one pool of connections over a whole process, so that a second ``asyncio.run`` would meet
the first one's; and where one of two clients is given, it makes the other one deaf to proxies.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import openai

from vitarmm_agent.errors import InputError
from vitarmm_agent.loopwise import PerLoop
from vitarmm_agent.redaction import public_address
from vitarmm_agent.servers.bodies import CHAT, CONTENT, as_expected, fault
from vitarmm_agent.servers.events import (
    AsyncCheckedStream,
    CheckedStream,
    are_events,
    whole_as_events,
)
from vitarmm_agent.servers.openai import OPENAI

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
            return _as_told(answer, options)
        if _may_break_off(answer, options):
            answer.stream = CheckedStream(answer.stream, request.url.path)
        return answer


class LoopwiseClient(openai.DefaultAsyncHttpxClient):
    """An HTTP client with connections of its own for each event loop; they end with the loop."""

    def __init__(self, proxy: str | None) -> None:
        """Begin without a connection; there is a ``proxy`` between, or none."""
        super().__init__(**_way(proxy, _http.AsyncHTTPTransport))
        self._clients: PerLoop[Any] = PerLoop(
            lambda: openai.DefaultAsyncHttpxClient(**_way(proxy, _http.AsyncHTTPTransport))
        )

    async def send(self, request: Any, **options: Any) -> Any:
        """Send a request over a connection of the running loop; see :class:`ThreadsClient`."""
        answer = await (await self._clients.get()).send(request, **options)
        if _is_judged(answer):
            await answer.aread()
            return _as_told(answer, options)
        if _may_break_off(answer, options):
            answer.stream = AsyncCheckedStream(answer.stream, request.url.path)
        return answer


def connections(base_url: str | None, proxy: str | None = None) -> dict[str, Any]:
    """The clients that the hosted models of this process share, as options of a LangChain model.

    Args:
        base_url: of the server; None is OpenAI's.
        proxy: LangChain's own option, as its variable ``OPENAI_PROXY``; it then makes the clients.

    Raises:
        InputError: the proxy that the environment names for this server cannot be used.
    """
    if proxy or os.environ.get("OPENAI_PROXY"):
        return {}
    return dict(_connections(_proxy_of(base_url or f"https://{OPENAI}")))


def _proxy_of(address: str) -> str | None:
    """The proxy that the environment, or the system, names for an address.

    The HTTP library would open all that are named, also for addresses that go past them.
    """
    parts, known = urlsplit(address), getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    hosts = (parts.netloc.rpartition("@")[2], parts.hostname or "")
    if not proxy or any(map(proxy_bypass, hosts)):
        return None
    if "://" not in proxy:
        return f"http://{proxy}"
    # Desktops write socks:// for it.
    return re.sub("^socks://", "socks5://", proxy, flags=re.IGNORECASE)


@cache
def _connections(proxy: str | None) -> dict[str, Any]:
    with _proxy_named(proxy):
        return {
            "http_client": ThreadsClient(**_way(proxy, _http.HTTPTransport)),
            "http_async_client": LoopwiseClient(proxy),
        }


@contextmanager
def _proxy_named(proxy: str | None) -> Iterator[None]:
    """Say which proxy it is that the HTTP library cannot use."""
    try:
        yield
    except (ImportError, ValueError, _http.InvalidURL) as error:
        if proxy is None:
            raise
        reason = (
            "a SOCKS proxy needs the package socksio, which is not installed: pip install socksio"
            if isinstance(error, ImportError)
            else f"{error}"
        )
        raise InputError(
            f"the proxy of the environment cannot be used ({public_address(proxy)!r}): {reason}; or unset "
            "its variable"
        ) from None


def _way(proxy: str | None, make: Any) -> dict[str, Any]:
    """The way to a server: through a proxy, or over sockets that tell of a dead peer."""
    if proxy is not None:
        return {"proxy": proxy}
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
    if answer.status_code != 200 or not answer.request.url.path.endswith(tuple(CONTENT)):
        return False
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        return False
    whole = kind in ("application/json", "text/html") or answer.headers.get("content-length") == "0"
    return whole or answer.is_closed


def _may_break_off(answer: Any, options: dict[str, Any]) -> bool:
    """Whether an answer is the stream of a reply, or what a server gives in its place."""
    if not options.get("stream") or not answer.request.url.path.endswith(CHAT):
        return False
    coded = answer.headers.get("content-encoding", "identity") != "identity"
    return bool(answer.status_code == 200 and not coded)


def _as_told(answer: Any, options: dict[str, Any]) -> Any:
    """The answer as the client expects it, or in place of one that is none the refusal that it should be."""
    path = answer.request.url.path
    streamed = bool(options.get("stream")) and path.endswith(CHAT)
    if streamed and are_events(answer.content):
        return answer
    wrong = fault(path, answer.content)
    if wrong is not None:
        status, words = wrong
        told = {"error": {"message": f"HTTP 200 with {words}", "code": status}}
        return _http.Response(status, json=told, request=answer.request)
    if streamed:
        events = whole_as_events(path, answer.content)
        return _http.Response(200, content=events, request=answer.request)
    return _http.Response(200, json=as_expected(path, answer.content), request=answer.request)
