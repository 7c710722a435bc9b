"""What to remember: (problem, attempt, feedback, related entries) → operations. No storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.rmm.writer import MemoryWriter, WriterDecision

__all__ = ["WriterDecision", "MemoryWriter"]

__getattr__ = lazy_names(__name__, {"WriterDecision": "writer", "MemoryWriter": "writer"})
