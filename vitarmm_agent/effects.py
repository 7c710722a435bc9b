"""One body for sync and async.

A function that talks to a model or a store is written once, as a generator that *yields* each
call and receives its result. :func:`run` drives it synchronously, :func:`arun` on an event loop
(the idea of ``httpx/_auth.py``).

    def recall(store, query) -> Flow[list[Item]]:
        items = yield from calls(store.search, store.asearch, query)
        return [item for item in items if item.score > 0.5]

    run(recall(store, "…"))            # store.search(…)
    await arun(recall(store, "…"))     # await store.asearch(…)

``yield from`` rather than ``yield``: so a type checker knows what comes back. :func:`twins` makes the
two methods of a class from one such body.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One outside call, in both its forms."""

    sync: Callable[[], T]
    asynchronous: Callable[[], Awaitable[T]]

    def __iter__(self) -> Flow[T]:
        """Make the call: ``value = yield from call``."""
        value: T = yield self
        return value


Flow = Generator[Call[Any], Any, T]
"""A body that yields calls, receives their results, and returns ``T``."""


def calls(
    sync: Callable[P, T],
    asynchronous: Callable[P, Awaitable[T]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> Call[T]:
    """Ask for ``sync(...)``, or for ``asynchronous(...)``, which takes the same, when driven so."""
    return Call(lambda: sync(*args, **kwargs), lambda: asynchronous(*args, **kwargs))


def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
    """Ask for ``function(...)``, which blocks: off the event loop when driven asynchronously."""
    return Call(
        lambda: function(*args, **kwargs),
        lambda: asyncio.to_thread(function, *args, **kwargs),
    )


def run(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end with synchronous calls."""
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            request = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        value = error = None
        try:
            value = request.sync()
        except BaseException as raised:
            error = raised


async def arun(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end, awaiting each call.

    Steps of different flows take turns, one per round of the event loop: when hundreds of calls end
    at once, whatever else runs on the loop is served in between.
    """
    turns = Turns.of_running_loop()
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            await turns.next()
        except BaseException as raised:  # cancelled meanwhile: the flow has things to give back
            error = raised
        try:
            request = flow.send(value) if error is None else flow.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        value = error = None
        try:
            value = await request.asynchronous()
        except BaseException as raised:
            error = raised


def twins(
    body: Callable[Concatenate[S, P], Flow[T]], lane: str = ""
) -> tuple[Callable[Concatenate[S, P], T], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]]:
    """Methods ``x`` and ``ax`` that drive the object's flow ``_x``, with its documentation.

    The flow is looked up by its name, so a subclass that has a ``_x`` of its own changes both.

    With a ``lane``, ``ax`` runs the whole of ``x`` in one thread where the object has one for that
    lane (``self.worker(lane)``): one hop off the event loop instead of one per call.
    """
    own = body.__name__

    @functools.wraps(body)
    def synchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        flow: Flow[T] = getattr(self, own)(*args, **kwargs)
        return run(flow)

    @functools.wraps(body)
    async def asynchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        worker: Executor | None = self.worker(lane) if lane else None  # type: ignore[attr-defined]
        if worker is not None:
            whole = functools.partial(synchronous, self, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(worker, whole)
        flow: Flow[T] = getattr(self, own)(*args, **kwargs)
        return await arun(flow)

    synchronous.__name__, asynchronous.__name__ = own[1:], f"a{own[1:]}"
    return synchronous, asynchronous


def of_part(
    part: Callable[[S], R], body: Callable[Concatenate[R, P], Flow[T]]
) -> Callable[Concatenate[S, P], Flow[T]]:
    """The flow ``_x`` of an object that leaves it to the flow ``x`` of one of its parts."""

    @functools.wraps(body)
    def flow(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        return body(part(self), *args, **kwargs)

    flow.__name__ = f"_{body.__name__}"
    return flow


class Turns:
    """Lets coroutines of one event loop go on one per round, in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give turns on ``loop``."""
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._giving = False

    @classmethod
    def of_running_loop(cls) -> Turns:
        """The turns of the loop that runs."""
        loop = asyncio.get_running_loop()
        if loop not in _turns:
            _turns[loop] = cls(loop)
        return _turns[loop]

    async def next(self) -> None:
        """Wait for a turn; there is no wait when nobody had one in this round."""
        if not self._giving:
            self._give_later()
            return
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _give_later(self) -> None:
        self._giving = True
        self._loop.call_soon(self._give)

    def _give(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                self._give_later()
                return
        self._giving = False


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
