"""The history of memories: a journal, its records, its rows and their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.journal.journal import Journal, history
    from vitarmm_agent.memory_store.journal.records import Batch, Change, JournalEvent

__all__ = ["Batch", "Change", "Journal", "JournalEvent", "history"]

__getattr__ = lazy_names(
    __name__,
    {
        "Batch": "records",
        "Change": "records",
        "Journal": "journal",
        "JournalEvent": "records",
        "history": "journal",
    },
)
