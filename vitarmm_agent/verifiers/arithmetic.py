"""Recomputes every equation it can read in the steps."""

from __future__ import annotations

from collections.abc import Sequence

from vitarmm_agent.answers.equations import Equation, equations
from vitarmm_agent.answers.mending import mended
from vitarmm_agent.answers.steps import parse_steps
from vitarmm_agent.effects import Flow
from vitarmm_agent.problem import Attempt, Feedback, Problem, Step, StepError


class Arithmetic:
    """Fails an attempt in which an equation between numbers is false, and names step and value.

    Where it is certain what should stand in which place, it gives the attempt ``mended`` up to there.

    It abstains where no equation could be read. A pass says that all equations read are true, which
    does not make the answer right.
    """

    name = "arithmetic"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Recompute the equations of all steps."""
        yield from ()
        steps = attempt.steps or parse_steps(attempt.text)
        checked = [(step, equation) for step in steps for equation in equations(step.text)]
        wrong = [(step, equation) for step, equation in checked if not equation.holds]
        if wrong:
            return self._fail(wrong, mended(attempt.text) or "")
        if not checked:
            return Feedback(
                verdict="abstain",
                source=self.name,
                message="No equation between numbers was found.",
            )
        return Feedback(
            verdict="pass", source=self.name, message=f"All {len(checked)} equations read are true."
        )

    def _fail(self, wrong: Sequence[tuple[Step, Equation]], mend: str) -> Feedback:
        errors = tuple(
            StepError(
                step=step.number,
                kind="arithmetic",
                message=describe(step.number, equation),
                subject=equation.text,
            )
            for step, equation in wrong
        )
        return Feedback(
            verdict="fail",
            source=self.name,
            score=0.0,
            errors=errors,
            message=" ".join(error.message for error in errors[:3]),
            mended=mend,
        )


def describe(step: int, equation: Equation) -> str:
    """Words for a false equation, fit to show the model."""
    return (
        f"Step {step}: {equation.text} is wrong; {equation.left} comes to {equation.right_value}, "
        f"not {equation.shown}."
    )
