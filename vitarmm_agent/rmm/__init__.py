"""What to remember: (problem, attempt, feedback, related entries) → operations. No storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.rmm.writer import Decision, MemoryWriter

__all__ = ["Decision", "MemoryWriter"]

__getattr__ = lazy_names(__name__, {"Decision": "writer", "MemoryWriter": "writer"})
