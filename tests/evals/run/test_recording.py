from __future__ import annotations

import pytest

from vitarmm_agent.answers import read_answer
from vitarmm_agent.answers.grading import GradingPolicy
from vitarmm_agent.evals.run.arms import ARMS
from vitarmm_agent.evals.run.recording import Task, sample_of_run, sample_of_votes
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.result import Result

PROBLEM = Problem(id="p", text="2 + 3?", answer_type="integer", reference="5")


def result(text: str, *, cut: bool) -> Result:
    answer = read_answer(PROBLEM, text, cut=cut)
    attempt = Attempt(number=1, text=text, answer=answer, metadata={"cut": True} if cut else {})
    return Result(
        problem=PROBLEM, answer=answer, passed=False, status="abstained", attempts=(attempt,)
    )


@pytest.mark.parametrize(
    ("text", "cut", "answer", "correct"),
    [
        ("1. 2 + 3 = 5\nAnswer: 5", False, "5", True),
        ("1. 2 + 3 = 5", False, "5", True),
        ("Answer: 5\nLet me check that once more:", True, "5", True),
        ("Answer: 4\nNo, it must be 5", True, "4", False),
        ("1. Adding 2 and 3 gives 5", True, None, False),
    ],
)
def test_what_was_cut_off_is_right_only_by_what_it_commits_to(
    text: str, cut: bool, answer: str | None, correct: bool
) -> None:
    task = Task(ARMS["single"], PROBLEM, "made")
    one = sample_of_run(task, result(text, cut=cut))
    votes = sample_of_votes(task, [result(text, cut=cut)])
    for made in (one, votes):
        assert (made.answer, made.correct, made.attempts[0].correct) == (answer, correct, correct)
        assert made.attempts[0].cut == cut


@pytest.mark.parametrize("policy", ["strict", "mathvista"])
def test_a_reply_that_holds_no_answer_is_never_right(policy: GradingPolicy) -> None:
    """A page of error text may hold the number that is asked for."""
    choices = PROBLEM.model_copy(update={"choices": ("5", "6"), "answer_type": "choice"})
    problem = choices if policy == "mathvista" else PROBLEM
    attempt = Attempt(number=1, text="<html>502: 5</html>", silent="an error message")
    run = Result(problem=problem, answer=None, passed=False, status="failed", attempts=(attempt,))
    made = sample_of_run(Task(ARMS["single"], problem, "made", policy=policy), run)
    assert (made.answer, made.correct, made.attempts[0].correct) == (None, False, False)
