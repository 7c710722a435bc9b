"""A verifier made of the caller's own: a function, or an object with a ``check`` of any kind."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from vitarmm_agent.effects import Call, Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.verifiers.base import Verifier
from vitarmm_agent.verifiers.person_reply import verdict_word

Answer = Feedback | bool | str | None
"""A feedback; True or False; None or an empty text to abstain; or a text: it fails, and the text says why.

A text that is a verdict in one word ("pass", "wrong", "unsure") is that verdict.
"""
Check = Callable[[Problem, Attempt], Answer | Awaitable[Answer] | Flow[Answer]]
"""Plain, a coroutine function, or a generator that yields :func:`~vitarmm_agent.effects.calls`."""


MAX_GROUNDS = 4_000
"""Characters of what a check says, which the model is shown; the rest is cut off."""


class OwnVerifier(Protocol):
    """An object that judges; its name is its ``name``, else its class's."""

    def check(
        self, problem: Problem, attempt: Attempt, /
    ) -> Answer | Awaitable[Answer] | Flow[Answer]:
        """Say whether ``attempt`` solves ``problem``."""
        ...


class Function:
    """Judges with ``function(problem, attempt)``, in sync and async runs whatever its kind.

    A plain one is called off the event loop; the coroutine of a sync run is awaited in a loop of its
    own. What it raises is the caller's own error and is passed on.
    """

    def __init__(
        self, function: Check, *, name: str = "function", sees_reference: bool = False
    ) -> None:
        """Wrap ``function``; ``sees_reference`` makes it an oracle, for evaluation only.

        Raises:
            InputError: it does not take a problem and an attempt.
        """
        check_arguments(function, name)
        self.function = function
        self.name = name
        self.sees_reference = sees_reference

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Call the function.

        Raises:
            InputError: it returned something else than :data:`Answer`.
        """
        answer: Any
        if inspect.isgeneratorfunction(self.function):
            answer = yield from self.function(problem, attempt)
        else:
            answer = yield from Call(
                lambda: _called(self.function, problem, attempt),
                lambda: _acalled(self.function, problem, attempt),
            )
            if isinstance(answer, Generator):
                answer = yield from answer
        return feedback_of(self.name, answer, oracle=self.sees_reference)


def feedback_of(name: str, answer: Any, *, oracle: bool = False) -> Feedback:
    """What the verifier ``name`` said, as a feedback of its.

    Raises:
        InputError: it is no :data:`Answer`.
    """
    said = _read(name, answer)
    message = said.message
    if said.verdict == "fail" and not (message or said.errors or said.mended):
        message = f"The check {name!r} does not hold."
    if len(message) > MAX_GROUNDS:
        message = f"{message[: MAX_GROUNDS - 1]}…"
    return said.model_copy(
        update={"source": name, "oracle": said.oracle or oracle, "message": message}
    )


def _read(name: str, answer: Any) -> Feedback:
    if (
        hasattr(answer, "item") and getattr(answer, "ndim", None) == 0
    ):  # a scalar of numpy, of torch
        answer = answer.item()
    if isinstance(answer, Feedback):
        return answer
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return Feedback(verdict="abstain", source=name)
    if isinstance(answer, bool):
        return Feedback(verdict="pass" if answer else "fail", source=name)
    if isinstance(answer, str):
        verdict = verdict_word(answer)
        return Feedback(verdict=verdict or "fail", source=name, message="" if verdict else answer)
    raise InputError(
        f"verifier {name!r} returned {answer!r:.200}; return a Feedback, True, False, None or a text"
    )


def check_arguments(check: Callable[..., Any], name: str) -> None:
    """Say at once that a check cannot be called, and not when it would first be used.

    Raises:
        InputError: it does not take a problem and an attempt.
    """
    try:
        takes = inspect.signature(check)
    except (TypeError, ValueError):  # of C, with none that could be read
        return
    try:
        takes.bind(None, None)
    except TypeError:
        raise InputError(
            f"verifier {name!r} takes {takes}; it is called with (problem, attempt)"
        ) from None


def own_verifier(given: Any) -> Verifier:
    """A verifier of what a caller gives as one.

    Args:
        given: a verifier; an object with a ``check`` of any kind; or a function, whose name becomes
            the verifier's.

    Raises:
        InputError: it is none of these, or does not take a problem and an attempt.
    """
    if isinstance(given, type):
        raise InputError(
            f"verifier {given!r} is a class; give an instance of it: {given.__name__}()"
        )
    check = getattr(given, "check", None)
    named = getattr(given, "name", None)
    if callable(check):
        if isinstance(named, str) and named and inspect.isgeneratorfunction(check):
            check_arguments(check, named)
            verifier: Verifier = given
            return verifier
        name = named if isinstance(named, str) and named else type(given).__name__
        return Function(check, name=name, sees_reference=getattr(given, "sees_reference", False))
    if callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        return Function(given, name="function" if name == "<lambda>" else name)
    raise InputError(
        f"verifier {given!r:.200} has no check and is no function; give a name such as 'arithmetic', "
        "a function of (problem, attempt), or an object with check(problem, attempt)"
    )


def _called(function: Check, problem: Problem, attempt: Attempt) -> Any:
    answer = function(problem, attempt)
    return _finished(answer) if inspect.isawaitable(answer) else answer


async def _acalled(function: Check, problem: Problem, attempt: Attempt) -> Any:
    own = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own):
        answer: Any = function(problem, attempt)
    else:
        answer = await asyncio.to_thread(function, problem, attempt)
    return await answer if inspect.isawaitable(answer) else answer


def _finished(answer: Awaitable[Any]) -> Any:
    """Await ``answer`` in a loop of its own: in another thread where this one's loop is running."""

    async def whole() -> Any:
        return await answer

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, whole()).result()
