"""Verifiers that need no model."""

from __future__ import annotations

import asyncio

import pytest

from tests.verifiers.helpers import RIGHT, SQUARE, WRONG, attempt
from vitarmm_agent.effects import arun, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError
from vitarmm_agent.verifiers import (
    AnswerFollows,
    Arithmetic,
    ChoiceIsValid,
    Function,
    Reference,
    Verifier,
)

CHOICES = Problem(text="How long?", choices=("4 cm", "6 cm", "8 cm"))


def check(verifier: Verifier, problem: Problem, text: str) -> Feedback:
    return run(verifier.check(problem, attempt(text, problem)))


def test_arithmetic_names_the_wrong_step_and_the_right_value() -> None:
    feedback = check(Arithmetic(), SQUARE, WRONG)
    assert feedback.verdict == "fail"
    assert [error.step for error in feedback.errors] == [1]
    assert "comes to 5, not 6" in feedback.message
    assert feedback.errors[0].kind == "arithmetic"


def test_arithmetic_passes_true_equations_and_abstains_without_any() -> None:
    assert check(Arithmetic(), SQUARE, RIGHT).verdict == "pass"
    assert check(Arithmetic(), SQUARE, "The side is five.\nAnswer: 25").verdict == "abstain"


def test_arithmetic_reads_annotations() -> None:
    feedback = check(Arithmetic(), SQUARE, "The side is 20/4 = <<20/4=6>>6\nA: 6")
    assert len(feedback.errors) == 1


def test_reference_needs_a_reference_and_never_tells_it() -> None:
    assert check(Reference(), SQUARE, RIGHT).verdict == "pass"
    feedback = check(Reference(), SQUARE, WRONG)
    assert feedback.verdict == "fail" and feedback.oracle
    assert "25" not in feedback.message
    assert check(Reference(), SQUARE.without_reference(), RIGHT).verdict == "abstain"


def test_reference_passes_no_reply_that_was_cut_off_before_its_answer() -> None:
    attempt = Attempt(number=1, text="1. 20 / 4 = 5\n2. 5 * 5 = 25", metadata={"cut": True})
    assert run(Reference().check(SQUARE, attempt)).verdict == "fail"
    within = attempt.model_copy(update={"text": RIGHT})  # 25, or the beginning of 250
    assert run(Reference().check(SQUARE, within)).verdict == "fail"
    committed = attempt.model_copy(update={"text": f"{RIGHT}\n"})
    assert run(Reference().check(SQUARE, committed)).verdict == "pass"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("B", "pass"), ("(B) 6 cm", "pass"), ("6 cm", "pass"), ("7 cm", "fail"), ("D", "fail"),
     ("(A) 6 cm", "fail"), (None, "fail")],
)  # fmt: skip
def test_choice_is_valid(answer: str | None, verdict: str) -> None:
    tried = Attempt(number=1, text="no idea", answer=answer)
    assert run(ChoiceIsValid().check(CHOICES, tried)).verdict == verdict


def test_a_letter_with_another_choice_s_text_is_a_mapping_error() -> None:
    tried = Attempt(number=1, text="", answer="(A) 6 cm")
    (error,) = run(ChoiceIsValid().check(CHOICES, tried)).errors
    assert error.kind == "wrong choice mapping" and "B" in error.message


def test_choice_abstains_without_choices() -> None:
    assert check(ChoiceIsValid(), SQUARE, RIGHT).verdict == "abstain"


@pytest.mark.parametrize(
    ("text", "verdict", "kind"),
    [
        (RIGHT, "pass", None),
        ("1. 20 / 4 = 5\n2. 5 * 5 = 25\nAnswer: 10", "fail", "missing step"),
        ("1. 20 / 4 = 5\n2. 5 * 5 = 25\nAnswer: 25.5", "fail", "format"),
        ("I do not know.", "fail", "format"),
        ("1. The area is twenty-five.\nAnswer: 25", "abstain", None),
    ],
)
def test_answer_follows(text: str, verdict: str, kind: str | None) -> None:
    feedback = check(AnswerFollows(), SQUARE, text)
    assert feedback.verdict == verdict
    assert [error.kind for error in feedback.errors] == ([kind] if kind else [])


