"""MathVista's scoring: its normalisation, and a rule in place of its GPT-4 extraction.

Source: Lu et al., MathVista (ICLR 2024), evaluation/calculate_score.py of lupantech/MathVista.
"""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein

from vitarmm_agent.answers.choices import letter_index
from vitarmm_agent.answers.extract import extract_answer
from vitarmm_agent.answers.normalise import value_of
from vitarmm_agent.problem import Problem

_LETTER = re.compile(r"\(([a-zA-Z])\)")
MAX_TEXT = 5_000


def extract(problem: Problem, text: str) -> str:
    """What stands for the benchmark's model-made extraction: never None."""
    return extract_answer(problem, text) or ""


def normalise(problem: Problem, extraction: str) -> str | None:
    """MathVista's normalisation of an extraction.

    Choice: the first single letter in round brackets, upper-cased, when in range selects; else the
    choice at the smallest Levenshtein distance, the first on a tie. Integer: truncated toward zero.
    Float: rounded to ``problem.precision``. List: the text itself. None: it does not parse.
    """
    if problem.answer_type == "choice":
        return _nearest(problem, extraction.strip()[:MAX_TEXT])
    if problem.answer_type == "integer":
        number = _float(extraction)
        return None if number is None else str(int(number))
    if problem.answer_type == "float":
        number = _float(extraction)
        return None if number is None else str(round(number, problem.precision or 0))
    return extraction.strip() or None


def _nearest(problem: Problem, extraction: str) -> str:
    letter = _LETTER.search(extraction)
    text = letter[1].upper() if letter else extraction
    if len(text) == 1 and text.isascii() and text.isupper():
        index = letter_index(text, len(problem.choices))
        if index is not None:
            return problem.choices[index]
    return min(problem.choices, key=lambda choice: Levenshtein.distance(choice, text))


def _float(text: str) -> float | None:
    value = value_of(text)
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None
