"""An entry's journal, arranged for its page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from vitarmm_agent.traces import Stretch, word_diff

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.journal import JournalEvent

SHOWN = ("entry_type", "title", "applies_when", "content", "example", "confidence", "related_to",
         "expires_at", "superseded_by", "quarantined")  # fmt: skip


class Use(NamedTuple):
    """One attempt that was shown the entry, and what came of it."""

    run: str
    attempt: int
    verdict: str
    at: datetime


class Count(NamedTuple):
    """How often the entry had been used and had helped by then; ``verdict`` is what was counted."""

    at: datetime
    used: int
    helpful: int
    verdict: str


class FieldChange(NamedTuple):
    """A field of an entry before and after."""

    name: str
    changes: list[Stretch]


def uses_of(events: Sequence[JournalEvent]) -> list[Use]:
    """Attempts that were shown the entry, newest first."""
    return [
        Use(event.run, event.attempt, verdict, event.time)
        for event in events
        if (verdict := _counted(event))
    ]


def counts_over_time(events: Sequence[JournalEvent]) -> list[Count]:
    """The counts after each change of them, oldest first; one may be a verdict taken back."""
    return [
        Count(event.time, event.after.used, event.after.helpful, _counted(event))
        for event in reversed(events)
        if event.before and event.after and event.before.used != event.after.used
    ]


def _counted(event: JournalEvent) -> str:
    """The verdict that an event counted: ``pass``, ``fail``, or none."""
    if event.kind not in ("credit", "quarantine") or event.before is None or event.after is None:
        return ""
    helped = event.after.helpful > event.before.helpful
    return "pass" if helped else "fail" if event.after.harmful > event.before.harmful else ""


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
    if value is None:
        return ""
    if isinstance(value, dict):
        return "\n".join([value["problem"], *value["steps"], f"Answer: {value['answer']}"])
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
