"""A llama.cpp server in a child process of ours, and how it is asked.

The child owns the weights. It listens on a unix socket in a folder that only this user can enter, and
wants a key besides; no port is opened. A crash in native code, a fork, Ctrl-C and OpenMP's settings
stay on its side; two processes that open the same file share its pages in memory. It ends with the
last object that holds the server, or with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import weakref
from collections.abc import AsyncIterator, Hashable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.llama.process import (
    MOST_CALLS,
    Options,
    ServerProcess,
    check_file,
    check_platform,
)
from vitarmm_agent.loopwise import PerLoop

if TYPE_CHECKING:
    import httpx

_SHOWN = 600
_lock = threading.Lock()
_servers: weakref.WeakValueDictionary[Hashable, LlamaServer] = weakref.WeakValueDictionary()
_fork_is_watched = False


def shared_server(weights: Path, options: Options | None = None) -> LlamaServer:
    """The server of these weights in this process; made, but not started, when there is none.

    Raises:
        MissingExtraError: llama.cpp's wheel is not installed.
        WeightsError: the file is missing or no GGUF file.
    """
    options = options or Options()
    key = (weights.resolve(), options)
    with _lock:
        server = _servers.get(key)
        if server is None:
            server = _servers[key] = LlamaServer(weights.resolve(), options)
        return server


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
        check_file(weights)
        self.weights = weights
        self.options = options
        self._child: ServerProcess | None = None
        self._sync: httpx.Client | None = None
        self._forget()
        _watch_forks()

    def start(self) -> None:
        """Begin to load the weights, if that has not begun. Does not wait."""
        with self._starting:
            if self._child is not None and self._child.alive:
                return
            if self._child is not None:
                self._child.end()
                self._forget_clients()
            self._child = ServerProcess(self.weights, self.options)
            weakref.finalize(self, self._child.end)

    def wait(self) -> None:
        """Start, and return once the server answers.

        Raises:
            WeightsError: the weights cannot be opened.
        """
        self._ready_child()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ask for JSON with JSON.

        Raises:
            InputError: the request cannot be answered as it is.
            WeightsError: the weights cannot be opened.
            ModelServerError: the child ended while it was asked.
        """
        child = self._ready_child()
        with child.explained():
            answer = self._client(child).post(path, json=body)
            return self._checked(answer.status_code, answer.content)

    async def apost(self, path: str, body: dict[str, Any]) -> Any:
        """:meth:`post` on an event loop, which is never blocked."""
        child = await self._aready_child()
        with child.explained():
            client = await self._async_clients.get()
            answer = await client.post(child.url(path), json=body, headers=child.headers)
            return self._checked(answer.status_code, answer.content)

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Ask, and yield the events of the answer. Leaving early ends the work on it.

        Raises:
            InputError: the request cannot be answered as it is.
            WeightsError: the weights cannot be opened.
            ModelServerError: the child ended before the answer did.
        """
        child = self._ready_child()
        with (
            child.explained(),
            self._client(child).stream("POST", path, json=body) as answer,
        ):
            if answer.status_code != 200:
                self._checked(answer.status_code, answer.read())
            for line in answer.iter_lines():
                if event := self._event(line):
                    yield event

    async def astream(self, path: str, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """:meth:`stream` on an event loop, which is never blocked."""
        child = await self._aready_child()
        with child.explained():
            client = await self._async_clients.get()
            url = child.url(path)
            async with client.stream("POST", url, json=body, headers=child.headers) as answer:
                if answer.status_code != 200:
                    self._checked(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if event := self._event(line):
                        yield event

    def close(self) -> None:
        """End the child; it is started again when it is asked."""
        with self._starting:
            if self._child is not None:
                self._child.end()
                self._child = None
                self._forget_clients()

    @property
    def pid(self) -> int | None:
        """The child's process id, once it was started."""
        return None if self._child is None else self._child.process.pid

    def _ready_child(self) -> ServerProcess:
        self.start()
        child = self._child
        assert child is not None
        child.wait()
        return child

    async def _aready_child(self) -> ServerProcess:
        child = self._child
        if child is not None and child.is_ready and child.alive:
            return child
        return await asyncio.to_thread(self._ready_child)

    def _client(self, child: ServerProcess) -> httpx.Client:
        with self._starting:
            if self._sync is None:
                import httpx

                self._sync = httpx.Client(
                    transport=httpx.HTTPTransport(uds=child.socket, limits=_limits()),
                    base_url=child.url(""),
                    headers=child.headers,
                    timeout=None,
                )
            return self._sync

    def _async_client(self) -> httpx.AsyncClient:
        import httpx

        child = self._child
        assert child is not None
        transport = httpx.AsyncHTTPTransport(uds=child.socket, limits=_limits())
        return httpx.AsyncClient(transport=transport, timeout=None)

    def _forget(self) -> None:
        """Begin anew with locks and connections: at first, and in a process that was forked off."""
        self._starting = threading.RLock()
        self._forget_clients()

    def _forget_clients(self) -> None:
        self._sync = None
        self._async_clients: PerLoop[httpx.AsyncClient] = PerLoop(self._async_client)

    def _event(self, line: str) -> dict[str, Any] | None:
        if not line.startswith("data: ") or line == "data: [DONE]":
            return None
        event: dict[str, Any] = json.loads(line.removeprefix("data: "))
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


def _limits() -> httpx.Limits:
    """Bounded, and a connection for each call: the server closes idle ones when it likes."""
    import httpx

    return httpx.Limits(max_connections=MOST_CALLS, max_keepalive_connections=0)


def _refusal(name: str, status: int, error: dict[str, Any]) -> Exception:
    if error.get("type") == "exceed_context_size_error":
        return too_long(name, error.get("n_prompt_tokens", 0), 1, error.get("n_ctx", 0))
    message = str(error.get("message", error))[:_SHOWN]
    if status < 500:
        return InputError(f"llama.cpp cannot answer this request to {name}: {message}")
    return ModelServerError(f"llama.cpp failed over {name}: {message}; the run can be resumed")


def too_long(name: str, prompt: int, wanted: int, context: int) -> InputError:
    """The error of a prompt that leaves no room for its reply.

    Args:
        name: of the model.
        prompt: tokens of the prompt.
        wanted: tokens that the reply may have.
        context: tokens that the model holds.
    """
    room = context - prompt
    remedy = (
        f"lower max_tokens to {room:,} or shorten the prompt"
        if room > 0
        else f"shorten the prompt by at least {wanted - room:,} tokens"
    )
    return InputError(
        f"the prompt has {prompt:,} tokens and max_tokens is {wanted:,}, but {name!r} "
        f"holds {context:,} in all; {remedy}: nothing is cut silently"
    )


def _watch_forks() -> None:
    """Let a process that is forked off use the parents' children over connections of its own."""
    global _fork_is_watched
    if not _fork_is_watched and hasattr(os, "register_at_fork"):
        _fork_is_watched = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for server in list(_servers.values()):
        server._forget()
