"""A right solution as a person or a teacher writes it: read, and looked over by the exact verifiers."""

from __future__ import annotations

from langchain_core.messages import AIMessage

from vitarmm_agent.answers import parse_steps
from vitarmm_agent.answers.equality import answers_equal
from vitarmm_agent.answers.extract import committed_answer
from vitarmm_agent.answers.grading import grade_attempt
from vitarmm_agent.answers.normalise import value_of
from vitarmm_agent.answers.restated import may_state
from vitarmm_agent.answers.steps import incomplete, is_final_line, too_long, without_answer
from vitarmm_agent.effects import Flow, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.schema import Example
from vitarmm_agent.models.replies import refuses, said_and_thought, silent_because
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.verifiers.policy import FeedbackPolicy, exact_checks


def solution_of(problem: Problem, text: str, number: int = 1) -> Attempt:
    """A solution that was written by hand, with the steps and the answer read from it."""
    message = AIMessage(text)
    said, thought = said_and_thought(message)
    return Attempt(
        number=number,
        text=said,
        thought=thought,
        silent=silent_because(message, said, thought),
        steps=parse_steps(said),
        answer=stated_answer(problem, said),
    )


def given_solution(problem: Problem, text: str) -> Attempt:
    """:func:`solution_of` what someone gave who may know the answer that the problem came with.

    Raises:
        InputError: its answer is another one.
    """
    solution = solution_of(problem.without_reference(), text)
    known = problem.reference is not None and solution.answer is not None
    if known and not grade_attempt(problem, solution).correct:
        raise InputError(
            f"the solution is wrong: its answer is {solution.answer!r}, but the problem came with the answer "
            f"{problem.reference!r}; correct the solution, or teach the problem without that answer"
        )
    return solution


def stated_answer(problem: Problem, text: str) -> str | None:
    """The answer that a solution states in so many words: no last number by chance."""
    return committed_answer(problem, text, cut=False)


def objection_to(
    problem: Problem, solution: Attempt, policy: FeedbackPolicy | None = None
) -> Flow[str]:
    """Why a solution cannot be kept: it is none, or an exact verifier fails it; nothing where it can."""
    found = yield from exact_checks(policy).check(problem, [solution])
    if why := _no_solution(solution):
        return f"there is no solution: {why}"
    if found.verdict == "fail" and not too_long(solution):  # of which the end was not read
        return f"the solution is wrong: {in_words(found)}"
    return incomplete(solution)


def objection_to_example(example: Example) -> str:
    """What is wrong with a worked example: a verifier fails it, or it states two answers. Else nothing."""
    problem = Problem(text=example.problem)
    found = run(exact_checks().check(problem, [solution_of(problem, example.solution)]))
    return in_words(found) if found.verdict == "fail" else _other_answer(problem, example)


def _other_answer(problem: Problem, example: Example) -> str:
    """Which step states another answer than the example's; numbers are compared, and letters."""
    answer = example.answer.strip(" ().")
    for number, step in enumerate(example.steps, start=1):
        if not is_final_line(step) and without_answer(step) == step:
            continue
        said = (stated_answer(problem, step) or "").strip(" ().")
        value = value_of(said)
        if value is not None and value_of(answer) is not None:
            same = answers_equal(problem, said, answer)
            other = not same and not may_state(answer, [value], example.solution)
        else:
            letters = len(said) == len(answer) == 1 and f"{said}{answer}".isalpha()
            other = letters and said != answer
        if other:
            return f"step {number} states the answer {said}, and the example {answer}"
    return ""


def in_words(objection: Feedback) -> str:
    """What a verifier found wrong."""
    return objection.message or "; ".join(error.in_words for error in objection.errors)


def _no_solution(attempt: Attempt) -> str:
    """Why what was taught is no solution; nothing where it may be one."""
    if attempt.silent:
        return attempt.silent
    if attempt.cut:
        return "it was cut off at the limit of new tokens"
    return "a step refuses to answer" if any(refuses(s.text) for s in attempt.steps) else ""
