from __future__ import annotations

import pytest

from vitarmm_agent.problem import Attempt, Feedback, StepError, Verdict
from vitarmm_agent.verifiers import NextStep, decide_next, standing_answer


def said(verdict: Verdict, precision: float | None = None, **fields: object) -> Feedback:
    return Feedback(verdict=verdict, source="judge", precision=precision, **fields)  # type: ignore[arg-type]


def decide(*feedback: Feedback, maximum: int = 3, **budget: float) -> NextStep:
    return decide_next(feedback, iteration=len(feedback), max_iterations=maximum, **budget)  # type: ignore[arg-type]


def tried(*answers: str | None) -> list[Attempt]:
    return [Attempt(number=i, text="", answer=a) for i, a in enumerate(answers, start=1)]


def test_a_pass_stops() -> None:
    decision = decide(said("pass", 0.97))
    assert decision.action == "stop" and "0.97" in decision.reason


def test_a_fail_with_grounds_is_retried_and_the_reason_told() -> None:
    error = StepError(step=1, message="Step 1: 3 * 4 = 13 is wrong.")
    decision = decide(said("fail", 0.9, errors=(error,)))
    assert decision.action == "retry" and "3 * 4 = 13" in decision.reason


def test_an_abstention_never_retries() -> None:
    decision = decide(said("abstain", failure="the judge timed out"))
    assert decision.action == "stop"
    assert "first answer" in decision.reason and "timed out" in decision.reason


def test_a_verifier_that_is_mostly_wrong_is_no_ground() -> None:
    decision = decide(said("fail", 0.3))
    assert decision.action == "stop" and "less than half" in decision.reason


def test_the_budgets_end_it_in_words() -> None:
    assert "2 attempts" in decide(said("fail"), said("fail"), maximum=2).reason
    assert "token budget" in decide(said("fail"), tokens_used=900, max_tokens=800).reason
    assert "time budget" in decide(said("fail"), seconds_used=61.0, max_seconds=60.0).reason
    assert decide(said("fail"), tokens_used=799, max_tokens=800).action == "retry"


def test_three_fails_and_no_budget_vote() -> None:
    assert decide(*[said("fail")] * 3).action == "vote"
    assert decide(*[said("fail")] * 2, maximum=2).action == "stop"


def test_no_verdict_is_no_ground() -> None:
    assert decide_next([], iteration=1, max_iterations=3).action == "stop"


@pytest.mark.parametrize(
    ("answers", "verdicts", "index"),
    [
        (["1"], ["abstain"], 0),
        (["1", "2"], ["fail", "pass"], 1),
        (["1", "2", "3"], ["pass", "fail", "pass"], 2),
        (["1", "2"], ["fail", "abstain"], 1),
        (["1", "2"], ["abstain", "abstain"], 0),
        (["1", "2"], ["fail", "fail"], 1),
        (["1", "2", "1"], ["fail", "fail", "fail"], 2),
        (["1", "1", "2"], ["fail", "fail", "fail"], 1),
        (["1", None], ["fail", "fail"], 0),
        ([None, None], ["fail", "abstain"], 1),
        (["1", "2"], ["fail"], 1),
    ],
)
def test_which_answer_stands(
    answers: list[str | None], verdicts: list[Verdict], index: int
) -> None:
    assert standing_answer(tried(*answers), [said(verdict) for verdict in verdicts]) == index


def test_a_fail_without_grounds_does_not_fell_the_first_answer() -> None:
    assert standing_answer(tried("1", "2"), [said("fail", 0.2), said("fail", 0.9)]) == 0


def test_no_attempt_is_an_error() -> None:
    with pytest.raises(ValueError, match="no attempt"):
        standing_answer([], [])
