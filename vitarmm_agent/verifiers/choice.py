"""Whether the answer is one of the choices."""

from __future__ import annotations

import re

from vitarmm_agent.answers import read_answer
from vitarmm_agent.answers.choices import choice_index, letter_of
from vitarmm_agent.answers.normalise import fold
from vitarmm_agent.effects import Flow
from vitarmm_agent.problem import Attempt, ErrorKind, Feedback, Problem, StepError

_PAIR = re.compile(r"\s*+\W{0,3}\(?(?P<letter>[A-Z])[).:]++\s*+(?P<text>.+)", re.DOTALL)
_EDGE = re.compile(r"\W{0,3}\Z")


class ChoiceIsValid:
    """Fails an answer that is none of the choices, or whose letter and text are two choices.

    It abstains on problems without choices, and its pass says nothing about which choice is right.
    """

    name = "choice"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Look the answer up among the choices."""
        yield from ()
        if problem.answer_type != "choice":
            return Feedback(verdict="abstain", source=self.name, message="There are no choices.")
        answer = attempt.answer
        if answer is None:
            answer = read_answer(problem, attempt.text, cut=attempt.cut)
        letters = ", ".join(letter_of(i) for i in range(len(problem.choices)))
        if answer is None or (index := choice_index(problem.choices, answer)) is None:
            given = (
                "No choice is named"
                if answer is None
                else f"{answer[:200]!r} is none of the choices"
            )
            return self._fail(f"{given}; answer with one of {letters}.", answer or "", "format")
        other = _other_choice(problem, answer)
        if other is not None:
            return self._fail(
                f"The answer {answer[:200]!r} names the letter {letter_of(index)} and the text of "
                f"choice {letter_of(other)}; say which is meant.",
                f"{letter_of(index)} {letter_of(other)}",
                "wrong choice mapping",
            )
        return Feedback(
            verdict="pass", source=self.name, message=f"The answer is choice {letter_of(index)}."
        )

    def _fail(self, message: str, subject: str, kind: ErrorKind) -> Feedback:
        error = StepError(kind=kind, message=message, subject=subject[:200])
        return Feedback(
            verdict="fail", source=self.name, score=0.0, errors=(error,), message=message
        )


def _other_choice(problem: Problem, answer: str) -> int | None:
    """The choice whose text stands behind another choice's letter, or None."""
    match = _PAIR.match(answer)
    if not match:
        return None
    named = choice_index(problem.choices, match["letter"])
    keys = [fold(choice) for choice in problem.choices]
    key = fold(_EDGE.sub("", match["text"].rstrip()))
    if named is None or key not in keys or keys[named] == key:
        return None
    return keys.index(key)
