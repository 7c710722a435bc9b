"""The nodes of the graph, one file each, and what they share.

A node is a :data:`~vitarmm_agent.effects.Flow` of (state, deps, run): it returns a partial update
and mutates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vitarmm_agent.nodes.events import Emit, ignore

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore


@dataclass(frozen=True)
class Run:
    """Which run a node works for.

    Attributes:
        name: name of the run; see :class:`~vitarmm_agent.state.ReasoningState`.
        thread: LangGraph's thread, with the place of this graph in it when it is a subgraph.
        overrides: limits that the run's context sets.
        chosen: what the run's context chooses.
        configurable: the run's ``config["configurable"]``, which fills namespace templates.
        store: the store of the graph that runs, which may be a parent graph.
        emit: takes the events of stream mode ``custom``.
        begun: what tells it from other runs of its name, where they are not told apart by the time at
            which they began: 0 where its name alone does.
        stream_tokens: ask the reasoner to stream, so that its tokens can be emitted.
    """

    name: str
    thread: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    configurable: Mapping[str, Any] = field(default_factory=dict)
    store: BaseStore | None = None
    emit: Emit = ignore
    begun: float | None = None
    stream_tokens: bool = False
