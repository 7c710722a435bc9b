"""Compares with the gold answer; for oracle runs only."""

from __future__ import annotations

from vitarmm_agent.answers import answers_equal
from vitarmm_agent.answers.grading import GradingPolicy, grade_attempt
from vitarmm_agent.effects import Flow
from vitarmm_agent.problem import Attempt, Feedback, Problem


class Reference:
    """Passes the reference answer and fails every other; abstains when there is no reference.

    Its message says that the answer is wrong, never what is right.
    """

    name = "reference"
    sees_reference = True

    def __init__(self, *, policy: GradingPolicy = "strict") -> None:
        """Grade under ``policy``."""
        self.policy: GradingPolicy = policy

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Grade the attempt's answer."""
        yield from ()
        if problem.reference is None:
            return Feedback(
                verdict="abstain", source=self.name, message="The problem has no reference answer."
            )
        correct = self._correct(problem, attempt)
        answer = "no answer" if attempt.answer is None else f"the answer {attempt.answer!r}"
        return Feedback(
            verdict="pass" if correct else "fail",
            source=self.name,
            score=1.0 if correct else 0.0,
            message="The answer is right."
            if correct
            else f"The attempt gives {answer}: not right.",
            precision=1.0,
            oracle=True,
        )

    def _correct(self, problem: Problem, attempt: Attempt) -> bool:
        if self.policy == "mathvista":
            return grade_attempt(problem, attempt, policy=self.policy).correct
        if attempt.answer is not None:
            return answers_equal(problem, attempt.answer, problem.reference)
        return grade_attempt(problem, attempt).correct
