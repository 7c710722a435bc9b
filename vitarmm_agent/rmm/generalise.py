"""Taking one problem's own numbers out of a lesson.

A lesson that repeats them is no lesson: shown with the next problem, it draws the model to the last
answer. Numbers that the problem does not give and no step computes, such as the four sides of a
square, stay.
"""

from __future__ import annotations

import re
from fractions import Fraction

from vitarmm_agent.answers.equations import equations
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.numbers.finding import Found, numbers_in, replace_numbers
from vitarmm_agent.problem import Attempt, Problem

PLACEHOLDER = "N"
SMALL = 12
"""Whole numbers in words count as a problem's own from above this one."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_STEP = re.compile(r"\d{1,2}[.)]\s+")


def own_numbers(problem: Problem, *attempts: Attempt) -> frozenset[str]:
    """Numbers that the problem gives, that the steps of its attempts compute, and their answers."""
    steps = [step for attempt in attempts for step in attempt.steps]
    computed = [found.shown for step in steps for found in equations(step.text)]
    answers = [attempt.answer or "" for attempt in attempts]
    texts = [problem.text, *problem.choices, *answers, *computed]
    return frozenset(
        _shown(found.value) for text in texts for found in numbers_in(text) if _telling(found)
    )


def without_numbers(entry: MemoryEntry, numbers: frozenset[str]) -> MemoryEntry | None:
    """The entry in general terms; None when its content is about those numbers alone.

    Sentences of the content that hold one of the numbers are left out; in the title and the
    condition each is replaced by ``N``. The number before a step is none of them.
    """
    lines = (_without_own(line, numbers) for line in entry.content.splitlines())
    content = "\n".join(line for line in lines if line).strip()
    if not content:
        return None
    return entry.model_copy(
        update={
            "content": content,
            "title": _masked(entry.title, numbers),
            "applies_when": _masked(entry.applies_when, numbers),
        }
    )


def _without_own(line: str, numbers: frozenset[str]) -> str:
    """A line without the sentences that hold one of the numbers; a step keeps its own."""
    step = _STEP.match(line)
    at = step.end() if step else 0
    kept = [
        sentence
        for sentence in _SENTENCE.split(line[at:])
        if not any(_own(found, numbers) for found in numbers_in(sentence))
    ]
    return f"{line[:at]}{' '.join(kept)}" if any(kept) else ""


def _telling(found: Found) -> bool:
    """Small whole numbers in words are figures of speech: "one of the two sides"."""
    return not found.spelled or found.value > SMALL or found.value.denominator > 1


def _own(found: Found, numbers: frozenset[str]) -> bool:
    values = (found.value, *found.parts)
    return _telling(found) and not numbers.isdisjoint(_shown(value) for value in values)


def _shown(value: Fraction) -> str:
    """One spelling of a number, whatever its sign."""
    return str(abs(value))


def _masked(text: str, numbers: frozenset[str]) -> str:
    return replace_numbers(text, lambda found: PLACEHOLDER if _own(found, numbers) else None)
