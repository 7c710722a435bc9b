"""recall: take the few memory entries that fit this problem, or say that none fits."""

from __future__ import annotations

import time
import uuid
from typing import Any

from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.memory_store.schema import Provenance
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import recalled_event
from vitarmm_agent.nodes.intake import problem_of
from vitarmm_agent.nodes.limits import limits_in_force, limits_to_begin_with
from vitarmm_agent.nodes.tenancy import memory_of, namespace_of
from vitarmm_agent.state import ReasoningState, begun_of


def recall(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Begin an iteration; on the first, also take in the problem and fix the limits."""
    update: dict[str, Any] = {}
    if begins(state):
        update = yield from _begin(state, deps, run)
    update["iteration"] = 1 if update else state["iteration"] + 1
    update["decision"] = {}
    limits = limits_in_force(update.get("limits", state.get("limits")), deps)
    problem = update.get("problem") or state["problem"]
    found: dict[str, Any] = {"query": problem["text"], "entries": [], "best_rejected": None}
    memory = yield from memory_of(deps, run, update.get("namespace", state.get("namespace", [])))
    if memory is None or not limits.use_memory:
        found["note"] = "memory is off"
    else:
        reader = Provenance(
            run=update.get("run", run.name),
            problem_id=problem["id"],
            attempt=update["iteration"],
            begun=update.get("begun", begun_of(state)),
        )
        recalled = yield from calls(memory.recall, memory.arecall, problem["text"], reader=reader)
        found = recalled.model_dump(mode="json")
    record = {"number": update["iteration"], **found}
    run.emit(recalled_event(update.get("run", run.name), record))
    update["recalls"] = [record]
    return update


def begins(state: ReasoningState) -> bool:
    """Whether a run begins: only the stop rule's retry leads here in the middle of one."""
    return bool(state.get("decision", {}).get("action") != "retry")


def _begin(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    turn, now = state.get("turn", 0) + 1, time.time()
    name = run.thread or f"run-{uuid.uuid4().hex[:12]}"
    problem = yield from problem_of(state, deps.media, again=turn > 1)
    return {
        "run": name if turn == 1 else f"{name}#{turn}",
        "turn": turn,
        "namespace": namespace_of(deps, run),
        "problem": problem.model_dump(mode="json"),
        "limits": limits_to_begin_with(run.overrides, deps),
        "chosen": run.chosen,
        "started_at": now,
        "begun": now if run.begun is None else run.begun,
        "status": "running",
        "answer": None,
        "stopped_because": "",
        "attempts": [],
        "feedback": [],
        "written": [],
        "taught": {},
        "judged": [],
    }
