"""Whether a reply's letter and text are one choice."""

from __future__ import annotations

from pathlib import Path

import pytest
from langgraph.store.memory import InMemoryStore

from tests.memory_store.conftest import index_config
from tests.scripts import script
from tests.verifiers.helpers import attempt
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.problem import Feedback, Problem
from vitarmm_agent.verifiers import ChoiceIsValid

BIRD = Problem(text="Which animal is a bird?", choices=("cat", "owl", "dog"))
LARGEST = Problem(text="Which is largest?", choices=("3 cm", "5 cm", "4 cm"))
TWO = [
    "An owl is a bird.\nAnswer: B) dog",
    "Answer: (B) dog",
    "Answer: **(B)** dog",
    "Answer: (B) the dog.",
    "Answer: B. Dog. It barks.",
    "Answer: B: dog",
    "Answer: B - dog",
    "Answer: B (dog)",
    "Answer: Option B: dog",
    "The answer is B, dog.",
    "I would choose B) dog.",
    "So \\boxed{B) dog}.",
    "Answer: dog (B)",
    "The answer is dog (B).",
    "Option B: dog is correct.",
    "So \\boxed{\\text{(B) dog}}.",
    "So \\boxed{B}: dog",
    "<answer>(b) dog</answer>",
    '{"answer": "B) dog"}',
    "#### B) dog",
    "B) dog",
    "An owl is a bird.\nTherefore, (B) dog",
    "An owl is a bird.\n**B) dog**",
]
ONE = [
    "Answer: B",
    "Answer: B) owl",
    "Answer: (B) the owl.",
    "Answer: B (owl)",
    "Answer: owl",
    "The answer is B, not the dog.",
    "Answer: B. A dog is no bird.",
    "Answer: B\nC) dog is no bird.",
    "A dog barks, so it is not C) dog.\nAnswer: B",
    "(B) dog would be wrong.\nAnswer: B) owl",
    "A) cat\nB) owl\nC) dog\nAnswer: B",
    "Answer: B) dog? No, that is C.\nAnswer: B) owl",
    "Answer: B) dog\nWait, I mixed up the letters.\nAnswer: C) dog",
    "Answer: B, because the dog and the cat are no birds",
]


def check(problem: Problem, text: str) -> Feedback:
    return run(ChoiceIsValid().check(problem, attempt(text, problem)))


@pytest.mark.parametrize("text", TWO)
def test_a_letter_and_another_choice_s_text_are_two_choices(text: str) -> None:
    found = check(BIRD, text)
    assert found.verdict == "fail"
    (error,) = found.errors
    assert error.kind == "wrong choice mapping" and error.subject == "B C"
    assert "names the letter B and the text of choice C" in found.message


@pytest.mark.parametrize("text", ONE)
def test_another_choice_s_text_elsewhere_is_no_fault(text: str) -> None:
    assert check(BIRD, text).verdict == "pass"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("B) 4 cm", "fail"), ("B) 4", "fail"), ("B) 4.0 cm", "fail"), ("B) 5", "pass"),
     ("B) 5.0 cm", "pass"), ("B) 7 cm", "pass"), ("B) C", "pass")],
)  # fmt: skip
def test_the_text_may_be_a_value(answer: str, verdict: str) -> None:
    assert check(LARGEST, f"Answer: {answer}").verdict == verdict


PRICE = Problem(text="What is the price?", choices=("$4.50", "$45", "$5.40", "$0.45"))
SIGNED = Problem(text="What is x?", choices=("-2", "2", "0", "4"))
WHEN = Problem(text="When?", choices=("9:00 am", "9:00 pm"))
SUM = Problem(text="What is 2 + 2?", choices=("3", "4", "5", "6"))
DOZENS = Problem(text="How many dozen?", choices=("5", "6", "7"))


@pytest.mark.parametrize(
    ("problem", "text", "verdict"),
    [(PRICE, "Answer: D) 45 cents", "pass"), (PRICE, "Answer: B) 45 cents", "fail"),
     (PRICE, "Answer: B) 45", "pass"), (PRICE, "Answer: D) 45 dollars", "fail"),
     (SIGNED, "Answer: A -2", "pass"), (SIGNED, "Answer: B -2", "fail"), (SIGNED, "Answer: A - 2", "fail"),
     (WHEN, "Answer: A) 9 pm", "fail"), (WHEN, "Answer: B) 9 pm", "pass"), (WHEN, "Answer: B) 21:00", "pass"),
     (WHEN, "Answer: A) 9", "pass"), (SUM, "Answer: 5 (B)", "fail"), (SUM, "Answer: 5 (C)", "pass"),
     (SUM, "Option B: 5 is correct.", "fail"), (SUM, "Option C: 5 is correct.", "pass"),
     (DOZENS, "Answer: B) 6 dozen", "pass"), (DOZENS, "Answer: A) 6 dozen", "fail")],
)  # fmt: skip
def test_a_value_has_its_unit(problem: Problem, text: str, verdict: str) -> None:
    assert check(problem, text).verdict == verdict


def test_equal_choices_are_one() -> None:
    twins = Problem(text="Which?", choices=("owl", "cat", "owl"))
    assert check(twins, "Answer: C) owl").verdict == "pass"
    assert check(twins, "Answer: C) cat").verdict == "fail"


def test_a_run_tries_again_and_teach_keeps_no_such_solution(tmp_path: Path) -> None:
    two, one = ("1. Owls are birds.\nAnswer: B) dog", "1. Owls are birds.\nAnswer: B) owl")
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "reasoner.json", two, one),
        memory=ReasoningMemory(InMemoryStore(index=index_config())),
        rmm="rule",
        feedback="choice",
        max_iterations=2,
    )
    result = agent.solve(BIRD)
    assert [found.verdict for found in result.feedback] == ["fail", "abstain"], "it may fail only"
    assert result.answer == "B" and result.attempts[-1].text == one
    with pytest.raises(InputError, match="the text of choice C"):
        agent.teach(BIRD, two)
    assert not agent.teach(BIRD, one).note
