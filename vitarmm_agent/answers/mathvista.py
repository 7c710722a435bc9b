"""MathVista's scoring: its normalisation, and a rule in place of its GPT-4 extraction.

Source: Lu et al., MathVista (ICLR 2024), evaluation/calculate_score.py of lupantech/MathVista.
"""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein

from vitarmm_agent.answers.amounts import stated_number
from vitarmm_agent.answers.choices import covered, letter_index, mentioned
from vitarmm_agent.answers.denials import UNDETERMINED
from vitarmm_agent.answers.extract import WINDOW, extract_answer, sentences_of
from vitarmm_agent.answers.markers import commitments
from vitarmm_agent.answers.normalise import clean, plain, value_of, widths
from vitarmm_agent.problem import Problem

_LETTER = re.compile(r"\(([a-zA-Z])\)")
_DENIAL = re.compile(r"\b(?:not|isn't|aren't|doesn't|don't|neither|none|no)\b", re.IGNORECASE)
MAX_TEXT = 5_000


def extract(problem: Problem, text: str) -> str:
    """What stands for the benchmark's model-made extraction: never None.

    Where nothing is committed to, a yes-or-no question is answered by the polarity of what is said,
    a number is the one stated first or else last, and what remains is the text itself, which the
    normalisation turns into the nearest choice.
    """
    found = extract_answer(problem, text)
    if found is not None:
        return f"({found})" if problem.answer_type == "choice" else found
    text = widths(clean(text[-WINDOW:])).strip()
    if (beyond := _letter_beyond(problem, text)) is not None:
        return beyond
    if refused := _refusal(text):
        return refused
    if problem.answer_type == "choice":
        return _some_choice(problem, text)
    strong = [content for _, content, strong in commitments(text) if strong]
    if strong:
        return plain(strong[-1])
    numeric = problem.answer_type in ("integer", "float")
    return (_any_number(text) if numeric else None) or text


def _letter_beyond(problem: Problem, text: str) -> str | None:
    """A letter that is committed to but stands behind the last choice, as ``(C)`` of two."""
    for _, content, _ in commitments(text)[-1:]:
        match = _LETTER.match(plain(content))
        if match and letter_index(match[1], len(problem.choices)) is None and problem.choices:
            return match[0]
    return None


def _refusal(text: str) -> str | None:
    """A refusal, as short as the benchmark's extraction writes it."""
    if re.search(r"\bN/A\b|\bcan'?t process\b", text):
        return "N/A"
    if re.match(r"\W*(?:i'?m )?sorry\b", text, re.IGNORECASE):
        return text
    return "Cannot be determined" if UNDETERMINED.search(text) else None


def _some_choice(problem: Problem, text: str) -> str:
    committed = [content for _, content, _ in commitments(text) if plain(content)]
    if committed:
        return plain(committed[-1].split("\n")[0])
    if (said := _polarity(problem, text)) is not None:
        return said
    sentences = sentences_of(problem, text) or [text]
    for part in sentences[:1] + sentences[-1:]:
        if (index := covered(problem.choices, part)) is not None:
            return problem.choices[index]
    if all(value_of(choice) is not None for choice in problem.choices):
        return _any_number(text) or text
    return _last_named(problem, text) or text


def _any_number(text: str) -> str | None:
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
    for sentence in [*sentences[:1], *reversed(sentences)]:
        if (number := stated_number(sentence)) is not None:
            return number
    return None


def _polarity(problem: Problem, text: str) -> str | None:
    """Yes or no, where these are the choices and a sentence affirms or denies."""
    named = [choice.strip().casefold() for choice in problem.choices]
    if sorted(named) != ["no", "yes"]:
        return None
    first = re.split(r"(?<=[.!?])\s+|\n+", text, maxsplit=1)[0]
    denied = re.match(r"\W*no\b", first, re.IGNORECASE) or _DENIAL.search(first)
    return problem.choices[named.index("no" if denied else "yes")]


def _last_named(problem: Problem, text: str) -> str | None:
    named = mentioned(problem.choices, text)
    return problem.choices[named[-1][1]] if named else None


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
