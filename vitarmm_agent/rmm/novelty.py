"""Whether a new entry only repeats one that was shown: a memory must not feed on itself. Pure.

A writer that is shown entries, or judges an attempt that was shown them, tends to hand them back as
news. Such a copy is evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from vitarmm_agent.memory_store.content_words import language_of, parts, wording
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry


def restated(entry: MemoryEntry, shown: Iterable[MemoryEntry]) -> MemoryEntry | None:
    """The shown entry whose content this one repeats, or None.

    It repeats one that consists of the same content words apart from inflection, its parts in
    whatever order; with one word changed it is another lesson, however alike both look.
    """
    return next((old for old in shown if _repeats(entry.content, old.content)), None)


def _repeats(new: str, old: str) -> bool:
    language = language_of(f"{new} {old}")
    if parts(new, language) == parts(old, language):
        return True
    return not wording(new, language).isdisjoint(wording(old, language))


def only_news(operation: Operation, shown: Iterable[MemoryEntry]) -> Operation:
    """The operation, or ``none`` with the reason when it adds what was shown."""
    if operation.kind != "add" or operation.entry is None:
        return operation
    old = restated(operation.entry, shown)
    if old is None:
        return operation
    return Operation(kind="none", reason=f"it repeats entry {old.id}, which was shown")
