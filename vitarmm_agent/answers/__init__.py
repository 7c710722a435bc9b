"""Final answers: extract, normalise, grade; and an attempt's steps.

Pure: nothing here calls a model or a store. Everything is bounded in time and memory, whatever the
text; nothing is ever evaluated as code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.answers.equality import answers_equal
    from vitarmm_agent.answers.extract import extract_answer, read_answer
    from vitarmm_agent.answers.grading import Grade, grade, grade_attempt, grade_result
    from vitarmm_agent.answers.steps import parse_steps

__all__ = [
    "Grade",
    "answers_equal",
    "extract_answer",
    "grade",
    "grade_attempt",
    "grade_result",
    "parse_steps",
    "read_answer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Grade": "grading",
        "answers_equal": "equality",
        "extract_answer": "extract",
        "grade": "grading",
        "grade_attempt": "grading",
        "grade_result": "grading",
        "parse_steps": "steps",
        "read_answer": "extract",
    },
)
