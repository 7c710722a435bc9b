"""GSM8K: grade-school word problems with whole-number answers.

Fields ``question`` and ``answer``; the answer is a worked solution whose last line is ``#### N``.
Source: Cobbe et al., Training Verifiers to Solve Math Word Problems (2021), openai/grade-school-math.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from vitarmm_agent.evals.datasets.records import Context, Format, RowError, text_field
from vitarmm_agent.numbers.reading import parse_number
from vitarmm_agent.problem import Problem

LICENSE = "MIT"
_MARK = re.compile(r"^####[ \t]*+(.*)$", re.MULTILINE)


def worked_and_gold(answer: str) -> tuple[str, str, Fraction]:
    """The worked solution of an answer, the N of its last line ``#### N`` without commas, its value.

    Raises:
        RowError: it has no such line, or N is no number.
    """
    marks = [*_MARK.finditer(answer)]
    if not marks:
        raise RowError("answer has no line '#### N'")
    shown = marks[-1][1].strip()
    gold = shown.replace(",", "")
    value = parse_number(gold)
    if value is None:
        raise RowError(f"answer ends in '#### {shown}', which is no number")
    return answer[: marks[-1].start()], gold, value


def _is_row(row: Mapping[str, Any]) -> bool:
    named = {"question", "answer"} <= set(row)
    other = {"choices", "options", "question_type", "image", "subject"} & set(row)
    return named and not other and isinstance(row["answer"], (str, type(None)))


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    question = text_field(row, "question")
    solution = text_field(row, "answer")
    worked, gold, _ = worked_and_gold(solution)
    steps = len([line for line in worked.splitlines() if line.strip()])
    return Problem(
        id=str(row.get("id") or f"gsm8k-{context.split or 'row'}-{context.number:05d}"),
        text=question,
        answer_type="integer",
        reference=gold,
        metadata={
            "benchmark": "gsm8k",
            "split": context.split,
            "category": f"{steps} step{'' if steps == 1 else 's'}",
            "grading": "strict",
            "license": LICENSE,
            "solution": solution,
        },
    )


FORMAT = Format(
    title="GSM8K",
    fields="question, answer (ending in '#### N')",
    splits=("train", "test"),
    hub=("openai/gsm8k", "main", "test"),
    is_row=_is_row,
    problem=_problem,
    split_of=lambda row: "",
)
