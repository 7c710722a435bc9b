"""Whether an answer is what was computed: what says the same in other words, and what does not."""

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
from vitarmm_agent.problem import Problem, Verdict
from vitarmm_agent.verifiers import AnswerFollows

OTHER_WORDS = [
    ("What share of the 30 pupils are the 12 girls?", "12 / 30 = 0.4", "40%"),
    ("What share of the 30 pupils are the 12 girls?", "12 / 30 = 2/5", "40%"),
    ("What percent of 30 is 12?", "12 / 30 = 0.4", "40"),
    ("What share is one of six?", "1 / 6 = 0.1667", "16.7%"),
    ("How much are 3 pens at 50 cents?", "3 * 50 = 150 cents", "$1.50"),
    ("How much are 3 pens at 50 cents?", "3 * 50 = 150", "$1.50"),
    ("How long are 3 ropes of 40 cm?", "3 * 40 = 120 cm", "1.2 m"),
    ("How long are 3 ropes of 40 cm, in metres?", "3 * 40 = 120", "1.2"),
    ("How fast are 72 km/h in m/s?", "36 * 2 = 72 km/h", "20 m/s"),
    ("How old is a child of 36 months?", "30 + 6 = 36 months", "3 years"),
    ("How many ounces are in all?", "30 + 2 = 32 ounces", "2 pounds"),
    ("How many eggs are there?", "50 + 22 = 72", "6 dozen"),
    ("How many dozen eggs are there?", "50 + 22 = 72", "6"),
    ("How many eggs are there?", "2 * 3 = 6", "half a dozen"),
    ("What is 10 / 3?", "10 / 3 = 3.33", "10/3"),
    ("What is 10 / 3?", "10 / 3 ≈ 3.33", "3 1/3"),
    ("What is the probability of a six?", "1 / 6 = 0.1667", "1/6"),
    ("What is the probability of a six?", "1 / 6 = 0.1667", "0.17"),
    ("What time is it 4 hours after 9 am?", "9 + 4 = 13", "1 pm"),
    ("What time is it 4 hours after 9?", "9 + 4 = 13", "1"),
    ("50 cookies go into boxes of 8. How many boxes are needed?", "50 / 8 = 6.25", "7"),
    ("50 cookies go into boxes of 8. How many boxes are full?", "50 / 8 = 6.25", "6"),
    ("54 cookies go into boxes of 8. How many boxes are full?", "54 / 8 = 6.75", "6"),
    ("How many people, to the nearest hundred?", "1000 + 234 = 1234", "1200"),
    ("How many people are there?", "1000000 + 234567 = 1234567", "1.2 million"),
    ("How many million people are there?", "2,500,000 + 500,000 = 3,000,000", "3"),
    ("What is it in thousands of dollars?", "12,000 + 13,000 = 25,000", "25"),
    ("Wie lange dauert es?", "60 + 30 = 90 Minuten", "1,5 Stunden"),
    ("What is empty?", "1/3 + 1/2 = 5/6 is full.\n2. So 1/6 is empty.", "1/6"),
    ("What is empty?", "1/3 + 1/2 = 5/6 is full.\n2. So \\frac{1}{6} is empty.", "1/6"),
    ("What is the rest?", "3 / 8 = 0.375\n2. The rest is 5/8.", "5/8"),
    ("How long is it?", "4 + 3 = 7\n2. Half of it is 3 1/2.", "3.5"),
    ("How many eggs are left?", "5 * 12 = 60\n2. Ten fewer are fifty.", "fifty"),
    ("How much is it?", "3 * 2.50 = 7.50\n2. With the coupon it is 6,50.", "6.50"),
]
ANOTHER = [
    ("What share of the 30 pupils are the 12 girls?", "12 / 30 = 0.4", "60%"),
    ("What share of the 30 pupils are the 12 girls?", "12 / 30 = 0.4", "4%"),
    ("How much are 3 pens at 50 cents?", "3 * 50 = 150 cents", "$15"),
    ("How long are 3 ropes of 40 cm?", "3 * 40 = 120 cm", "12 m"),
    ("How many eggs are 6 boxes of 12?", "6 * 12 = 72", "7 dozen"),
    ("How many eggs are 6 boxes of 12?", "6 * 12 = 72", "5"),
    ("What is 10 / 3?", "10 / 3 = 3.33", "3/10"),
    ("What is 10 / 3?", "10 / 3 = 3.33", "3.35"),
    ("What time is it 4 hours after 9 am?", "9 + 4 = 13", "2 pm"),
    ("How many hours are 9 and 4?", "9 + 4 = 13", "1"),
    ("50 cookies go into boxes of 8. How many boxes are needed?", "50 / 8 = 6.25", "9"),
    ("How many people are there?", "1000 + 234 = 1234", "1200"),
    ("How many people, to the nearest hundred?", "1000 + 234 = 1234", "1400"),
    ("What is the length?", "12.00 + 0.35 = 12.35", "12.53"),
    ("What is 20% of $50?", "0.2 * 50 = 10", "$1000"),
    ("What is 20% of $50?", "0.2 * 50 = 10", "$0.10"),
    ("How much are 3 pens at 50 cents?", "3 * 50 = 150 cents", "$150"),
    ("How far is it?", "60 * 3 = 180 km", "180 m"),
    ("A dozen eggs cost $3. How much are 4 dozen?", "3 * 4 = 12", "$144"),
    ("What is it?", "5 * 5 = 25", "25.5"),
    ("What is it?", "5 * 5 = 25", "26"),
]


