"""Entries and calls that the tests of a memory share."""

from __future__ import annotations

from typing import Any

from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry

SQUARE = "the perimeter of a square is given and its area is wanted"
TRAIN = "two trains leave at different speeds and meet"
QUERY = "perimeter of a square given, area of the square wanted"
MEMORY_STORES = ("in-memory", "sqlite", "chroma-memory", "chroma-folder", "chroma-server")


def entry(content: str = "Divide the perimeter by 4 and square it.", **fields: Any) -> MemoryEntry:
    given = {"entry_type": "insight", "applies_when": SQUARE, "confidence": 0.7} | fields
    return MemoryEntry(content=content, **given)


def add(*entries: MemoryEntry) -> list[Operation]:
    return [Operation(kind="add", entry=e) for e in entries]


def recalled(memory: ReasoningMemory, query: str = QUERY, **options: Any) -> list[str]:
    return [found.entry.id for found in memory.recall(query, **options).entries]
