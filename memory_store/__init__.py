"""Typed memory on Chroma: entries, store, recall, write, credit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.buffer import MemoryBuffer
    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
    from vitarmm_agent.memory_store.store.chroma_store import ChromaStore

__all__ = ["ChromaStore", "MemoryBuffer", "MemoryEntry", "Provenance", "ReasoningMemory"]

__getattr__ = lazy_names(
    __name__,
    {
        "ChromaStore": "store.chroma_store",
        "MemoryBuffer": "buffer",
        "MemoryEntry": "schema",
        "Provenance": "schema",
        "ReasoningMemory": "memory",
    },
)
