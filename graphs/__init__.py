"""The graph: wiring only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.graphs.reasoning import build_reasoning_graph

__all__ = ["build_reasoning_graph"]

__getattr__ = lazy_names(__name__, {"build_reasoning_graph": "reasoning"})
