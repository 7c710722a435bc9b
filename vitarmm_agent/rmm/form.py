"""Whether an entry keeps to the form that writers are asked for. Pure.

A lesson is a title, a condition and a few short steps, and nothing else: what talks about the task, the
attempt or the reader instead of the problem is *chatter*.
"""

from __future__ import annotations

import re
from typing import Literal

from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.rmm.schema import CONDITION, CONTENT, TITLE

Fault = Literal["no title", "no condition", "too long", "too many steps", "long step", "chatter"]
MOST_STEPS = 7
LONGEST_STEP = 30
"""Words."""
_STEP = re.compile(r"\n+|(?<=[.!?])(?<!\d\.)\s+")
_NUMBER = re.compile(r"\d{1,2}[.)]\s+")
_CHATTER = re.compile(
    r"\b(?:I|we|let's|let us|my|our)\b|\b(?:this|the|your) (?:attempt|lesson|mistake|feedback|solver|student|"
    r"memory|user|problem solver)\b|\bit is (?:important|essential|crucial|necessary)\b|\bremember\b|"
    r"\bmake sure\b|\bbe (?:careful|sure)\b|\b(?:sorry|sure|certainly|here is|here are|good job|well done|"
    r"in summary|in conclusion|as an ai|note that|keep in mind)\b",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:do not|don't|not|never|avoid|instead of|rather than|without)\b", re.IGNORECASE
)


def faults_of(entry: MemoryEntry) -> tuple[Fault, ...]:
    """Where an entry leaves the form, each fault once."""
    steps = steps_of(entry.content)
    sizes = ((entry.title, TITLE), (entry.applies_when, CONDITION), (entry.content, CONTENT))
    found: dict[Fault, bool] = {
        "no title": not entry.title,
        "no condition": not entry.applies_when,
        "too long": any(len(text) > limit for text, limit in sizes),
        "too many steps": len(steps) > MOST_STEPS,
        "long step": any(len(step.split()) > LONGEST_STEP for step in steps),
        "chatter": any(_CHATTER.search(step) for step in steps),
    }
    return tuple(fault for fault, there in found.items() if there)


def steps_of(content: str) -> list[str]:
    """The steps or sentences of a content, without their numbers."""
    parts = (_NUMBER.sub("", part.strip(), count=1) for part in _STEP.split(content))
    return [part for part in parts if part]


def says_what_not(content: str) -> bool:
    """Whether a step says what not to do, as a correction must."""
    return any(_FORBIDS.search(step) for step in steps_of(content))
