from __future__ import annotations

import pytest

from vitarmm_agent.answers import extract_answer, read_answer
from vitarmm_agent.problem import Problem

NUMBER = Problem(text="How many?", answer_type="integer")
TEXT = Problem(text="What is it?")
LIST = Problem(text="Which?", answer_type="list")
CHOICE = Problem(text="Which?", choices=("90", "100", "110", "120"))
ANGLES = Problem(text="Which?", choices=("30°", "45°", "60°", "70°"))
YES_NO = Problem(text="Is it?", choices=("Yes", "No"))
WORDS = Problem(text="Which?", choices=("Shark", "Small Shrimp", "Octopus", "Shrimp"))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("18", "18"),
        ("3 + 4 = 7\nAnswer: 7", "7"),
        ("work\n#### 1,234", "1,234"),
        ("work\nA: 90,000", "90,000"),
        (r"So it is \boxed{42}.", "42"),
        (r"First \boxed{41}, no: \boxed{42}.", "42"),
        ("The answer is 5 apples.", "5 apples"),
        ("The answer is $18.", "18"),
        ("**Final answer:** 12", "12"),
        ("The final answer is: **12** eggs", "12 eggs"),
        ("She has **7** eggs left.", "7"),
        ("The gap is 30 years.", "30"),
        ("There are two towers higher than 60.", "two"),
        ("The answer is -3.", "-3"),
        ("Answer: 3/4", "3/4"),
        ("Answer: 2 × 10^3", "2 × 10^3"),
        ("Answer: 15%", "15%"),
        ("Answer: twelve", "twelve"),
        ("The answer is x = 5", "5"),
        ("Answer:\n12", "12"),
        ("The answer is 4. Wait, no. The answer is 6.", "6"),
        ("3 + 4 = 7\n\nI hope this helps! Let me know if you have 2 more questions.", "7"),
        ("答案是７。", "7"),
    ],
)
def test_numbers(text: str, answer: str) -> None:
    assert extract_answer(NUMBER, text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1. The side is 20 / 4 = 5.\n2. The area is 5 *", None),
        ("1. The side is **5**.\n2. Therefore the area is 5 * 5 = 2", None),
        ("1. The result of 20 / 4 is 5.\n2. Next,", None),
        ("The solution is 5 steps away:", None),
        ("5", None),
        ("Answer: 25\nTo check, 5 *", "25"),
        ("#### 25\nTo check,", "25"),
        (r"So \boxed{25}, as 5 *", "25"),
        ("The answer is 25. To check, 25 /", "25"),
        ("The answer is 4. Wait, no. The answer is 6. But if", "6"),
        (r"So \boxed{2", None),
    ],
)
def test_a_reply_that_was_cut_off_answers_only_by_what_it_commits_to(
    text: str, answer: str | None
) -> None:
    assert read_answer(NUMBER, text, cut=True) == answer
    assert read_answer(NUMBER, text, cut=False) == extract_answer(NUMBER, text)


@pytest.mark.parametrize(
    ("problem", "text", "letter"),
    [
        (CHOICE, "C", "C"),
        (CHOICE, "(C)", "C"),
        (CHOICE, "c)", "C"),
        (CHOICE, "The answer is (B).", "B"),
        (CHOICE, "**B**", "B"),
        (CHOICE, r"$\boxed{\text{(A)}}$", "A"),
        (CHOICE, r"The answer is $\boxed 100$", "B"),
        (CHOICE, r"The answer is $\boxed B$.", "B"),
        (CHOICE, r"Answer: \boxed\text{(A)}", "A"),
        (CHOICE, "The correct option is D, not (A).", "D"),
        (CHOICE, "Answer: 110", "C"),
        (CHOICE, "(A) is wrong. Therefore, (D) is the answer", "D"),
        (CHOICE, "It cannot be (A). So the answer is (B).", "B"),
        (ANGLES, "Therefore, the angle is 60°.", "C"),
        (ANGLES, "The angle is 60 degrees.", "C"),
        (WORDS, "The answer is (D). Shrimp.", "D"),
        (WORDS, "In the end it is the small shrimp that grows.", "B"),
        (WORDS, "Answer: Octopus", "C"),
        (YES_NO, "No, it is not.", "B"),
        (ANGLES, "正确选项是（Ｂ）", "B"),
    ],
)
def test_choices(problem: Problem, text: str, letter: str) -> None:
    assert extract_answer(problem, text) == letter


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: Paris", "Paris"),
        (r"Hence $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("blue", "blue"),
        ("The total is $3 + 4 = 7$.", "7"),
    ],
)
def test_text(text: str, answer: str) -> None:
    assert extract_answer(TEXT, text) == answer


def test_lists() -> None:
    assert extract_answer(LIST, "The answer is [1, 2, 3].") == "[1, 2, 3]"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (NUMBER, ""),
        (NUMBER, "   \n"),
        (NUMBER, "I do not know."),
        (NUMBER, "Sorry, I am not able to look at pictures."),
        (CHOICE, "The figure is not given, so no choice can be made."),
        (CHOICE, r"\boxed{Cannot determine}"),
        (CHOICE, "Therefore, the value is 77."),
        (CHOICE, r"The answer is \boxed"),
        (CHOICE, "Choose one:\n(A) 90\n(B) 100\n(C) 110\n(D) 120"),
        (CHOICE, r"The answer is \boxed{(A) and (B)}."),
        (CHOICE, r"\boxed{(A), (B), (C), (D)}"),
        (YES_NO, "If it is smaller, the answer is (B) No.\nWe cannot determine which it is."),
        (YES_NO, "There is no information about buses."),
        (NUMBER, "\x00\x01\x02\ufffe"),
    ],
)
def test_no_commitment_is_none_and_never_a_guess(problem: Problem, text: str) -> None:
    assert extract_answer(problem, text) is None


def test_the_reference_is_not_looked_at() -> None:
    text = "It is 3, or 4, or 5. I can't say which"
    seen = {
        extract_answer(NUMBER.model_copy(update={"reference": r}), text) for r in ("3", "4", "5")
    }
    assert len(seen) == 1


@pytest.mark.parametrize(
    "sentence",
    [
        "½ of the cake is 12 and 3 remain",
        "The ½½½½½½½ value is 12, unlike 7",
        "⅓ gives 7 as 4 is １２ kg",
    ],
)
def test_a_stated_number_is_found_behind_a_fraction_sign(sentence: str) -> None:
    """One sign becomes several characters when it is read, which moves what stands behind it."""
    assert extract_answer(Problem(text="q", answer_type="integer"), f"{sentence}.") == "12"


def test_dots_behind_decimals_go_on_in_an_answer_in_words_too() -> None:
    problem = Problem(text="How much?", answer_type="text", reference="1/6")
    assert extract_answer(problem, "Answer: 0.1666...") == "0.1666..."
    assert extract_answer(problem, r"\boxed{0.1666...}") == "0.1666..."
    assert extract_answer(problem, "Answer: 72.") == "72"
    assert extract_answer(problem, "Answer: I think so...") == "I think so"
