"""The four nodes and the router: one file each.

A node is a :data:`~vitarmm_agent.effects.Flow` of (state, deps, run): it returns a partial update
and mutates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """Which run a node works for.

    Attributes:
        thread_id: LangGraph's id of the run.
        overrides: limits that the run's context sets.
    """

    thread_id: str
    overrides: dict[str, Any] = field(default_factory=dict)
