"""Whatever a model writes, reading it is bounded in time and memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from vitarmm_agent.answers import grade, parse_steps
from vitarmm_agent.effects import run
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.verifiers import AnswerFollows, Arithmetic, ChoiceIsValid

UNITS = [
    "a", "answer is ", "(", "1,", "1 ", "\\boxed{", "**", "x = ", "9**9**9 ", "1/", " ", "Step 1: ",
    "-", "\n", "$", "\\frac", "{", "}", "=", "3+4=7 ", "(1+", "^", "A: ", "one hundred ", "9",
    "\\sqrt", "<<1+1=2>>", "(a) ", "Yes ", "\x00\xff\ud800", "1.\n", "2 1/2 ", "\\begin{array}",
]  # fmt: skip
PROBLEMS = [
    Problem(text="How many?", answer_type="integer", reference="7"),
    Problem(text="Which?", choices=("7", "8", "Yes", "No"), reference="7"),
    Problem(text="What?", reference="x+1"),
    Problem(text="Which?", answer_type="list", reference="[1]"),
]
SECONDS = 5.0  # of processor time, far over what is measured (under half a second)


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_anything_is_read_quickly(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    for problem in PROBLEMS:
        start = time.process_time()
        grade(problem, text)
        grade(problem, text, policy="mathvista")
        grade(problem, text, policy="mathv")
        assert time.process_time() - start < SECONDS
    start = time.process_time()
    steps = parse_steps(text)
    attempt = Attempt(number=1, text=text, steps=steps)
    assert len(steps) <= 200 and all(len(step.text) <= 4_000 for step in steps)
    for verifier in (Arithmetic(), AnswerFollows(), ChoiceIsValid()):
        run(verifier.check(PROBLEMS[1], attempt))
    assert time.process_time() - start < SECONDS


def test_memory_is_bounded() -> None:
    text = "(3 + 4 = 7) \\boxed{" * 50_000
    tracemalloc.start()
    grade(PROBLEMS[2], text)
    parse_steps(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    ["9**9**9", "9^{9^{9^{9}}}", "(" * 3000 + "1" + ")" * 3000, "7" * 10_000, "\\frac{" * 2000,
     "__import__('os').system('true')", "\\boxed{9^{9^{9}}x}", "1e999999999", "0." + "0" * 9_000 + "1"],
)  # fmt: skip
def test_expressions_built_to_hang_do_not(answer: str) -> None:
    for problem in PROBLEMS:
        start = time.process_time()
        assert not grade(problem, f"Answer: {answer}").correct
        assert time.process_time() - start < SECONDS
