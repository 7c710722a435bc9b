"""feedback: judge the attempt, and decide whether there are grounds for another."""

from __future__ import annotations

import time
from typing import Any

from vitarmm_agent.deps import Deps, Limits
from vitarmm_agent.effects import Flow
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import verdict_event
from vitarmm_agent.nodes.limits import limits_in_force
from vitarmm_agent.nodes.reason import hints
from vitarmm_agent.problem import Attempt, Feedback, Status, Usage
from vitarmm_agent.state import ReasoningState, all_attempts, all_feedback, current_problem
from vitarmm_agent.verifiers.stopping import NextStep, decide_next, standing_answer

STATUS: dict[str, Status] = {"pass": "passed", "fail": "failed", "abstain": "abstained"}


def feedback(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Check the last attempt with the verifiers, then apply the stop rule."""
    attempts = all_attempts(state)
    verdict = yield from deps.policy.check(current_problem(state), attempts)
    if verdict.mended and not _leads_on(verdict, attempts[-1]):
        verdict = verdict.model_copy(update={"mended": ""})
    verdicts = [*all_feedback(state)[: len(attempts) - 1], verdict]
    decision = _decide(state, attempts, verdicts, limits_in_force(state.get("limits"), deps))
    record = {"number": attempts[-1].number, **verdict.model_dump(mode="json")}
    run.emit(verdict_event(run.name, record, attempts[-1].answer))
    update: dict[str, Any] = {
        "feedback": [record],
        "decision": {"action": decision.action, "reason": decision.reason},
    }
    if decision.action != "retry":
        standing = attempts[standing_answer(attempts, verdicts)]
        update |= {
            "answer": standing.answer,
            "status": STATUS[verdict.verdict],
            "stopped_because": decision.reason,
        }
    return update


def _leads_on(verdict: Feedback, attempt: Attempt) -> bool:
    """Whether to go on from the mended attempt: not twice alike, nor past what a person says."""
    return verdict.mended != attempt.kept_text.rstrip() and not hints(verdict)


def _decide(
    state: ReasoningState, attempts: list[Attempt], verdicts: list[Feedback], limits: Limits
) -> NextStep:
    judged: list[Attempt | Feedback] = [*attempts, *verdicts]
    spent = sum(record.usage.total_tokens for record in judged)
    spent += sum(
        Usage.model_validate(record["usage"]).total_tokens for record in state.get("written", [])
    )
    return decide_next(
        verdicts,
        iteration=state["iteration"],
        max_iterations=limits.max_iterations,
        tokens_used=spent,
        max_tokens=limits.max_tokens,
        seconds_used=time.time() - state["started_at"],
        max_seconds=limits.max_seconds,
    )
