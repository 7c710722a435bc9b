"""teach: ask a teacher for a right solution of what the run did not solve, and keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from vitarmm_agent.answers import parse_steps
from vitarmm_agent.answers.extract import committed_answer
from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, calls, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.operations import Operation, Written
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.replies import refuses, said_and_thought, silent_because
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.events import stopped_event, taught_event
from vitarmm_agent.nodes.limits import limits_in_force
from vitarmm_agent.nodes.reason import attempt_text, prompt_data, prompt_messages, read_attempt
from vitarmm_agent.nodes.tenancy import memory_of
from vitarmm_agent.problem import Attempt, Feedback, Problem, Taught
from vitarmm_agent.rmm.worked import Teacher, worked_entry
from vitarmm_agent.state import (
    ReasoningState,
    all_attempts,
    all_feedback,
    begun_of,
    current_problem,
)
from vitarmm_agent.verifiers.policy import FeedbackPolicy, exact_checks

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


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
        note = f"the teacher may be asked {deps.teacher.calls} times, and was"
        taught = Taught(by=deps.teacher.name, note=note)
    run.emit(taught_event(run.name, state["iteration"], taught))
    run.emit(stopped_event(run.name, state))
    return {"taught": taught.model_dump(mode="json")}


def teach_by_hand(
    memory: ReasoningMemory, problem: Problem, solution: str, *, by: str, run: str = ""
) -> Flow[Taught]:
    """Keep a person's solution.

    Raises:
        InputError: it has no steps or no answer, or an equation in it is wrong.
    """
    taught = Taught(by=by, solution=solution_of(problem.without_reference(), solution))
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
    objection = yield from exact_checks(policy).check(problem, [solution])
    if why := _no_solution(solution):
        raise InputError(f"there is no solution: {why}")
    if objection.verdict == "fail":
        raise InputError(f"the solution is wrong: {_why(objection)}")
    return worked_entry(
        problem.without_reference(),
        solution,
        verified_by=f"{provenance.verifier} {provenance.writer}".strip(),
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
        raise InputError(f"what is written is wrong: {_why(objection)}")
    return begun


def _ask(teacher: Teacher, problem: Problem, number: int, deps: Deps) -> Flow[Taught]:
    shown = problem.without_reference()
    if not isinstance(teacher.source, Runnable):
        text: Any = yield from in_thread(teacher.source, shown)
        if not isinstance(text, str):
            raise InputError(
                f"the teacher {teacher.name!r} returned {text!r:.100}; return the text of a solution"
            )
        return Taught(by=teacher.name, solution=solution_of(shown, text, number))
    solution = yield from solution_by(teacher.source, shown, deps.media, number)
    return Taught(by=teacher.name, solution=solution)


def solution_by(
    model: BaseChatModel, problem: Problem, media: MediaStore, number: int = 1
) -> Flow[Attempt]:
    """What a chat model gives as the solution of a problem, with the answer that it states."""
    prompt = prompt_data(problem, attempt_text([]))
    messages = yield from in_thread(prompt_messages, prompt, problem, media)
    reply = yield from ask(model, messages, aside=True)
    solution = read_attempt(problem, number, reply)
    return solution.model_copy(update={"answer": stated_answer(problem, solution.text)})


def solution_of(problem: Problem, text: str, number: int = 1) -> Attempt:
    """A solution that was written by hand, with the steps and the answer read from it."""
    message = AIMessage(text)
    said, thought = said_and_thought(message)
    return Attempt(
        number=number,
        text=said,
        thought=thought,
        silent=silent_because(message, said, thought),
        steps=parse_steps(said),
        answer=stated_answer(problem, said),
    )


def _no_solution(attempt: Attempt) -> str:
    """Why what was taught is no solution; nothing where it may be one."""
    if attempt.silent:
        return attempt.silent
    if attempt.cut:
        return "it was cut off at the limit of new tokens"
    return "a step refuses to answer" if any(refuses(s.text) for s in attempt.steps) else ""


def stated_answer(problem: Problem, text: str) -> str | None:
    """The answer that a solution states in so many words: no last number by chance."""
    return committed_answer(problem, text, cut=False)


def _why(objection: Feedback) -> str:
    return objection.message or "; ".join(error.in_words for error in objection.errors)
