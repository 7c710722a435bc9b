from __future__ import annotations

from typing import Any

from vitarmm_agent.answers import extract_answer, parse_steps
from vitarmm_agent.problem import Attempt, Problem

SQUARE = Problem(
    text="A square has a perimeter of 20 cm. What is its area in square centimeters?",
    answer_type="integer",
    reference="25",
    metadata={"note": "the gold answer is 25"},
)
RIGHT = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25 square cm.\nAnswer: 25"
WRONG = "1. The side is 20 / 4 = 6 cm.\n2. The area is 6 * 6 = 36 square cm.\nAnswer: 36"


def attempt(text: str, problem: Problem = SQUARE, number: int = 1, **fields: Any) -> Attempt:
    return Attempt(
        number=number,
        text=text,
        steps=parse_steps(text),
        answer=extract_answer(problem, text),
        **fields,
    )
