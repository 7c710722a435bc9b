"""Leaks found and not found, each worked by hand."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import read_rows
from vitarmm_agent.problem import Problem
from vitarmm_agent.rmm.audit import leak_of

CLIPS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether?"
)


def with_gold(gold: str, text: str = CLIPS) -> Problem:
    return Problem(text=text, answer_type="integer", reference=gold)


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("72", "Add both months to get 72 clips."),
        ("72", "72"),
        ("72", "The total was seventy-two."),
        ("72", "48 + 24 = 72"),
        ("72", "It costs $72."),
        ("72", "72% of them"),
        ("72.0", "so 72 remain"),
        ("1200", "The rent is $1,200 a month."),
        ("1,200", "about 1200 of them"),
        ("1200", "twelve hundred in all"),
        ("1250", "one thousand two hundred and fifty"),
        ("5000000", "He has 5 million."),
        ("0.25", "One part is 1/4 of it."),
        ("1/4", "One part is 0.25 of it."),
        ("-15", "The balance is -15."),
        ("-15", "x = −15"),
        ("72", r"so \boxed{72}"),
        ("72", "\uff17\uff12 clips"),
        ("7", "The answer is 7."),
        ("7", "Answer: 7"),
        ("7", "3 + 4 = 7"),
        ("7", "which equals seven"),
        ("7", "#### 7"),
        ("7", "She then has 7 left."),
        ("7", "Then she gets 7."),
        ("7", "The result of adding both is 7 apples."),
        ("7", "The answer would be 7 cm"),
        ("7", "for a total of 7 apples"),
        ("7", "Adding them results in seven apples"),
        ("0", "The answer is zero."),
        ("72", "一共72个"),
        ("0.75", "So three quarters of it are left."),
        ("2.5", "It takes 2 1/2 hours."),
        ("72", "She pays 72/3 of it."),
        ("100", "so the total is $100"),
    ],
)
def test_states_the_number(gold: str, text: str) -> None:
    assert leak_of(text, with_gold(gold)) == "answer"


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("72", "Add what was sold in both months."),
        ("72", "172 or 720 or 7200 or 0.72 or 72.5"),
        ("72", "See the 72nd page, or x72."),
        ("15", "The balance is -15."),
        ("-15", "Subtract: 40-15."),
        ("-15", "Subtract 40 -15."),
        ("1200", "1,200,000 is too much"),
        ("5", "Take 15 or 0.5 of it."),
        ("5", "A sum of 5000 is not one of 5."),
        ("2", "Work in 2 steps."),
        ("2", "Halve it, then multiply by 2."),
        ("2", "The second is 2 times the first."),
        ("2", "The area = 2 * (a + b)."),
        ("2", "One and two make another number."),
        ("3", "There are 3 parts."),
        ("3", "between one and two"),
        ("7", "A week has 7 days."),
        ("60", "Convert hours to minutes: multiply by 60."),
        ("60", "Remember that 1 hour = 60 minutes."),
        ("100", "Divide the percentage by 100."),
        ("3", "It is three quarters."),
        ("8", "The answer is 7/8."),
        ("12", "A dozen is 12 eggs."),
        ("72", ""),
    ],
)
def test_does_not_state_the_number(gold: str, text: str) -> None:
    assert leak_of(text, with_gold(gold)) is None


def test_numbers_are_whole_words_not_sums() -> None:
    assert leak_of("Take two and five.", with_gold("25")) is None
    assert leak_of("Take twenty, then five.", with_gold("25")) is None
    assert leak_of("Take twenty five.", with_gold("25")) == "answer"


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("Missionaries mark a Universalizing religion.", True),
        ("universalizing!", True),
        ("The answer is (B).", True),
        ("answer: b", True),
        ("Choose option B", True),
        ("The answer is A.", False),
        ("Bring the question to a point.", False),
        ("Consider the beliefs that spread.", False),
    ],
)
@pytest.mark.parametrize("reference", ["Universalizing", "B"])
def test_choices(text: str, leaks: bool, reference: str) -> None:
    problem = Problem(
        text="Which term?",
        choices=("Ethnic", "Universalizing", "Monotheistic"),
        reference=reference,
    )
    assert leak_of(text, problem) == ("answer" if leaks else None)


def test_short_choices_must_be_stated() -> None:
    problem = Problem(text="Is it?", choices=("Yes", "No"), reference="No")
    assert leak_of("No step may be left out.", problem) is None
    assert leak_of("The answer is no.", problem) == "answer"
    first = Problem(text="Is it?", choices=("Yes", "No"), reference="Yes")
    assert leak_of("The answer is a number.", first) is None
    assert leak_of("The answer is A.", first) == "answer"


def test_numeric_choices_by_value_and_choices_of_words() -> None:
    angle = Problem(text="Find it.", choices=("97°", "102°"), reference="97°")
    assert leak_of("It opens at 97 degrees.", angle) == "answer"
    assert leak_of("It opens at 102 degrees.", angle) is None
    grade = Problem(
        text="Who?", choices=("10 tall red houses", "x"), reference="10 tall red houses"
    )
    assert leak_of("Count to 10.", grade) is None
    assert leak_of("Think of 10 tall, red houses first.", grade) == "answer"


def test_lists_and_formulas() -> None:
    chain = Problem(text="Chain?", answer_type="list", reference="[1, 2, 30]")
    assert leak_of("It is 1, 2, 30.", chain) == "answer"
    assert leak_of("It is 1, 2, 3.", chain) is None
    formula = Problem(text="Simplify.", reference=r"\frac{x+1}{2}")
    assert leak_of("One gets $(x + 1)/2$ or so", formula) == "answer"
    assert leak_of("One gets x", formula) is None


def test_a_question_in_the_image() -> None:
    problem = Problem(
        text="Read the image and answer with the letter of one option.",
        choices=("A", "B", "C", "D"),
        reference="C",
        metadata={
            "question": "A society in which two or more population groups coexist demonstrates",
            "options": ["segregation", "miscegenation", "cultural pluralism", "none"],
            "answer_text": "cultural pluralism",
        },
    )
    assert leak_of("This is cultural pluralism.", problem) == "answer"
    assert leak_of("The answer is C.", problem) == "answer"
    copied = "a society in which two or more population groups"
    assert leak_of(copied, problem) == "verbatim"
    assert leak_of("Read the image and answer with the letter of one option.", problem) is None


@pytest.mark.parametrize(
    ("text", "leak"),
    [
        ("natalia SOLD clips to 48 of her friends", "verbatim"),
        ("Natalia sold clips to 48 of her", None),
        ("(Natalia) sold -- clips, to '48' of her friends!", "verbatim"),
        ("Natalia sold many clips to 48 of her friends", None),
        ("then she sold half as many clips in June", "verbatim"),
        ("then she sold half as many pens in May", None),
    ],
)
def test_words_of_the_problem(text: str, leak: str | None) -> None:
    assert leak_of(text, with_gold("72")) == leak


def test_without_reference_only_copied_words_are_found() -> None:
    problem = with_gold("72").without_reference()
    assert leak_of("It is 72.", problem) is None
    assert leak_of(CLIPS, problem) == "verbatim"


def test_real_solutions_leak_and_unrelated_lessons_do_not(shared: Path) -> None:
    """Every gold solution states its answer; a lesson in general terms states none."""
    rows = list(read_rows(shared / "data" / "gsm8k_test.jsonl.gz"))
    lesson = (
        "Convert every rate to the same unit first: there are 60 minutes in an hour and 7 days in "
        "a week. Work in 2 steps, and check that a percentage is divided by 100."
    )
    started = time.process_time()
    for row in rows:
        solution, gold = row["answer"].split("\n#### ")
        problem = with_gold(gold, row["question"])
        assert leak_of(f"{solution}\n#### {gold}", problem) == "answer"
        assert leak_of(lesson, problem) is None
    assert time.process_time() - started < 5


def test_long_texts_take_no_time() -> None:
    problem = with_gold("7")
    started = time.process_time()
    for text in ("one hundred and " * 5000, "7 " * 10_000, "-" * 20_000, "is $" * 10_000):
        leak_of(text, problem)
    assert time.process_time() - started < 5
