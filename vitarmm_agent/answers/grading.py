"""Right or wrong: an answer against the problem's reference."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from vitarmm_agent.answers.choices import choice_index
from vitarmm_agent.answers.equality import answers_equal
from vitarmm_agent.answers.extract import extract_answer, read_answer
from vitarmm_agent.answers.normalise import fold, list_items, plain, spoken, value_of
from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError
from vitarmm_agent.numbers.reading import show
from vitarmm_agent.problem import Attempt, Problem, standing_attempt

if TYPE_CHECKING:
    from vitarmm_agent.result import Result

GradingPolicy = Literal["strict", "mathvista", "mathv"]


class Grade(Data):
    """What grading found.

    Attributes:
        correct: the answer is the reference.
        extracted: the answer as it stands in the response (a choice by letter), or None.
        normalised: the form that was compared, or None.
        explanation: why, in words.
    """

    correct: bool
    extracted: str | None
    normalised: str | None
    explanation: str


def grade(
    problem: Problem, text: str, *, policy: GradingPolicy = "strict", cut: bool = False
) -> Grade:
    """Grade a response against ``problem.reference``.

    Args:
        problem: with a reference.
        text: the raw response.
        policy: ``strict``: nothing extracted is wrong. ``mathvista``: as that benchmark scores; a
            multiple-choice response always becomes some choice, and the normalised text must equal
            the reference exactly. ``mathv``: as MATH-Vision's own script scores.
        cut: the response was cut off: under any policy it is right only if it commits to an answer,
            not by a number that it happens to end on.

    Raises:
        InputError: the problem has no reference, or the policy is unknown.
    """
    if problem.reference is None:
        raise InputError(f"problem {problem.id!r} has no reference to grade against; set reference")
    if cut and read_answer(problem, text, cut=True) is None:
        return Grade(
            correct=False,
            extracted=None,
            normalised=None,
            explanation=_explain(problem.reference, False, None, None),
        )
    if policy == "mathvista":
        from vitarmm_agent.answers.mathvista import extract, normalise

        extracted: str | None = (taken := extract(problem, spoken(text)))
        normalised = normalise(problem, taken)
        correct = normalised is not None and normalised == problem.reference
    elif policy == "mathv":
        from vitarmm_agent.answers import mathv

        extracted = mathv.extract(spoken(text)) or None
        normalised, correct = extracted, mathv.correct(problem, extracted or "")
    elif policy == "strict":
        extracted = extract_answer(_with_words_of(problem), text)
        normalised = normal_form(problem, extracted)
        correct = answers_equal(problem, extracted, problem.reference)
    else:
        raise InputError(
            f"grading policy {policy!r} is unknown; use 'strict', 'mathvista' or 'mathv'"
        )
    return Grade(
        correct=correct,
        extracted=extracted,
        normalised=normalised,
        explanation=_explain(problem.reference, correct, extracted, normalised),
    )


def grade_attempt(problem: Problem, attempt: Attempt, *, policy: GradingPolicy = "strict") -> Grade:
    """Grade an attempt; one that is ``silent`` has no answer, whatever its text. Raises as :func:`grade`."""
    text = "" if attempt.silent else attempt.text
    return grade(problem, text, policy=policy, cut=attempt.cut or bool(attempt.silent))


def grade_result(result: Result) -> Grade | None:
    """Grade the answer that stands at the end of a run; None without a reference or an attempt."""
    if result.problem.reference is None or not result.attempts:
        return None
    return grade_attempt(result.problem, standing_attempt(result.answer, result.attempts))


def _with_words_of(problem: Problem) -> Problem:
    """The problem as grading reads replies to it: words of the reference are an answer ("unknown")."""
    return problem.model_copy(update={"text": f"{problem.text}\n{problem.reference}"})


def normal_form(problem: Problem, answer: str | None) -> str | None:
    """The form in which an extracted answer is compared, or None when it is no answer of the type.

    A choice becomes its text, a number its shortest exact form, a list its items in order.
    """
    if answer is None:
        return None
    if problem.answer_type == "choice":
        index = choice_index(problem.choices, answer)
        return None if index is None else problem.choices[index]
    if problem.answer_type == "list":
        items = list_items(answer)
        return f"[{', '.join(_canonical(item) for item in items)}]" if items else None
    value = value_of(answer)
    if problem.answer_type in ("integer", "float"):
        return None if value is None else show(_rounded(value, problem.precision), 12)
    return show(value, 12) if value is not None else plain(answer) or None


def _canonical(item: str) -> str:
    value = value_of(item)
    return show(value, 12) if value is not None else fold(item)


def _rounded(value: Fraction, places: int | None) -> Fraction:
    return value if places is None else round(value, places)


def _explain(reference: str, correct: bool, extracted: str | None, normalised: str | None) -> str:
    if extracted is None and normalised is None:
        return "the response commits to no answer"
    if normalised is None:
        return f"{extracted!r} is no answer of the type asked for"
    relation = "equals" if correct else "is not"
    return f"{normalised!r} (from {extracted!r}) {relation} the reference {reference!r}"
