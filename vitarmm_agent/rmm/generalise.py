"""Taking one problem's own numbers out of a lesson.

A lesson that repeats them is no lesson: shown with the next problem, it draws the model to the last
answer. Numbers that the problem does not give and no step computes, such as the four sides of a
square, stay.
"""

from __future__ import annotations

import re

from vitarmm_agent.answers.equations import equations
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Attempt, Problem

PLACEHOLDER = "N"
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w*\d)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def own_numbers(problem: Problem, attempt: Attempt) -> frozenset[str]:
    """Numbers that the problem gives, that its steps compute, and its final answer."""
    computed = [found.shown for step in attempt.steps for found in equations(step.text)]
    texts = [problem.text, *problem.choices, attempt.answer or "", *computed]
    return frozenset(n for text in texts for n in _numbers(text))


def without_numbers(entry: MemoryEntry, numbers: frozenset[str]) -> MemoryEntry | None:
    """The entry in general terms; None when its content is about those numbers alone.

    Sentences of the content that hold one of the numbers are left out; in the title and the
    condition each is replaced by ``N``.
    """
    kept = [s for s in _SENTENCE.split(entry.content) if not numbers.intersection(_numbers(s))]
    content = " ".join(kept).strip()
    if not content:
        return None
    return entry.model_copy(
        update={
            "content": content,
            "title": _masked(entry.title, numbers),
            "applies_when": _masked(entry.applies_when, numbers),
        }
    )


def _numbers(text: str) -> list[str]:
    return [found.group().replace(",", "") for found in _NUMBER.finditer(text)]


def _masked(text: str, numbers: frozenset[str]) -> str:
    return _NUMBER.sub(
        lambda found: PLACEHOLDER if found.group().replace(",", "") in numbers else found.group(),
        text,
    )
