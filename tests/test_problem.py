from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitarmm_agent.answers import grade_result
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem, Step, StepError, Usage
from vitarmm_agent.result import Result

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(text=TEXT.filter(str.strip), choices=st.lists(TEXT, max_size=4), reference=st.none() | TEXT)
def test_problem_survives_json(text: str, choices: list[str], reference: str | None) -> None:
    problem = Problem.parse({"text": text, "choices": choices, "reference": reference})
    assert Problem.model_validate_json(problem.model_dump_json()) == problem


def test_result_survives_json() -> None:
    problem = Problem.parse("How many?")
    error = StepError(step=1, kind="arithmetic", message="3 * 4 is 12", subject="3 * 4 = 13")
    part = Feedback(verdict="fail", source="arithmetic", errors=(error,), score=0.0)
    attempt = Attempt(
        number=1,
        text="1. 3 * 4 = 13\nAnswer: 13",
        steps=(Step(number=1, text="3 * 4 = 13"),),
        answer="13",
        prompt=({"role": "user", "content": "How many?"},),
        usage=Usage(input_tokens=3, output_tokens=9, calls=1),
    )
    result = Result(
        problem=problem,
        answer="13",
        passed=False,
        status="failed",
        attempts=(attempt,),
        feedback=(Feedback(verdict="fail", source="arithmetic", parts=(part,)),),
        thread_id="t",
    )
    assert Result.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("x" * 100_001, "100,001"),
        ({"text": "x", "colour": "red"}, "colour"),
        ({"text": "x", "answer_type": "choice"}, "no choices"),
        ({"text": "x", "precision": -1}, "precision"),
    ],
)
def test_a_problem_that_cannot_be_used_is_refused(value: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Problem.parse(value)  # type: ignore[arg-type]


def test_choices_make_a_choice_problem() -> None:
    assert Problem.parse({"text": "Which?", "choices": ["a", "b"]}).answer_type == "choice"


def test_the_id_follows_the_content() -> None:
    assert Problem.parse("a").id == Problem.parse("a").id != Problem.parse("b").id
    assert Problem.parse({"text": "a", "id": "mine"}).id == "mine"


def test_the_reference_is_not_in_the_prompt_and_can_be_taken_out() -> None:
    problem = Problem.parse({"text": "Q", "reference": "SECRET", "metadata": {"gold": "SECRET"}})
    assert "SECRET" not in problem.to_prompt()
    assert "SECRET" not in problem.without_reference().model_dump_json()


def test_prompt_names_choices_and_form() -> None:
    shown = Problem.parse({"text": "Which?", "choices": ["red", "blue"], "unit": "cm"}).to_prompt()
    assert "(A) red\n(B) blue" in shown and "in cm" in shown and "letter" in shown


def test_a_signature_ignores_case_and_spacing_but_not_the_error() -> None:
    one = StepError(kind="arithmetic", message="", subject="3 * 4 =  13")
    other = StepError(kind="arithmetic", message="other words", subject="3 * 4 = 13 ")
    third = StepError(kind="unit", message="", subject="3 * 4 = 13")
    assert one.signature == other.signature != third.signature


def test_passed_does_not_read_as_right() -> None:
    said = Feedback(verdict="pass", source="judge", precision=0.27)
    result = Result(problem=Problem(text="?"), answer="5", passed=True, status="passed")
    assert result.model_copy(update={"feedback": (said,)}).outcome == (
        "passed by judge, right in 27% of such passes"
    )
    unmeasured = said.model_copy(update={"precision": None})
    assert result.model_copy(update={"feedback": (unmeasured,)}).outcome == "passed by judge"
    failed = result.model_copy(update={"status": "failed", "passed": False})
    assert failed.outcome == "failed"


def test_the_answer_that_stands_is_graded() -> None:
    attempts = (
        Attempt(number=1, text="Answer: 5", answer="5"),
        Attempt(number=2, text="Answer: 6"),
    )
    asked = Problem(text="What is 2 + 3?", reference="5")
    result = Result(problem=asked, answer="5", passed=False, status="abstained", attempts=attempts)
    graded = grade_result(result)
    assert graded is not None and graded.correct
    wrong = grade_result(result.model_copy(update={"answer": None}))
    assert wrong is not None and not wrong.correct
    assert grade_result(result.model_copy(update={"attempts": ()})) is None
    assert grade_result(result.model_copy(update={"problem": Problem(text="?")})) is None
