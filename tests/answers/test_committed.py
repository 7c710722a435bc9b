"""What replies commit to: several numbers for one, wordings of a choice, other languages, wrappers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import read_rows
from vitarmm_agent.answers import answers_equal, extract_answer, grade
from vitarmm_agent.problem import Problem

NUMBER = Problem(text="?", answer_type="integer")
TEXT = Problem(text="?")
LIST = Problem(text="?", answer_type="list")
COLOURS = Problem(text="?", choices=("red", "blue", "green", "black"))
YES_NO = Problem(text="?", choices=("yes", "no"))
ANGLES = Problem(text="?", choices=("90", "100", "110", "120"))
KINDS = (
    "leading-dot letters-as-unit units-and-times mixed-latex repeating superscripts decimal-comma latex-thousands "
    "bases matrices sets-and-order interval-brackets tiny-and-series several-answers negative-words ordinals "
    "choice-wording choice-languages ok-choice-wrappers ok-gsm8k"
).split()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It costs $.75.", ".75"),
        ("The answer is .5 litres.", ".5 litres"),
        ("The answer is 7!", "7"),
        ('The answer to the question "What is 2+2?" is 4.', "4"),
        ("The answer to “How much is 2.5 + 2.5?” is 5.", "5"),
        (r"\boxed{7!}", "7!"),
        ("The answer is 5m.", "5"),
        ("The answer is 101_2.", "101_2"),
        ("The speed is 2×10³ km/h.", "2×10^3"),
        ("Die Antwort ist 1.500 Euro.", "1500 Euro"),
        ("La réponse est 3,5.", "3.5"),
        ("Ответ: 42", "42"),
        ("정답: 42", "42"),
        ("所以选手得了3分，一共42分。", "42"),
        ("The answer is minus five.", "minus five"),
        ("So it is minus 12.", "-12"),
        ("The temperature is negative 5 degrees.", "-5"),
        ("10 minus 5 is 5.", "5"),
        ("Answer – 20", "20"),
        ("Answer: -20", "-20"),
        ("The answer is the 12th.", "12"),
        ("The answer is not 5 but 6.", "6"),
        ("It is 6, not 5.", "6"),
        ("The answer isn't 5, it's 6.", "6"),
        ("The answer is 5 and 1/2.", "5 and 1/2"),
        ("The answer is 0.5 or 50%.", "0.5"),
        ("The difference between 30 and 20 is 10.", "10"),
        ("<answer>42</answer>", "42"),
        ('```json\n{"why": "5", "final_answer": 42}\n```', "42"),
    ],
)
def test_one_number(text: str, answer: str) -> None:
    assert extract_answer(NUMBER, text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 3x.",
        "The answer is 2π.",
        r"\boxed{2\sqrt{3}}",
        r"\boxed{\pm 5}",
        r"\boxed{x > 5}",
        "The answer is 5 or 6.",
        "The answers are 5 and 7.",
        "There are 5 boys and 3 girls.",
        "The value is between 5 and 7.",
        "It takes 3 to 4 hours.",
        "The answer is 5-7.",
        r"\boxed{5–7}",
        r"\boxed{x=5, y=6}",
        "5 hours 30 minutes",
        "The solutions are x = 2 and x = 3.",
        "Answer: 3 - 5 hours",
        "The ratio is 3:1.",
        "They meet at 5:30.",
        "1, 2, 3",
        "Therefore, it is between 10 and 20 dollars.",
    ],
)
def test_several_numbers_or_a_part_of_one_are_no_answer(text: str) -> None:
    assert extract_answer(NUMBER, text) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("(C) is correct.", "C"),
        ("I'd go with option C.", "C"),
        ("I think it's C", "C"),
        ("Final Answer C", "C"),
        ("The best answer is option (C): green.", "C"),
        ("Therefore, C is right, not A.", "C"),
        ("Option A is incorrect. Option C is correct.", "C"),
        ("Option A is correct only if x > 0. Therefore option C.", "C"),
        ("Between A and C, I choose C.", "C"),
        ("The answer is not B but C.", "C"),
        ("The answer is green, not red.", "C"),
        ("Answer = C", "C"),
        ("ANSWER: <C>", "C"),
        ("It is not (A), so (C).", "C"),
        ("<answer>\n(C)\n</answer>", "C"),
        ('{"answer": "C) green"}', "C"),
        ("{'choice': 'C'}", "C"),
        (r"Answer: C, as \boxed{E = mc^2}", "C"),
        ("Die richtige Antwort lautet C.", "C"),
        ("Option C ist richtig.", "C"),
        ("La bonne réponse est la C.", "C"),
        ("Réponse : C", "C"),
        ("La opción correcta es la C.", "C"),
        ("A resposta correta é a letra C.", "C"),
        ("La risposta corretta è C.", "C"),
        ("Ответ: C", "C"),
        ("答えはCです。", "C"),
        ("因此选择C。", "C"),
        ("故选：Ｃ", "C"),
        ("选项A错误，选项C正确，选项D错误。", "C"),
        ("选项D错误", None),
        ("정답은 C입니다.", "C"),
        ("الإجابة: C", "C"),
        ("I would not choose C.", None),
        ("The answer is not (C).", None),
        ("A or C is correct.", None),
        ("The answer is A or C.", None),
        (r"Answer: C. \boxed{\text{Cannot determine}}", None),
    ],
)
def test_wordings_of_a_choice(text: str, letter: str | None) -> None:
    assert extract_answer(COLOURS, text) == letter


@pytest.mark.parametrize(
    ("problem", "text", "letter"),
    [
        (YES_NO, "A: no", "B"),
        (YES_NO, "A: No, it is not", "B"),
        (YES_NO, "A: yes", "A"),
        (YES_NO, "(A) no", "A"),
        (ANGLES, "Using 100 we get 77. The answer is 77.", None),
        (ANGLES, "The total is 115, close to 110.", None),
        (ANGLES, "Therefore it is 91.", None),
        (ANGLES, r"Answer: B, so \boxed{77}", None),
        (ANGLES, "We have 100 + 10 = 110.", "C"),
        (ANGLES.model_copy(update={"choices": ("0.5", "5")}), "So it is .5", "A"),
    ],
)
def test_labels_and_values_of_choices(problem: Problem, text: str, letter: str | None) -> None:
    assert extract_answer(problem, text) == letter


@pytest.mark.parametrize(
    ("problem", "text", "answer"),
    [
        (TEXT, "The answer is not Paris but London.", "London"),
        (TEXT, "The answer is not enough information.", "not enough information"),
        (TEXT, "<answer>x^2 + 1</answer>", "x^2 + 1"),
        (TEXT, r'{"answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
        (TEXT, "Die Antwort ist Paris.", "Paris"),
        (LIST, '{"answer": [1, 2, 3]}', "[1, 2, 3]"),
        (LIST, r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (LIST, r"The answer is $[0,1) \cup (3,\infty)$.", r"[0,1) \cup (3,\infty)"),
    ],
)
def test_texts_and_lists(problem: Problem, text: str, answer: str) -> None:
    assert extract_answer(problem, text) == answer


def test_reported_cases_are_read_right(shared: Path) -> None:
    path = shared / "cases" / "reports.jsonl"
    if not path.is_file():
        pytest.skip(f"the reported cases are not at {path}")
    cases = [row for row in read_rows(path) if row["kind"] in KINDS]
    assert len(cases) >= len(KINDS)
    assert [json.dumps(row) for row in cases if read(row["input"]) != row["expected"]] == []


def read(given: dict[str, Any]) -> bool | dict[str, bool]:
    if "grade" in given:
        fields = dict(given["grade"])
        response = fields.pop("response")
        return {"correct": grade(Problem(text="?", **fields), response).correct}
    pair = given["answers_equal"]
    problem = Problem(text="?", answer_type=pair["answer_type"])
    return answers_equal(problem, pair["a"], pair["b"])
