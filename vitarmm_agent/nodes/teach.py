"""teach: ask a teacher for a right solution of what the run did not solve, and keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable

from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, calls, in_thread
from vitarmm_agent.errors import InputError, ModelError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.operations import Operation, Written
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.recorded import prompt_messages
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import stopped_event, taught_event
from vitarmm_agent.nodes.limits import limits_in_force
from vitarmm_agent.nodes.reason import prompt_shown, read_attempt
from vitarmm_agent.nodes.tenancy import memory_of
from vitarmm_agent.problem import Attempt, Problem, Taught
from vitarmm_agent.rmm.worked import Teacher, worked_entry
from vitarmm_agent.state import (
    ReasoningState,
    all_attempts,
    all_feedback,
    begun_of,
    current_problem,
)
from vitarmm_agent.verifiers.policy import FeedbackPolicy, exact_checks
from vitarmm_agent.verifiers.solution import (
    given_solution,
    in_words,
    objection_to,
    solution_of,
    stated_answer,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

A_PERSON = "a person"
"""Who judges or teaches without a name."""
MAX_NAME = 200


def wants_teacher(state: ReasoningState, deps: Deps) -> bool:
    """Whether a run that is at its end asks the teacher.

    It does not where it passed, nor where it was shown the solution of a problem of its kind and no
    verifier found fault with what came of it.
    """
    if deps.teacher is None or state["status"] == "passed":
        return False
    if not limits_in_force(state.get("limits"), deps).use_memory:
        return False
    failed = any(feedback.verdict == "fail" for feedback in all_feedback(state))
    shown = (found for record in state["recalls"] for found in record["entries"])
    return failed or not any(found.get("as_example") for found in shown)


def teach(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Ask once; what no exact verifier fails is written as a worked example."""
    problem, attempts = current_problem(state), all_attempts(state)
    memory = yield from memory_of(deps, run, state.get("namespace", []))
    if deps.teacher is None or memory is None:
        run.emit(stopped_event(run.name, state))
        return {}
    if deps.teacher.take_call():
        taught = yield from _ask(deps.teacher, problem, len(attempts) + 1, deps)
        provenance = Provenance(
            run=run.name,
            problem_id=problem.id,
            attempt=len(attempts) + 1,
            verifier="teacher",
            writer=deps.teacher.name,
            begun=begun_of(state),
        )
        taught = yield from keep(memory, problem, taught, provenance, deps.policy)
    else:
        note = f"the teacher was asked as often as it may be ({deps.teacher.calls})"
        taught = Taught(by=deps.teacher.name, note=note)
    run.emit(taught_event(run.name, state["iteration"], taught))
    run.emit(stopped_event(run.name, state))
    return {"taught": taught.model_dump(mode="json")}


def teach_by_hand(
    memory: ReasoningMemory,
    problem: Problem | dict[str, Any],
    solution: str,
    *,
    by: str,
    run: str = "",
) -> Flow[Taught]:
    """Keep a person's solution.

    Raises:
        InputError: it is no text, has no steps or no answer, an equation in it is wrong, or its answer
            is not the one that the problem came with; or the problem cannot be used.
    """
    if not isinstance(solution, str):
        raise InputError(f"a solution is a text, steps and 'Answer: …', got {solution!r:.100}")
    problem, by = Problem.parse(problem), " ".join(by.split())[:MAX_NAME] or A_PERSON
    taught = Taught(by=by, solution=given_solution(problem, solution))
    provenance = Provenance(
        run=run or person_run("teach"), problem_id=problem.id, verifier="person", writer=by
    )
    taught = yield from keep(memory, problem, taught, provenance)
    if taught.note:
        raise InputError(taught.note)
    return taught


def keep(
    memory: ReasoningMemory,
    problem: Problem,
    taught: Taught,
    provenance: Provenance,
    policy: FeedbackPolicy | None = None,
) -> Flow[Taught]:
    """Write a solution as a worked example, unless an exact verifier fails it."""
    if taught.solution is None:
        return taught
    try:
        entry = yield from checked_entry(problem, taught.solution, provenance, policy)
    except InputError as error:
        return taught.model_copy(update={"note": str(error)})
    batch = provenance.run if provenance.attempt else person_run("teach")
    written: list[Written] = yield from calls(
        memory.write,
        memory.awrite,
        [Operation(kind="add", entry=entry, reason=f"taught by {taught.by}")],
        run=batch,
        attempt=provenance.attempt,
        problem_id=problem.id,
        begun=provenance.begun,
    )
    operations = tuple(done.model_dump(mode="json") for done in written)
    return taught.model_copy(update={"operations": operations, "run": batch})


def checked_entry(
    problem: Problem,
    solution: Attempt,
    provenance: Provenance,
    policy: FeedbackPolicy | None = None,
) -> Flow[MemoryEntry]:
    """The entry of a solution that no exact verifier fails.

    Raises:
        InputError: one does, or it has no steps or no answer, or is too long to be shown.
    """
    if why := (yield from objection_to(problem, solution, policy)):
        raise InputError(why)
    by = provenance.writer
    return worked_entry(
        problem.without_reference(),
        solution,
        verified_by=A_PERSON if by == A_PERSON else f"{provenance.verifier} {by}".strip(),
        provenance=provenance,
    )


def check_beginning(problem: Problem, text: str) -> Flow[Attempt]:
    """The steps with which a solution begins, none of which an exact verifier fails.

    Raises:
        InputError: one does, there are none, or the solution ends there with its answer.
    """
    begun = solution_of(problem.without_reference(), text)
    if not begun.steps:
        raise InputError(f"write the steps up to the right one, a line each, got {text[:200]!r}")
    if begun.answer is not None:
        raise InputError(
            f"it ends with an answer, {begun.answer!r}, so there is nothing to go on with; keep it as a "
            "solution, or leave the answer out"
        )
    objection = yield from exact_checks().check(problem, [begun])
    if objection.verdict == "fail":
        raise InputError(f"what is written is wrong: {in_words(objection)}")
    return begun


def _ask(teacher: Teacher, problem: Problem, number: int, deps: Deps) -> Flow[Taught]:
    shown = problem.without_reference()
    if not isinstance(teacher.source, Runnable):
        text: Any = yield from in_thread(teacher.source, shown)
        if text is None:
            return Taught(by=teacher.name, note="the teacher knows no solution")
        if not isinstance(text, str):
            raise InputError(
                f"the teacher {teacher.name!r} returned {text!r:.100}; return the text of a solution"
            )
        return Taught(by=teacher.name, solution=solution_of(shown, text, number))
    try:
        solution = yield from solution_by(teacher.source, shown, deps.media, number)
    except ModelError as error:
        return Taught(by=teacher.name, note=f"there is no solution: {error}")
    return Taught(by=teacher.name, solution=solution)


def solution_by(
    model: BaseChatModel, problem: Problem, media: MediaStore, number: int = 1
) -> Flow[Attempt]:
    """What a chat model gives as the solution of a problem, with the answer that it states."""
    messages = yield from in_thread(prompt_messages, prompt_shown(problem, [], media), media)
    reply = yield from ask(model, messages, aside=True)
    solution = read_attempt(problem, number, reply)
    return solution.model_copy(update={"answer": stated_answer(problem, solution.text)})
