"""Whether the answer is one of the choices."""

from __future__ import annotations

from vitarmm_agent.answers import read_answer
from vitarmm_agent.answers.choices import choice_index, letter_of
from vitarmm_agent.answers.wording import letter_and_text, wording_of
from vitarmm_agent.effects import Flow
from vitarmm_agent.problem import Attempt, ErrorKind, Feedback, Problem, StepError


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
        if two := _two_choices(problem, attempt, answer, index):
            said, named, other = two
            return self._fail(
                f"The answer {said[:200]!r} names the letter {letter_of(named)} and the text of "
                f"choice {letter_of(other)}; say which is meant.",
                f"{letter_of(named)} {letter_of(other)}",
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


def _two_choices(
    problem: Problem, attempt: Attempt, answer: str, index: int
) -> tuple[str, int, int] | None:
    """Where letter and text are of two choices: what is said, the letter's choice and the text's."""
    wording = wording_of(problem, attempt.text, letter_of(index), cut=attempt.cut)
    for said in (answer, wording):
        if said and (two := letter_and_text(problem, said)) and index in two:
            return said, *two
    return None
