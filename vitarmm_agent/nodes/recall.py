"""recall: take the few memory entries that fit this problem, or say that none fits."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from vitarmm_agent.deps import Deps, Limits
from vitarmm_agent.effects import Flow, call
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.intake import problem_of
from vitarmm_agent.state import ReasoningState


def recall(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Begin an iteration; on the first, also take in the problem and fix the limits."""
    update: dict[str, Any] = {"iteration": state.get("iteration", 0) + 1}
    if update["iteration"] == 1:
        update |= _begin(state, deps, run)
    limits = Limits(**update.get("limits", state.get("limits", {})))
    problem = update.get("problem") or state["problem"]
    found: dict[str, Any] = {"query": problem["text"], "entries": [], "best_rejected": None}
    if deps.memory is None or not limits.use_memory:
        found["note"] = "memory is off"
    else:
        recalled = yield call(deps.memory, "recall", problem["text"])
        found = recalled.model_dump(mode="json")
    update["recalls"] = [{"number": update["iteration"], **found}]
    return update


def _begin(state: ReasoningState, deps: Deps, run: Run) -> dict[str, Any]:
    return {
        "problem": problem_of(state, deps.media).model_dump(mode="json"),
        "limits": asdict(deps.limits) | run.overrides,
        "started_at": time.time(),
        "status": "running",
    }
