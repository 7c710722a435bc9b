"""One body for sync and async.

A function that talks to a model or a store is written once, as a generator that *yields* each
call and receives its result. :func:`run` drives it synchronously, :func:`arun` on an event loop
(the idea of ``httpx/_auth.py``).

    def recall(store, query) -> Flow[list[Item]]:
        items = yield call(store, "search", query)
        return [item for item in items if item.score > 0.5]

    run(recall(store, "…"))            # store.search(…)
    await arun(recall(store, "…"))     # await store.asearch(…)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One outside call, in both its forms."""

    sync: Callable[[], Any]
    asynchronous: Callable[[], Awaitable[Any]]


Flow = Generator[Call, Any, T]
"""A body that yields calls, receives their results, and returns ``T``."""


def call(target: object, method: str, /, *args: Any, **kwargs: Any) -> Call:
    """Ask for ``target.method(...)``, or ``target.amethod(...)`` when driven asynchronously."""
    return Call(
        lambda: getattr(target, method)(*args, **kwargs),
        lambda: getattr(target, f"a{method}")(*args, **kwargs),
    )


def in_thread(function: Callable[..., Any], /, *args: Any) -> Call:
    """Ask for ``function(...)``, which blocks: off the event loop when driven asynchronously."""
    return Call(lambda: function(*args), lambda: asyncio.to_thread(function, *args))


def run(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end with synchronous calls."""
    step: Callable[[], Call] = lambda: next(flow)  # noqa: E731
    while True:
        try:
            request = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            value = request.sync()
        except BaseException as error:
            step = _throw(flow, error)
        else:
            step = _send(flow, value)


async def arun(flow: Flow[T]) -> T:
    """Drive ``flow`` to its end, awaiting each call.

    Steps of different flows take turns, one per round of the event loop: when hundreds of calls end
    at once, whatever else runs on the loop is served in between.
    """
    turns = Turns.of_running_loop()
    step: Callable[[], Call] = lambda: next(flow)  # noqa: E731
    while True:
        try:
            await turns.next()
        except BaseException as error:  # cancelled meanwhile: the flow has things to give back
            step = _throw(flow, error)
        try:
            request = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            value = await request.asynchronous()
        except BaseException as error:
            step = _throw(flow, error)
        else:
            step = _send(flow, value)


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


def _send(flow: Flow[T], value: Any) -> Callable[[], Call]:
    return lambda: flow.send(value)


def _throw(flow: Flow[T], error: BaseException) -> Callable[[], Call]:
    return lambda: flow.throw(error)