def verdict(question: str, step: str, answer: str) -> Verdict:
    problem = Problem(text=question)
    tried = attempt(f"1. {step}\nAnswer: {answer}", problem)
    return run(AnswerFollows().check(problem, tried)).verdict


@pytest.mark.parametrize(("question", "step", "answer"), OTHER_WORDS)
def test_a_result_in_other_words_is_no_fault(question: str, step: str, answer: str) -> None:
    assert verdict(question, step, answer) != "fail"


@pytest.mark.parametrize(("question", "step", "answer"), ANOTHER)
def test_another_number_is_a_fault(question: str, step: str, answer: str) -> None:
    assert verdict(question, step, answer) == "fail"


@pytest.mark.parametrize(
    ("question", "step", "answer", "found"),
    [
        ("How far is it?", "60 * 3 = 180 km", "180 hours", "abstain"),
        ("How far is it?", "60 * 3 = 180 km", "180 km", "pass"),
        ("How far is it?", "60 * 3 = 180", "180 km", "pass"),
        ("How fast is it?", "60 * 3 = 180 km per hour", "180 km/h", "pass"),
        ("How much are 3 pens at 50 cents?", "3 * 50 = 150", "$150", "abstain"),
        ("How much are 3 pens at 50 cents?", "$3 * 50 = 150$ cents", "150 cents", "abstain"),
        ("How far is it?", "$60 * 3 = 180$ km", "180 km", "pass"),
        ("When does a film end that begins at 8 pm?", "8 + 3 = 11", "11 am", "abstain"),
        ("When does a film end that begins at 8 pm?", "8 + 3 = 11 pm", "11 pm", "pass"),
    ],
)
def test_the_result_s_number_with_another_unit_is_not_passed(
    question: str, step: str, answer: str, found: Verdict
) -> None:
    assert verdict(question, step, answer) == found


def test_half_a_dozen_is_a_whole_number() -> None:
    problem = Problem(text="How many are it?", answer_type="integer")
    tried = attempt("1. 2 * 3 = 6\nAnswer: half a dozen", problem)
    assert run(AnswerFollows().check(problem, tried)).verdict != "fail"


def test_a_choice_may_say_the_result_in_other_words() -> None:
    share = Problem(text="What share is it?", choices=("40%", "0.4%", "4%"))
    boxes = Problem(text="50 go into boxes of 8. How many?", choices=("6", "6.25", "7", "8"))
    for problem, step, answer, found in [
        (share, "12 / 30 = 0.4", "A", "abstain"),
        (share, "12 / 30 = 0.4", "C", "fail"),
        (boxes, "50 / 8 = 6.25", "C", "abstain"),
        (boxes, "50 / 8 = 6.25", "D", "fail"),
    ]:
        tried = attempt(f"1. {step}\nAnswer: {answer}", problem)
        assert run(AnswerFollows().check(problem, tried)).verdict == found, (step, answer)


def test_many_units_take_no_time() -> None:
    names = "mm cm dm m km inch foot yard mile mg g kg ml cl dl l second minute hour day week"
    steps = "; ".join(f"{i} + 1.5 = {i + 1}.5" for i in range(100))
    assert verdict(f"How much are {names}?", steps, "$7777777.25") == "fail"


def agent(folder: Path, *replies: str, feedback: str) -> ReasoningAgent:
    memory = ReasoningMemory(InMemoryStore(index=index_config()))
    reasoner = script(folder / "reasoner.json", *replies)
    return ReasoningAgent.open(reasoner=reasoner, memory=memory, rmm="rule", feedback=feedback)


def test_right_solutions_are_taught_whatever_the_answer_s_words(tmp_path: Path) -> None:
    teaching = agent(tmp_path, feedback="arithmetic")
    for question, step, answer in OTHER_WORDS[::8]:
        taught = teaching.teach(Problem(text=question), f"1. {step}\nAnswer: {answer}")
        assert not taught.note, (question, answer)
    for question, step, answer in ANOTHER[::6]:
        with pytest.raises(InputError, match=r"the solution is wrong"):
            teaching.teach(Problem(text=question), f"1. {step}\nAnswer: {answer}")


def test_a_run_accepts_an_answer_in_other_words_and_tries_another_number_again(
    tmp_path: Path,
) -> None:
    question, step, answer = OTHER_WORDS[0]
    wrong, right = (f"1. {step}\nAnswer: {one}" for one in ("60%", answer))
    result = agent(tmp_path, wrong, right, feedback="answer_follows").solve(question)
    assert [part.verdict for part in result.feedback] == ["fail", "abstain"]
    assert result.answer == "40%"
