"""Whether a new entry only repeats one that was shown: a memory must not feed on itself. Pure.

A writer that is shown entries, or judges an attempt that was shown them, tends to hand them back as
news. Such a copy is evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from vitarmm_agent.memory_store.consolidation import differences, facts
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry

VERBATIM = 90.0
"""rapidfuzz token-sort ratio, 0 to 100, from which two contents are the same words."""


def restated(entry: MemoryEntry, shown: Iterable[MemoryEntry]) -> MemoryEntry | None:
    """The shown entry whose content this one repeats nearly word for word, or None.

    Two contents whose numbers, units, negations or opposite words differ are not the same, however
    alike they look.
    """
    for old in shown:
        alike = fuzz.token_sort_ratio(entry.content, old.content, processor=default_process)
        if alike >= VERBATIM and not differences(facts(entry.content), facts(old.content)):
            return old
    return None


def only_news(operation: Operation, shown: Iterable[MemoryEntry]) -> Operation:
    """The operation, or ``none`` with the reason when it adds what was shown."""
    if operation.kind != "add" or operation.entry is None:
        return operation
    old = restated(operation.entry, shown)
    if old is None:
        return operation
    return Operation(kind="none", reason=f"it repeats entry {old.id}, which was shown")
