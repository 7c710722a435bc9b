"""An entry's journal, arranged for its page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vitarmm_agent.traces import Stretch, word_diff

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.journal import JournalEvent

SHOWN = ("entry_type", "title", "applies_when", "content", "example", "confidence", "related_to",
         "superseded_by", "quarantined")  # fmt: skip
_VERDICT = re.compile(r": (pass|fail)$")


class Use(NamedTuple):
    """One attempt that was shown the entry, and what came of it."""

    run: str
    attempt: int
    verdict: str


class Count(NamedTuple):
    """How often the entry had helped and harmed by then."""

    at: str
    used: int
    helpful: int
    harmful: int


class FieldChange(NamedTuple):
    """A field of an entry before and after."""

    name: str
    changes: list[Stretch]


def uses_of(events: Sequence[JournalEvent]) -> list[Use]:
    """Attempts that were shown the entry, newest first."""
    uses = []
    for event in events:
        if event.kind in ("credit", "quarantine"):
            verdict = _VERDICT.search(event.reason)
            uses.append(Use(event.run, event.attempt, verdict.group(1) if verdict else ""))
    return uses


def counts_over_time(events: Sequence[JournalEvent]) -> list[Count]:
    """The counts after each use, oldest first."""
    return [
        Count(event.time.isoformat(), event.after.used, event.after.helpful, event.after.harmful)
        for event in reversed(events)
        if event.kind in ("credit", "quarantine") and event.after is not None
    ]


def changed_fields(event: JournalEvent) -> list[FieldChange]:
    """What an event changed, field by field, in words."""
    if event.before is None or event.after is None:
        return []
    before, after = event.before.model_dump(), event.after.model_dump()
    return [
        FieldChange(name, word_diff(_words(before[name]), _words(after[name])))
        for name in SHOWN
        if before[name] != after[name]
    ]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join([value["problem"], *value["steps"], f"Answer: {value['answer']}"])
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
