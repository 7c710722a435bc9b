"""Synchronous and asynchronous from one flow."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Concatenate, ParamSpec, TypeVar

from vitarmm_agent.effects import Call, Flow, arun, run

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def twins(
    body: Callable[Concatenate[S, P], Flow[R]], lane: str = ""
) -> tuple[Callable[Concatenate[S, P], R], Callable[Concatenate[S, P], Coroutine[Any, Any, R]]]:
    """Methods ``x`` and ``ax`` that drive the flow ``_x``, with its documentation.

    With a ``lane``, ``ax`` runs the whole of ``x`` in one thread where the object has one for that
    lane (``self.worker(lane)``): one hop off the event loop instead of one per call.
    """
    name = body.__name__[1:]

    @functools.wraps(body)
    def synchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(body(self, *args, **kwargs))

    @functools.wraps(body)
    async def asynchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        worker: Executor | None = self.worker(lane) if lane else None  # type: ignore[attr-defined]
        if worker is not None:
            whole = functools.partial(synchronous, self, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(worker, whole)
        return await arun(body(self, *args, **kwargs))

    synchronous.__name__, asynchronous.__name__ = name, f"a{name}"
    return synchronous, asynchronous


def blocking(function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Call:
    """Call a function that blocks: in a thread when driven asynchronously."""
    return Call(
        lambda: function(*args, **kwargs),
        lambda: asyncio.to_thread(function, *args, **kwargs),
    )
