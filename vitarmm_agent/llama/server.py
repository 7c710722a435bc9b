"""A llama.cpp server in a child process of ours, and how it is asked.

The child owns the weights. It listens on a unix socket in a folder that only this user can enter, and
wants a key besides; no port is opened. A crash in native code, a fork, Ctrl-C and OpenMP's settings
stay on its side; two processes that open the same file share its pages in memory. It ends with the
last object that holds the server, or with this process, however that ends. A process that is forked
off asks the same child; it keeps it running, and starts one of its own when that one is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitarmm_agent.effects import Flow, arun, calls, run
from vitarmm_agent.errors import InputError, InternalError, ModelServerError
from vitarmm_agent.llama.gguf_file import GgufFile
from vitarmm_agent.llama.process import (
    MOST_CALLS,
    Options,
    ServerProcess,
    check_platform,
)
from vitarmm_agent.loopwise import PerLoop

if TYPE_CHECKING:
    import httpx

_SHOWN = 600
TRIES = 3
"""How often a connection that was closed before any answer is made anew."""
_lock = threading.Lock()
_servers: weakref.WeakValueDictionary[Hashable, LlamaServer] = weakref.WeakValueDictionary()
_all: weakref.WeakSet[LlamaServer] = weakref.WeakSet()
_fork_is_watched = False


def shared_server(weights: Path, options: Options | None = None) -> LlamaServer:
    """The server of these weights in this process; made, but not started, when there is none.

    Raises:
        MissingExtraError: llama.cpp's wheel is not installed.
        WeightsError: the file is missing or no GGUF file.
    """
    options = _within(weights, options or Options())
    key = (weights.resolve(), options)
    with _lock:
        server = _servers.get(key)
        if server is None:
            server = _servers[key] = LlamaServer(weights.resolve(), options)
        return server


def _within(weights: Path, options: Options) -> Options:
    """``options`` with no more context than the model was made for, which is all that a call is given."""
    most = GgufFile.open(weights).context
    return replace(options, context=min(options.context, most or options.context))


class LlamaServer:
    """One child process over one file of weights. Safe for threads, event loops and forks.

    Args:
        weights: a GGUF file.
        options: how it is opened.

    Raises:
        MissingExtraError: llama.cpp's wheel is not installed.
        WeightsError: the file is missing or no GGUF file.
    """

    def __init__(self, weights: Path, options: Options) -> None:
        check_platform()
        self.weights = weights
        self.options = _within(weights, options)
        self._child: ServerProcess | None = None
        self._sync: httpx.Client | None = None
        self._async_clients: PerLoop[httpx.AsyncClient] | None = None
        self.grammars: set[str] = set()
        """Those that llama.cpp was seen to keep to."""
        self._forget()
        _all.add(self)
        _watch_forks()

    def start(self) -> None:
        """Begin to load the weights, if that has not begun. Does not wait."""
        with self._starting:
            if self._child is not None and self._child.alive:
                return
            if self._child is not None:
                self._child.end()
            self._child = ServerProcess(self.weights, self.options)
            self._forget_clients()
            weakref.finalize(self, self._child.end)

    def wait(self) -> None:
        """Start, and return once the server answers.

        Raises:
            WeightsError: the weights cannot be opened.
        """
        self._ready_child()

    def about(self) -> dict[str, Any]:
        """What the server says of itself and the model; asked once. Raises as :meth:`post`."""
        child = self._ready_child()
        if child.about is not None:
            return child.about
        with child.explained():
            answer = self._client(child).get("/props")
            about: dict[str, Any] = self._checked(answer.status_code, answer.content)
        child.about = about
        return about

    async def aabout(self) -> dict[str, Any]:
        """:meth:`about` on an event loop, which is never blocked."""
        child = await self._aready_child()
        if child.about is not None:
            return child.about
        return await asyncio.to_thread(self.about)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ask for JSON with JSON.

        Raises:
            InputError: the request cannot be answered as it is.
            WeightsError: the weights cannot be opened.
            ModelServerError: the child ended while it was asked.
        """
        child = self._ready_child()
        with child.explained():
            answer = run(self._answer(child, path, body))
            return self._checked(answer.status_code, answer.read())

    async def apost(self, path: str, body: dict[str, Any]) -> Any:
        """:meth:`post` on an event loop, which is never blocked."""
        child = await self._aready_child()
        with child.explained():
            answer = await arun(self._answer(child, path, body))
            return self._checked(answer.status_code, await answer.aread())

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Ask, and yield the events of the answer. Leaving early ends the work on it.

        Raises:
            InputError: the request cannot be answered as it is.
            WeightsError: the weights cannot be opened.
            ModelServerError: the child ended before the answer did.
        """
        child = self._ready_child()
        with child.explained(), closing(run(self._answer(child, path, body))) as answer:
            if answer.status_code != 200:
                self._checked(answer.status_code, answer.read())
            lines = _Lines()
            for piece in answer.iter_bytes():
                for line in lines.ended_by(piece):
                    if event := self._event(line):
                        yield event

    async def astream(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """:meth:`stream` on an event loop, which is never blocked."""
        child = await self._aready_child()
        with child.explained():
            async with aclosing(await arun(self._answer(child, path, body))) as answer:
                if answer.status_code != 200:
                    self._checked(answer.status_code, await answer.aread())
                lines = _Lines()
                async for piece in answer.aiter_bytes():
                    for line in lines.ended_by(piece):
                        if event := self._event(line):
                            yield event

    def close(self) -> None:
        """End the child; it is started again when it is asked."""
        with self._starting:
            if self._child is not None:
                self._child.end()
                self._child = None
                self._forget_clients()

    def log(self) -> str:
        """What the child said so far on standard error."""
        return "" if self._child is None else self._child.said()

    @property
    def pid(self) -> int | None:
        """The child's process id, once it was started."""
        return None if self._child is None else self._child.process.pid

    def _ready_child(self) -> ServerProcess:
        self.start()
        child = self._child
        assert child is not None
        self._client(child)  # made while the weights are awaited: it takes a moment
        child.wait()
        return child

    async def _aready_child(self) -> ServerProcess:
        child = self._child
        if child is not None and child.is_ready and child.alive:
            return child
        import anyio

        anyio.current_time()  # imports what httpx would at the first call
        return await asyncio.to_thread(self._ready_child)

    def _client(self, child: ServerProcess) -> httpx.Client:
        with self._starting:
            if self._sync is None:
                import httpx

                self._sync = httpx.Client(
                    transport=httpx.HTTPTransport(uds=child.socket, limits=_limits(), verify=False),
                    base_url=child.url(""),
                    headers=child.headers,
                    timeout=None,
                )
            return self._sync

    def _answer(
        self, child: ServerProcess, path: str, body: dict[str, Any]
    ) -> Flow[httpx.Response]:
        """The beginning of an answer. On a crowded machine the server may let go of a new connection."""
        import httpx

        for left in reversed(range(TRIES)):
            try:
                return (yield from calls(self._send, self._asend, child, path, body))
            except httpx.TransportError:
                if not left or not child.alive:
                    raise
        raise InternalError("a loop of tries ended without an answer")

    def _send(self, child: ServerProcess, path: str, body: dict[str, Any]) -> httpx.Response:
        client = self._client(child)
        return client.send(client.build_request("POST", path, json=body), stream=True)

    async def _asend(self, child: ServerProcess, path: str, body: dict[str, Any]) -> httpx.Response:
        assert self._async_clients is not None
        client = await self._async_clients.get()
        url, headers = child.url(path), child.headers
        request = client.build_request("POST", url, json=body, headers=headers)
        return await client.send(request, stream=True)

    def _forget(self) -> None:
        """Begin anew with locks and connections: at first, and in a process that was forked off."""
        self._starting = threading.RLock()
        self._forget_clients()

    def _forget_clients(self) -> None:
        self._sync = None
        self._async_clients = None if self._child is None else _loopwise(self._child.socket)

    def _event(self, line: bytes) -> dict[str, Any] | None:
        if not line.startswith(b"data: ") or line == b"data: [DONE]":
            return None
        event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        if "error" in event:
            self._checked(int(event["error"].get("code", 500)), json.dumps(event).encode())
        return event

    def _checked(self, status: int, content: bytes) -> Any:
        """The answer as data."""
        try:
            data = json.loads(content)
        except ValueError:
            data = {"error": {"message": content.decode("utf-8", "replace")[:_SHOWN]}}
        if status == 200 and not (isinstance(data, dict) and "error" in data):
            return data
        raise _refusal(self.weights.name, status, data["error"])


class _Lines:
    """Lines of a stream of bytes. Texts hold other breaks (U+2028), which end none."""

    def __init__(self) -> None:
        self._rest = b""

    def ended_by(self, piece: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        return whole


def _loopwise(socket: str) -> PerLoop[httpx.AsyncClient]:
    import httpx

    def client() -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=socket, limits=_limits(), verify=False)
        return httpx.AsyncClient(transport=transport, timeout=None)

    return PerLoop(client)


def _limits() -> httpx.Limits:
    """Bounded, and a connection for each call: the server closes idle ones when it likes."""
    import httpx

    return httpx.Limits(max_connections=MOST_CALLS, max_keepalive_connections=0)


def _refusal(name: str, status: int, error: dict[str, Any]) -> Exception:
    message = str(error.get("message", error))[:_SHOWN]
    if status < 500:
        return InputError(f"llama.cpp cannot answer this request to {name}: {message}")
    return ModelServerError(f"llama.cpp failed over {name}: {message}; the run can be resumed")


def _watch_forks() -> None:
    """Let a process that is forked off use the parents' children over connections of its own."""
    global _fork_is_watched
    if not _fork_is_watched and hasattr(os, "register_at_fork"):
        _fork_is_watched = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for server in list(_all):
        server._forget()
