"""Verifiers of your own: a function, and a class that calls something outside."""

from __future__ import annotations

from vitarmm_agent import Attempt, Feedback, Problem, ReasoningAgent
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.verifiers.function import Function


def is_positive(problem: Problem, attempt: Attempt) -> str | None:
    """A text fails the attempt and says why; None abstains; True passes."""
    if attempt.answer and attempt.answer.lstrip().startswith("-"):
        return "An area cannot be negative."
    return None


class TableOfAreas:
    """Looks the answer up: one body for sync and async runs, since each call is yielded."""

    name = "table_of_areas"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Pass what the table knows, abstain on everything else."""
        known = yield from in_thread(self.look_up, problem.text)
        if known is None:
            return Feedback(verdict="abstain", source=self.name)
        right = attempt.answer is not None and known in attempt.answer
        return Feedback(
            verdict="pass" if right else "fail",
            source=self.name,
            message="" if right else "The table has another area for this perimeter.",
        )

    def look_up(self, text: str) -> str | None:
        """What a database would be asked."""
        return {"20 cm": "25", "36 cm": "81"}.get(
            next((p for p in ("20 cm", "36 cm") if p in text), "")
        )


agent = ReasoningAgent.open(feedback=[Function(is_positive, name="is_positive"), TableOfAreas()])
result = agent.solve("A square has a perimeter of 20 cm. What is its area?")
print(result.answer, result.status, [part.source for part in result.feedback[-1].parts])
