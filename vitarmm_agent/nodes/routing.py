"""Where to go after an iteration."""

from __future__ import annotations

from vitarmm_agent.state import ReasoningState, Route


def after_remember(state: ReasoningState) -> Route:
    """Another iteration only when the stop rule said so."""
    return "recall" if state["decision"]["action"] == "retry" else "__end__"
