"""Finds numbers that were copied from the worked example an attempt was shown."""

from __future__ import annotations

from collections.abc import Iterator

from vitarmm_agent.answers.borrowed import borrowed, with_own_number
from vitarmm_agent.effects import Flow
from vitarmm_agent.numbers.reading import show
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError


class Borrowed:
    """Fails an attempt that calculates with a number of its example where the problem has another.

    It gives the attempt ``mended`` up to that number, and abstains otherwise: that nothing was copied
    makes no answer right.
    """

    name = "borrowed"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Compare the operands of the attempt with the problem and the examples before it."""
        yield from ()
        for example in _examples(attempt):
            if fault := borrowed(attempt.text, problem.to_prompt(), example):
                number = show(fault.right)
                message = f"{fault.shown} is the example's number; the problem says {number}."
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


def _examples(attempt: Attempt) -> Iterator[str]:
    """Problems of the worked examples that the attempt was shown as earlier turns, the nearest first."""
    asked = [turn["content"] for turn in attempt.prompt if turn.get("role") == "user"]
    for content in reversed(asked[:-1]):
        yield next((part["text"] for part in content if part.get("type") == "text"), "")
