"""MMLU: four-choice questions of 57 subjects, as text or rendered into images.

Read are the official headerless CSV (question, A, B, C, D, letter), CSV with a header, rows of the
hub (``question``, ``subject``, ``choices``, ``answer`` 0–3), and rendered rows in MathVista's format.
Source: Hendrycks et al., Measuring Massive Multitask Language Understanding (ICLR 2021).
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
from vitarmm_agent.problem import Problem

LICENSE = "MIT"
INSTRUCTION = (
    "The image shows a multiple-choice question with its options. Read it, solve it, and answer "
    "with the letter of one option."
)
"""The only text of the condition ``image``."""
RENDERED = "MMLU-rendered"
_FILE = re.compile(r"(?P<subject>[a-z_]+)_(?:test|dev|val)", re.IGNORECASE)


def _is_row(row: Mapping[str, Any]) -> bool:
    if mapping_field(row, "metadata").get("benchmark") == RENDERED:
        return True
    named = {"question", "choices", "answer"} <= set(row)
    return named and not {"question_type", "options"} & set(row)


def _problem(row: Mapping[str, Any], context: Context) -> Problem:
    question = text_field(row, "question")
    choices = texts_field(row, "choices")
    if len(choices) < 2:
        raise RowError(f"has {len(choices)} choices")
    index = _gold(row, choices)
    facts = mapping_field(row, "metadata")
    shown = context.condition == "image"
    images = () if context.condition == "text" else (context.image(row.get("image"), row),)
    subject = str(row.get("subject") or facts.get("subject") or facts.get("subfield") or "")
    if not subject and (named := _FILE.fullmatch(context.stem)):
        subject = named["subject"]
    return Problem(
        id=_id(row, subject, context),
        text=INSTRUCTION if shown else question,
        images=images,
        choices=tuple(letter_of(i) for i in range(len(choices))) if shown else choices,
        answer_type="choice",
        reference=letter_of(index) if shown else choices[index],
        metadata={
            "benchmark": "mmlu",
            "split": context.split,
            "category": subject.replace("_", " "),
            "grading": "strict",
            "license": LICENSE,
            "condition": context.condition,
            "question": question,
            "options": list(choices),
            "answer_text": choices[index],
            **{name: facts[name] for name in ("font", "font_size", "layout") if name in facts},
        },
    )


def _id(row: Mapping[str, Any], subject: str, context: Context) -> str:
    if known := row.get("id") or row.get("pid"):
        return str(known)
    parts = ["mmlu", context.split, subject.replace(" ", "_"), f"{context.number:05d}"]
    return "-".join(part for part in parts if part)


def _gold(row: Mapping[str, Any], choices: tuple[str, ...]) -> int:
    """Index of the gold choice, from an index, a letter or the choice's text."""
    answer = row.get("answer_index", row.get("answer"))
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        raise RowError("has no answer")
    letter = mapping_field(row, "metadata").get("answer_letter")
    if isinstance(letter, str) and len(letter) == 1:
        answer = letter
    if isinstance(answer, str) and answer.strip() in ("0", "1", "2", "3") and answer not in choices:
        answer = int(answer)
    if isinstance(answer, int) and not isinstance(answer, bool):
        index: int | None = answer if 0 <= answer < len(choices) else None
    elif str(answer) in choices and len(str(answer)) > 1:
        index = choices.index(str(answer))
    else:
        text = str(answer).strip()
        index = letter_index(text, len(choices)) if len(text) == 1 else None
    if index is None:
        raise RowError(f"answer {answer!r} is none of the {len(choices)} choices")
    return index


FORMAT = Format(
    title="MMLU",
    fields="question, choices, answer (letter, index or text), and image where rendered",
    splits=("test", "dev", "val", "validation", "auxiliary_train"),
    hub=("cais/mmlu", "all", "test"),
    is_row=_is_row,
    problem=_problem,
    split_of=lambda row: str(row.get("split") or mapping_field(row, "metadata").get("split", "")),
)
