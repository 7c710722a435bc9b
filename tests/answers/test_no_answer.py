"""What gives no answer, or another one than it seems to: bounds, denials, corrections, empty forms, cut replies."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers import extract_answer, grade
from vitarmm_agent.answers.extract import read_answer
from vitarmm_agent.problem import AnswerType, Problem

NUMBER = Problem(text="?", answer_type="integer")
TEXT = Problem(text="?")
LIST = Problem(text="?", answer_type="list")
COLOURS = Problem(text="?", choices=("red", "blue", "green", "black"))
TRUTH = Problem(text="?", choices=("True", "False"))


@pytest.mark.parametrize(
    "text",
    [
        # bounds and ranges
        "Answer: at least 7", "Answer: more than 7", "Answer: less than 7", "At least 72.", "It is up to 7.", "mindestens 7",
        "Antwort: höchstens 7", "au moins 7", "al menos 7", "至少7", "答案：超过7", "7以上", "Answer: 7 or more", "Respuesta: 7 o más", "Zwischen 5 und 7", "entre 5 et 7",
        "5到7之间", "Antwort: 5 bis 7", "Respuesta: 5 o 7", "Answer: 7 or maybe 8", "答案：5或7", "de 5 à 7 ans", "5~7", "Answer: over 7",
        # denials
        "Die Antwort ist nicht 7.", "La réponse n'est pas 7.", "No es 7", "答案不是7", "答えは7ではない", "Answer: 7 is wrong", "7は間違い",
        "Ответ: не 7",
        # parts of an expression, labels, versions
        "Answer: log 7", "Answer: the square root of 7", "Answer: twice 7", "Answer: ten less than 7", "Answer: Step 7", "Answer: 7.5.1",
        "Answer: 7 R1", "Answer: 7 remainder 1", "Error 7", "HTTP 502", "Error: rate limit exceeded (429)", "Status code: 404",
        r"\boxed{7} or \boxed{8}", r"$\boxed{7}$ and $\boxed{8}$.",
        # given up
        "There is not enough information to answer. 7 apples.", "I'm sorry, I can't help with that. 72",
        "I cannot determine the answer. There are 72 items.", "The 7 apples cost an unknown amount; cannot be determined.",
        # empty
        "Answer:", "12 apples are left.\nAnswer:", '{"answer": ""}', '{"answer": null}', "null", "N/A", "[]", "Answer: unknown",
    ],
)  # fmt: skip
def test_no_number(text: str) -> None:
    assert extract_answer(NUMBER, text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 7 is wrong, 8 is right", "8"),
        ("The answer is 72, but actually it's 73.", "73"),
        ("The answer is 72. Wait, no, it is 73.", "73"),
        ("La réponse n'est pas 7 mais 8.", "8"),
        ("答案不是7，是8", "8"),
        ("Not 5, so 6.", "6"),
        ("Answer: 7 lakh", "7 lakh"),
        ("They saved 3万元 in all.", "3万"),
        ("Answer: two thirds of them", "two thirds"),
        ("She has 5 more than 7, which is 12.", "12"),
        ("The square root of 49 is 7.", "7"),
        ("I cannot see the image, but 3 + 4 = 7. Answer: 7", "7"),
        ("The answer is 7, I don't know why.", "7"),
        ("The error is 7.", "7"),
        ("Step 7: 3 + 4 = 12", "12"),
        ("Answer: 7 with a remainder of 1", "7"),
        ("Answer:\n\n7", "7"),
        (r"\boxed{7}" + "\n\n" + r"Check: \boxed{8}", "8"),
    ],
)
def test_the_number_that_is_given(text: str, answer: str) -> None:
    assert extract_answer(NUMBER, text) == answer


@pytest.mark.parametrize(
    ("problem", "text", "letter"),
    [
        (COLOURS, "正解はAではない", None),
        (COLOURS, "정답은 A가 아니다", None),
        (COLOURS, "Choose A if hot; choose B if cold.", None),
        (COLOURS, "Die Antwort ist nicht A.", None),
        (TRUTH, "It is not true.", None),
        (TRUTH, "It is true.", "A"),
        (COLOURS, "Answer: I don't know.", None),
        (COLOURS, "Option B seems tempting, but the correct one is C.", "C"),
        (COLOURS, "Not B, so A.", "A"),
        (COLOURS, "Die richtige Antwort ist nicht A, sondern B.", "B"),
        (COLOURS, "La réponse n'est pas A mais B.", "B"),
        (COLOURS, "答案不是A，而是B", "B"),
        (COLOURS, "That is not blue but green.", "C"),
        (COLOURS, "The red one is not it; blue is.", "B"),
        (COLOURS, "My answer would be B because A has no evidence.", "B"),
        (COLOURS, "The second option", "B"),
        (COLOURS, "The second option is wrong.", None),
        (COLOURS, "Maybe B", "B"),
    ],
)
def test_choices_denied_and_affirmed(problem: Problem, text: str, letter: str | None) -> None:
    assert extract_answer(problem, text) == letter


@pytest.mark.parametrize(
    "text",
    ["Answer:", "Answer: \n", '{"answer": ""}', '{"answer": null}', "null", "None", "N/A", "[]", "{}", "I don't know.", "Answer: unknown",
     "Answer: I cannot determine this.", r"\boxed{}", "...", "<answer></answer>"],
)  # fmt: skip
@pytest.mark.parametrize("answer_type", ["text", "integer", "float", "list", "choice"])
def test_empty_forms_are_no_answer(text: str, answer_type: AnswerType) -> None:
    choices = ("red", "blue") if answer_type == "choice" else ()
    assert extract_answer(Problem(text="?", answer_type=answer_type, choices=choices), text) is None


def test_what_was_asked_for_may_be_nothing() -> None:
    assert grade(Problem(text="?", reference="Unknown"), "Answer: unknown").correct
    assert grade(Problem(text="?", reference="None"), "None").correct
    assert grade(Problem(text="?", reference="∅"), "{}").correct
    asked = Problem(text="Where was it found? If no text says so, write unknown.")
    assert extract_answer(asked, "Answer: unknown") == "unknown"
    assert (
        extract_answer(Problem(text="?", choices=("red", "N/A", "unknown")), "Answer: unknown")
        == "C"
    )


@pytest.mark.parametrize(
    ("problem", "text", "answer"),
    [
        (TEXT, "Therefore 1/3 of the cake", "1/3"),
        (TEXT, "The probability is 1/3 ≈ 0.33.", "1/3"),
        (LIST, r"x=\boxed{7}, y=\boxed{8}", "[7, 8]"),
        (TEXT, "Answer: 7 ✅", "7"),
        (TEXT, "Answer → 7", "7"),
        (TEXT, "Answer => 7", "7"),
        (TEXT, r"\boxed{2} or \boxed{3}", "2 or 3"),
    ],
)
def test_right_answers_in_other_dress(problem: Problem, text: str, answer: str) -> None:
    assert grade(problem.model_copy(update={"reference": answer}), text).correct


@pytest.mark.parametrize(
    ("problem", "text", "answer"),
    [
        (TEXT, "1. 120 - 50 = 70\nAnswer: 7", None),
        (NUMBER, "1. 120 - 50 = 70\nAnswer: 7", None),
        (NUMBER, "Answer: 7.", None),
        (NUMBER, "Answer: 70\n", "70"),
        (NUMBER, "Answer: 70 apples, be", "70"),
        (NUMBER, r"\boxed{70}", "70"),
        (NUMBER, "#### 7", None),
        (NUMBER, '{"answer": 7', None),
        (NUMBER, '{"answer": 7}', "7"),
        (TEXT, "Answer: Par", None),
        (COLOURS, "Answer: B", "B"),
    ],
)
def test_a_reply_cut_in_its_answer(problem: Problem, text: str, answer: str | None) -> None:
    assert read_answer(problem, text, cut=True) == answer
