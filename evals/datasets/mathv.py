r"""MATH-V: competition problems with figures.

Source: Wang et al., MATH-Vision (NeurIPS 2024), mathllm/MATH-V. Read are its own rows (``id``,
``question`` with ``<image1>``, ``options``, ``answer`` as a letter, ``image``, ``level``, ``subject``)
and rows in MathVista's format whose metadata name MATH-V.

Grading is ``strict``: the benchmark's own script (policy ``mathv``) reads only answers in ``\boxed{}``
or in a few set phrases, as its own prompt asks for, and would count an agent's ``Answer: C`` as wrong.
Its verdict of an extracted answer is ``grade(problem, rf"\boxed{{{answer}}}", policy="mathv")``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vitarmm_agent.answers.choices import letter_index, letter_of
from vitarmm_agent.evals.datasets.records import (
    Context,
    Format,
    RowError,
    mapping_field,
    text_field,
    texts_field,
)
from vitarmm_agent.numbers.reading import parse_number
from vitarmm_agent.problem import AnswerType, Problem

LICENSE = "MIT"
_PLACEHOLDER = re.compile(r"(?<![ \t])[ \t]*+<image\d*+>")


def _is_row(row: Mapping[str, Any]) -> bool:
    own = {"question", "options", "level", "subject"} <= set(row)
    return own or mapping_field(row, "metadata").get("benchmark") == "MATH-V"


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    facts = mapping_field(row, "metadata")
    question = _PLACEHOLDER.sub("", text_field(row, "question")).strip()
    choices = texts_field(row, "options" if "options" in row else "choices")
    answer = text_field(row, "answer")
    return Problem(
        id=_id(row, facts),
        text=question or "Answer the question in the image.",
        images=(context.image(row.get("decoded_image") or row.get("image"), row),),
        choices=choices,
        answer_type="choice" if choices else _kind(answer),
        reference=_letter(choices, answer) if choices else answer,
        metadata={
            "benchmark": "mathv",
            "split": context.split,
            "category": str(row.get("subject") or facts.get("task", "")),
            "level": row.get("level") or facts.get("grade"),
            "grading": "strict",
            "license": LICENSE,
            "image_license": facts.get("image_license", LICENSE),
        },
    )


def _id(row: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    number = row.get("id") or facts.get("original_id") or row.get("pid")
    if number in (None, ""):
        raise RowError("has no id")
    return f"mathv-{number}"


def _kind(answer: str) -> AnswerType:
    number = parse_number(answer)
    if number is None or not re.fullmatch(r"[-+\d.,\s]+", answer):
        return "text"
    return "integer" if number.denominator == 1 and "." not in answer else "float"


def _letter(choices: tuple[str, ...], answer: str) -> str:
    """The gold choice by letter: the benchmark's scorer takes a letter or the choice's text."""
    if answer in choices:
        return letter_of(choices.index(answer))
    if len(answer) == 1 and letter_index(answer, len(choices)) is not None:
        return answer.upper()
    raise RowError(f"answer {answer!r} is none of the {len(choices)} options")


FORMAT = Format(
    title="MATH-V",
    fields="id, question, options, answer, image, level, subject",
    splits=("testmini", "test"),
    hub=("MathLLMs/MathVision", None, "testmini"),
    is_row=_is_row,
    problem=_problem,
    split_of=lambda row: str(mapping_field(row, "metadata").get("split", "")),
)