def test_answer_follows_knows_counts_signs_and_units() -> None:
    count = Problem(text="How many eggs are left?", unit=None)
    assert check(AnswerFollows(), count, "7 / 2 = 3.5\nAnswer: 3.5").errors[0].kind == "format"
    hours = Problem(text="How many hours does it take?")
    assert check(AnswerFollows(), hours, "7 / 2 = 3.5\nAnswer: 3.5").verdict == "pass"
    assert check(AnswerFollows(), count, "3 - 7 = -4\nAnswer: -4").verdict == "fail"
    metres = Problem(text="How long is it?", unit="cm")
    assert check(AnswerFollows(), metres, "2 * 3 = 6 m\nAnswer: 6 m").errors[0].kind == "unit"
    spelled = "2 * 3 = 6\nAnswer: 6 centimetres"
    assert check(AnswerFollows(), metres, spelled).verdict == "pass"
    assert check(Arithmetic(), metres, "1. 2 km + 3 kilometers = 6 km").verdict == "fail"


def test_answer_follows_checks_which_choice_was_computed() -> None:
    feedback = check(AnswerFollows(), CHOICES, "1. It is 2 * 3 = 6 cm.\nAnswer: C")
    assert feedback.errors[0].kind == "wrong choice mapping"
    assert check(AnswerFollows(), CHOICES, "1. It is 2 * 3 = 6 cm.\nAnswer: B").verdict == "pass"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(True, "pass"), (False, "fail"), (None, "abstain"), ("No units.", "fail"),
     (Feedback(verdict="pass", source="x", score=0.9), "pass")],
)  # fmt: skip
def test_function_takes_every_kind_of_answer(answer: object, verdict: str) -> None:
    verifier = Function(lambda problem, tried: answer, name="mine")  # type: ignore[arg-type,return-value]
    feedback = run(verifier.check(SQUARE, attempt(RIGHT)))
    assert feedback.verdict == verdict and feedback.source == "mine"
    assert asyncio.run(arun(verifier.check(SQUARE, attempt(RIGHT)))) == feedback


def test_function_may_be_a_coroutine_function() -> None:
    async def judge(problem: Problem, tried: Attempt) -> bool:
        await asyncio.sleep(0)
        return tried.answer == "25"

    verifier = Function(judge)
    assert asyncio.run(arun(verifier.check(SQUARE, attempt(RIGHT)))).verdict == "pass"
    assert run(verifier.check(SQUARE, attempt(RIGHT))).verdict == "pass"


def test_function_s_own_errors_are_passed_on_and_odd_answers_refused() -> None:
    def crash(problem: Problem, tried: Attempt) -> bool:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError):
        run(Function(crash).check(SQUARE, attempt(RIGHT)))
    with pytest.raises(InputError, match="returned 7"):
        run(Function(lambda p, a: 7).check(SQUARE, attempt(RIGHT)))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("one", "other"),
    [("3 × 4 = 1,200", "3*4=1200"), ("Wrong  Unit: CM", "wrong unit cm"), ("20 ÷ 4 = 6", "20 / 4 = 6"),
     ("7 − 2 = 4", "7-2=4")],
)  # fmt: skip
def test_signatures_do_not_depend_on_how_it_is_written(one: str, other: str) -> None:
    first = StepError(message="a", kind="arithmetic", subject=one, step=1)
    second = StepError(message="b", kind="arithmetic", subject=other, step=4)
    assert first.signature == second.signature


def test_signatures_tell_errors_apart() -> None:
    def signature(subject: str, kind: str = "arithmetic") -> str:
        return StepError(message="m", kind=kind, subject=subject).signature  # type: ignore[arg-type]

    assert signature("3 * 4 = 13") != signature("3 * 4 = 14")
    assert signature("a - b") != signature("a + b")
    assert signature("x") != signature("x", "unit")
