"""remember: credit what was recalled, decide what is worth keeping, and write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage

from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import stopped_event, written_event
from vitarmm_agent.nodes.limits import limits_in_force
from vitarmm_agent.nodes.teach import checked_entry, wants_teacher
from vitarmm_agent.nodes.tenancy import memory_of
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage, standing_attempt
from vitarmm_agent.rmm.worked import solved_in_the_end, worked_entry
from vitarmm_agent.rmm.writer import MemoryWriter
from vitarmm_agent.state import (
    ReasoningState,
    all_attempts,
    all_feedback,
    begun_of,
    current_problem,
)
from vitarmm_agent.verifiers.solution import given_solution, solution_of
from vitarmm_agent.verifiers.stopping import is_slip

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory


def remember(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Close the iteration; on the last, also answer with a message."""
    (attempt,), verdicts = all_attempts(state, last=1), all_feedback(state, last=2)
    record: dict[str, Any] = {
        "number": attempt.number,
        "operations": [],
        "failure": None,
        "note": "",
        "calls": [],
        "usage": Usage().model_dump(),
        "seconds": 0.0,
    }
    memory = yield from memory_of(deps, run, state.get("namespace", []))
    if memory is None or not limits_in_force(state.get("limits"), deps).use_memory:
        record["note"] = "memory is off"
    else:
        yield from _credit(memory, run, attempt, verdicts, begun_of(state))
        if attempt.silent:
            record["note"] = "no answer, so there is nothing to learn from"
        elif verdicts[-1].verdict == "abstain":
            record["note"] = "no verdict, so there is nothing to learn from"
        elif is_slip(verdicts[-1]):
            record["note"] = "a wrong value is a slip, so there is nothing to learn from"
        elif deps.writer is None:
            record["note"] = "no memory writer"
        else:
            record |= yield from _write(state, memory, run, deps, deps.writer)
    update: dict[str, Any] = {"written": [record]}
    run.emit(written_event(run.name, record))
    if state["decision"]["action"] != "retry":
        if not wants_teacher(state, deps):
            run.emit(stopped_event(run.name, state))
        update["messages"] = [_answer_message(state, run)]
    return update


def _credit(
    memory: ReasoningMemory, run: Run, attempt: Attempt, verdicts: list[Feedback], begun: float
) -> Flow[None]:
    shown, verdict = attempt.recalled, verdicts[-1].verdict
    if not shown or verdict == "abstain" or attempt.silent or is_slip(verdicts[-1]):
        return
    yield from calls(
        memory.credit,
        memory.acredit,
        shown,
        verdict,
        run=run.name,
        attempt=attempt.number,
        previous=verdicts[-2].verdict if len(verdicts) > 1 else None,
        begun=begun,
    )


def _write(
    state: ReasoningState, memory: ReasoningMemory, run: Run, deps: Deps, writer: MemoryWriter
) -> Flow[dict[str, Any]]:
    problem, attempts, verdicts = current_problem(state), all_attempts(state), all_feedback(state)
    provenance = Provenance(
        run=run.name,
        problem_id=problem.id,
        attempt=attempts[-1].number,
        verifier=verdicts[-1].source,
        writer=writer.name,
        begun=begun_of(state),
    )
    worked: list[Operation] = []
    refused = ""
    if verdicts[-1].solution:
        try:
            worked = yield from _given(problem, verdicts[-1], provenance)
        except InputError as error:
            refused = f"the solution that was given is not kept: {error}"
    elif solved_in_the_end(verdicts, deps.trusted_precision):
        worked = worked_after_a_fail(problem, attempts[-1], provenance)
    made = attempts, verdicts, entries_shown(state)
    record = yield from write_lesson(memory, writer, problem, made, provenance, worked)
    return record | {"note": refused or record["note"]}


def _given(problem: Problem, verdict: Feedback, provenance: Provenance) -> Flow[list[Operation]]:
    """The solution that came with a verdict, in the name of who gave it."""
    origin = provenance.model_copy(update={"verifier": verdict.source, "writer": ""})
    solution = given_solution(problem, verdict.solution)
    entry = yield from checked_entry(problem, solution, origin)
    return [Operation(kind="add", entry=entry, reason=f"taught by {verdict.source}")]


Made = tuple[list[Attempt], list[Feedback], list[MemoryEntry]]
"""The attempts up to the one that was judged, a verdict for each, and all entries they were shown."""


def write_lesson(
    memory: ReasoningMemory,
    writer: MemoryWriter,
    problem: Problem,
    made: Made,
    provenance: Provenance,
    worked: list[Operation],
) -> Flow[dict[str, Any]]:
    """Ask the writer what the last of these attempts teaches, and write it, once for ``provenance``.

    Returns:
        What was decided and written, as a record of state's ``written``.
    """
    attempts, verdicts, shown = made
    related = yield from calls(memory.recall, memory.arecall, problem.text, reader=provenance)
    entries = [recalled.entry for recalled in related.entries]
    bare, told = problem.without_reference(), verdicts[-1].solution
    decision = yield from writer.decide(
        bare,
        attempts,
        verdicts,
        entries,
        provenance,
        recalled=shown,
        solution=solution_of(bare, told) if told and worked else None,
        worked=worked,
    )
    beside = [one for one in worked if one not in decision.operations]
    written = yield from calls(
        memory.write,
        memory.awrite,
        [*decision.operations, *beside],
        run=provenance.run,
        attempt=provenance.attempt,
        problem_id=problem.id,
        begun=provenance.begun,
    )
    return {
        "operations": [done.model_dump(mode="json") for done in written],
        "failure": decision.failure,
        "note": "" if written or decision.failure else "nothing worth remembering",
        "situation": decision.situation,
        "decided": [operation.model_dump(mode="json") for operation in decision.operations],
        "thought": decision.thought,
        "related": [entry.model_dump(mode="json") for entry in entries],
        "raw": decision.raw,
        "calls": [call.model_dump(mode="json") for call in decision.calls],
        "usage": decision.usage.model_dump(),
        "seconds": round(decision.seconds, 4),
    }


def worked_after_a_fail(
    problem: Problem, right: Attempt, provenance: Provenance
) -> list[Operation]:
    """A right solution of what the run got wrong, where it can be shown."""
    try:
        entry = worked_entry(
            problem.without_reference(),
            right,
            verified_by=provenance.verifier,
            provenance=provenance,
        )
    except InputError:
        return []
    return [Operation(kind="add", entry=entry, reason="a right solution after a fail")]


def entries_shown(state: ReasoningState) -> list[MemoryEntry]:
    """Entries that the attempts of this run were shown."""
    return [
        MemoryEntry.model_validate(recalled["entry"])
        for record in state.get("recalls", [])
        for recalled in record.get("entries", [])
    ]


def _answer_message(state: ReasoningState, run: Run) -> AIMessage:
    answer = state.get("answer")
    return AIMessage(
        standing_attempt(answer, all_attempts(state)).text,
        id=f"{run.name}-answer",
        additional_kwargs={"answer": answer, "status": state["status"]},
    )
