"""A letter that is said plainly is the answer, whatever a bracket behind it says."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers import extract_answer
from vitarmm_agent.problem import Problem

PLANET = Problem(text="Which planet is largest?", choices=("Earth", "Mars", "Jupiter", "Venus"))
FOUR = Problem(text="What is 2 + 2?", choices=("3", "4", "5", "6"))
NUMBER = Problem(text="How much is it?", answer_type="integer")
SIGNS = Problem(text="Which is the sun?", choices=("☁", "☀", "☂"))


@pytest.mark.parametrize(
    "text",
    [
        "Answer: C (Earth is far smaller)",
        "The correct answer is C (since Venus is smaller).",
        "So the answer is C (Mars is small).",
        "The answer is C (Earth and Mars are rocky).",
        "The correct option is C (option B is too small).",
        "Answer: C (A and B are too small)",
        "Answer: C (not Venus)",
        "Answer: C (see above)",
        "Answer: C (gas giant)",
        "Answer: C (by far)\nEarth is smaller.",
        "Answer: **C** (not Venus)",
        "Answer: C. (Earth is far smaller)",
        "Answer: C [Earth is far smaller]",
        "Answer: C (not Venus (it is small))",
        "The answer is C — Earth is far smaller.",
        "The answer is C – Earth is far smaller.",
        "Option C (Earth is far smaller)",
        "C (Earth is far smaller)",
        "C (not Venus)",
        "C (Jupiter)",
        "Therefore, C (not Venus).",
        "C. (Earth is far smaller)",
        "C. Earth is far smaller.",
        "C\n\nEarth is far smaller. Mars is, too.",
        "The planets differ in size.\n\nC)\n\nEarth is far smaller.",
    ],
)
def test_a_bracket_behind_a_letter_is_no_other_choice(text: str) -> None:
    assert extract_answer(PLANET, text) == "C"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: C (or D)", None),
        ("Answer: C (or maybe D)", None),
        ("Answer: C (wrong)", None),
        ("Answer: C (incorrect)", None),
        ("Answer: C (no, wait: D)", None),
        ("Answer: A (small) planet, Mars", "B"),
        ("Answer: Jupiter (D)", "D"),
        ("C. Wait, Mars is larger.", "B"),
        ("A. Earth\nB. Mars\nI pick Mars.", "B"),
    ],
)
def test_a_bracket_that_takes_a_letter_back_leaves_none(text: str, answer: str | None) -> None:
    assert extract_answer(PLANET, text) == answer


def test_a_number_in_the_bracket_is_not_the_answer() -> None:
    assert extract_answer(FOUR, "Answer: B (four)") == "B"
    assert extract_answer(FOUR, "Answer: B (2 + 2 = 4, not 5)") == "B"
    combinations = Problem(text="How many pairs of 5?", choices=("5", "10", "20"))
    assert extract_answer(combinations, "The answer is C(5,2) = 10.") == "B"


@pytest.mark.parametrize(
    "text",
    ["C ✅", "Answer: C ✅", "✅ C", "Answer: ✅ C", "Therefore it is C ✅", "Answer: C ✅ 🎉\n🎉", "C ✅\nD ❌"],
)  # fmt: skip
def test_a_sign_beside_a_letter_says_nothing(text: str) -> None:
    assert extract_answer(PLANET, text) == "C"


def test_a_sign_that_is_a_choice_is_read() -> None:
    assert extract_answer(SIGNS, "Answer: ☀") == "B"
    assert extract_answer(Problem(text="Which smiles?"), "Answer: 😀") == "😀"


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 10! 🎉",
        "The answer is 10!🎉",
        "The answer is 10! 🎉 Hope this helps",
        "The answer is 10! Hope this helps.",
        "The answer is 10! :)",
        "Answer: 10! 🎉",
        "Answer: 10!",
        "The total is $10! 🎉",
        "So she pays $10!",
        "The answer is **10**! 🎉",
        "The answer is **10**!",
        "The answer is 10!!",
    ],
)
def test_a_number_that_is_called_out(text: str) -> None:
    assert extract_answer(NUMBER, text) == "10"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("The answer is 5! = 120", "120"), (r"\boxed{5!}", "5!"), ("The answer is 5! * 2", "5! * 2")],
)
def test_a_factorial_stays_one(text: str, answer: str | None) -> None:
    assert extract_answer(NUMBER, text) == answer


@pytest.mark.parametrize(
    ("choices", "text", "answer"),
    [
        (("$4.50", "$45", "$0.45"), "Answer: 45 cents", "C"),
        (("9:00 am", "9:00 pm"), "Answer: 21:00", "B"),
        (("9:00 am", "9:00 pm"), "Answer: 9 pm", "B"),
        (("9 am", "10 am"), "Answer: 9", "A"),
        (("40 mm", "4 mm"), "Answer: 4 cm", "A"),
        (("5", "6"), "Answer: 5 dozen", "A"),
        (("60", "5"), "Answer: 5 dozen", "A"),
        (("5 miles", "6 miles"), "Answer: 5", "A"),
    ],
)
def test_a_choice_that_is_named_by_its_value(
    choices: tuple[str, ...], text: str, answer: str | None
) -> None:
    assert extract_answer(Problem(text="Which?", choices=choices), text) == answer
