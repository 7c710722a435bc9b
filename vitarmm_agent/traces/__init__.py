"""A run, read back from LangGraph checkpoints: nothing is logged twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.traces.reader import RunSummary, Trace, list_runs, read_trace

__all__ = ["RunSummary", "Trace", "list_runs", "read_trace"]

__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "reader"))
