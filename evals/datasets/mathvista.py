"""MathVista: mathematical reasoning in visual contexts; for testing only.

Source: Lu et al., MathVista (ICLR 2024), lupantech/MathVista: rows of ``testmini.json`` or of the
hub, the prompt of ``evaluation/build_query.py``, graded by
:mod:`vitarmm_agent.answers.mathvista`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from vitarmm_agent.answers.choices import letter_of
from vitarmm_agent.evals.datasets.records import (
    Context,
    Format,
    RowError,
    mapping_field,
    text_field,
    texts_field,
)
from vitarmm_agent.problem import AnswerType, Problem

LICENSE = "CC BY-SA 4.0; test use only"
_FINAL = "and provide the final value, e.g.,"
_HINTS = {
    "choice": "Please answer the question and provide the correct option letter, e.g., A, B, C, D, "
    "at the end.",
    "integer": f"Please answer the question requiring an integer answer {_FINAL} 1, 2, 3, "
    "at the end.",
    "float1": "Please answer the question requiring a floating-point number with one decimal place "
    f"{_FINAL} 1.2, 1.3, 1.4, at the end.",
    "float": "Please answer the question requiring a floating-point number with two decimal places "
    f"{_FINAL} 1.23, 1.34, 1.45, at the end.",
    "list": "Please answer the question requiring a Python list as an answer and provide the final "
    "list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.",
}


def official_query(row: Mapping[str, Any]) -> str:
    """The benchmark's own prompt for a row (its zero-shot form), built as its script builds it."""
    kind = answer_type_of(row)
    hint = _HINTS["float1" if kind == "float" and row.get("precision") == 1 else kind]
    unit = f" (Unit: {row['unit']})" if row.get("unit") else ""
    lines = [f"Hint: {hint}", f"Question: {row['question']}{unit}"]
    if choices := texts_field(row, "choices"):
        lines.append(_listed(choices))
    return "\n".join(lines).strip()


def answer_type_of(row: Mapping[str, Any]) -> AnswerType:
    """The problem's answer type: a row's ``text`` with choices is a choice here.

    Raises:
        RowError: question_type and answer_type are no pair that the benchmark has.
    """
    kinds = (row.get("question_type"), row.get("answer_type"))
    if kinds == ("multi_choice", "text"):
        if not texts_field(row, "choices"):
            raise RowError("question_type is multi_choice but there are no choices")
        return "choice"
    if kinds[0] == "free_form" and kinds[1] in ("integer", "float", "list"):
        return cast(AnswerType, kinds[1])
    raise RowError(f"question_type {kinds[0]!r} with answer_type {kinds[1]!r} is not known")


def _listed(choices: tuple[str, ...]) -> str:
    return "\n".join(["Choices:", *(f"({letter_of(i)}) {c}" for i, c in enumerate(choices))])


def _is_row(row: Mapping[str, Any]) -> bool:
    named = {"question", "question_type", "answer_type"} <= set(row)
    return named and mapping_field(row, "metadata").get("benchmark", "MathVista") == "MathVista"


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    question = text_field(row, "question")
    answer = text_field(row, "answer")
    kind = answer_type_of(row)
    choices = texts_field(row, "choices")
    if kind == "choice" and answer not in choices:
        raise RowError(f"answer {answer!r} is none of the choices")
    query = text_field(row, "query") if row.get("query") else official_query(row)
    facts = mapping_field(row, "metadata")
    return Problem(
        id=f"mathvista-{text_field({'pid': str(row.get('pid') or '')}, 'pid')}",
        text=query.removesuffix(_listed(choices)).rstrip() if choices else query,
        images=(context.image(row.get("decoded_image") or row.get("image"), row),),
        choices=choices,
        answer_type=kind,
        precision=_precision(row.get("precision")),
        unit=text_field(row, "unit") if row.get("unit") else None,
        reference=answer,
        metadata={
            "benchmark": "mathvista",
            "split": context.split,
            "category": str(facts.get("task", "")),
            "grading": "mathvista",
            "license": LICENSE,
            "image_license": facts.get("image_license", "of the source dataset"),
            "test_only": True,
            "question": question,
            "query": query,
            "source": facts.get("source", ""),
        },
    )


def _precision(value: Any) -> int | None:
    """Decimal places; some files hold them as ``1.0``."""
    if value is None:
        return None
    if isinstance(value, bool) or value not in range(13):
        raise RowError(f"precision {value!r} is no number of decimal places")
    return int(value)


FORMAT = Format(
    title="MathVista",
    fields="pid, question, image, choices, unit, precision, answer, question_type, answer_type",
    splits=("testmini", "test"),
    hub=("AI4Math/MathVista", None, "testmini"),
    is_row=_is_row,
    problem=_problem,
    split_of=lambda row: str(mapping_field(row, "metadata").get("split", "")),
)
