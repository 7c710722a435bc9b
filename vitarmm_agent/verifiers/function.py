"""A verifier made of the user's own callable."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from vitarmm_agent.effects import Call, Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem

Answer = Feedback | bool | str | None
"""A feedback; True or False; None to abstain; or a text: it fails, and the text says why."""


class Function:
    """Judges with ``function(problem, attempt)``, which may be a coroutine function in async runs.

    What it raises is the caller's own error and is passed on.
    """

    def __init__(
        self,
        function: Callable[[Problem, Attempt], Answer | Awaitable[Answer]],
        *,
        name: str = "function",
        sees_reference: bool = False,
    ) -> None:
        """Wrap ``function``; ``sees_reference`` makes it an oracle, for evaluation only."""
        self.function = function
        self.name = name
        self.sees_reference = sees_reference

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Call the function.

        Raises:
            InputError: it returned something else than :data:`Answer`, or is a coroutine function
                in a synchronous run.
        """
        answer = yield from Call(
            lambda: self._called(problem, attempt), lambda: self._acalled(problem, attempt)
        )
        return self._feedback(answer)

    def _called(self, problem: Problem, attempt: Attempt) -> Any:
        if inspect.iscoroutinefunction(self.function):
            raise InputError(
                f"verifier {self.name!r} is a coroutine function; run the agent with asolve or astream"
            )
        return self.function(problem, attempt)

    async def _acalled(self, problem: Problem, attempt: Attempt) -> Any:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(problem, attempt)
        return await asyncio.to_thread(self.function, problem, attempt)

    def _feedback(self, answer: Any) -> Feedback:
        if isinstance(answer, Feedback):
            return answer.model_copy(
                update={"source": self.name, "oracle": answer.oracle or self.sees_reference}
            )
        if answer is None:
            return Feedback(verdict="abstain", source=self.name, oracle=self.sees_reference)
        if isinstance(answer, bool):
            return Feedback(
                verdict="pass" if answer else "fail",
                source=self.name,
                message="" if answer else f"The check {self.name!r} does not hold.",
                oracle=self.sees_reference,
            )
        if isinstance(answer, str):
            return Feedback(
                verdict="fail", source=self.name, message=answer, oracle=self.sees_reference
            )
        raise InputError(
            f"verifier {self.name!r} returned {answer!r}; return a Feedback, True, False, None or a text"
        )
