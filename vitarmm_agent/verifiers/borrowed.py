"""Finds numbers that were copied from the worked example an attempt was shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from vitarmm_agent.answers.borrowed import borrowed, with_own_number
from vitarmm_agent.effects import Flow
from vitarmm_agent.numbers.reading import show
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError


class Borrowed:
    """Fails an attempt that has a number of its example where the problem has another.

    It gives the attempt ``mended`` up to that number, and abstains otherwise: that nothing was copied
    makes no answer right.
    """

    name = "borrowed"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Compare the attempt with the problem and the examples before it."""
        yield from ()
        for example, solution in _examples(attempt):
            if fault := borrowed(attempt.text, problem, example, solution):
                number = show(fault.right)
                message = f"{fault.shown} is the example's number; here it is {number}."
                return Feedback(
                    verdict="fail",
                    source=self.name,
                    score=0.0,
                    errors=(
                        StepError(kind="misread quantity", message=message, subject=fault.shown),
                    ),
                    message=message,
                    mended=with_own_number(attempt.text, fault),
                )
        return Feedback(
            verdict="abstain", source=self.name, message="No number of an example was found."
        )


def _examples(attempt: Attempt) -> Iterator[tuple[str, str]]:
    """Problem and solution of the worked examples that were shown as earlier turns, the nearest first."""
    turns = [(turn.get("role"), _text(turn["content"])) for turn in attempt.prompt]
    while turns and turns[-1][0] != "user":  # what a mended attempt goes on from
        turns.pop()
    for (asked, example), (answered, solution) in reversed(list(pairwise(turns))):
        if asked == "user" and answered == "assistant":
            yield example, solution


def _text(content: str | Sequence[dict[str, Any]]) -> str:
    """The text of a turn."""
    if isinstance(content, str):
        return content
    return next((part["text"] for part in content if part.get("type") == "text"), "")
