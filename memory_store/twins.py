"""Synchronous and asynchronous from one flow."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from vitarmm_agent.effects import Call, Flow, arun, run

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def twins(
    body: Callable[Concatenate[S, P], Flow[R]],
) -> tuple[Callable[Concatenate[S, P], R], Callable[Concatenate[S, P], Coroutine[Any, Any, R]]]:
    """Methods ``x`` and ``ax`` that drive the flow ``_x``, with its documentation."""
    name = body.__name__.lstrip("_")

    @functools.wraps(body)
    def synchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(body(self, *args, **kwargs))

    @functools.wraps(body)
    async def asynchronous(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await arun(body(self, *args, **kwargs))

    synchronous.__name__, asynchronous.__name__ = name, f"a{name}"
    return synchronous, asynchronous


def blocking(function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Call:
    """Call a function that blocks: in a thread when driven asynchronously."""
    return Call(
        lambda: function(*args, **kwargs),
        lambda: asyncio.to_thread(function, *args, **kwargs),
    )
