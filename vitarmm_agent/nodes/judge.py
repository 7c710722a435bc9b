"""judge: a person's verdict on a run that is over: credit what was shown, write what is learned.

What the verdict before it counted and wrote is taken back where it was another one: a verifier's, or the
person's own of yesterday.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from vitarmm_agent.data import listed
from vitarmm_agent.deps import Deps
from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.operations import Operation, VerdictEffect
from vitarmm_agent.memory_store.schema import Provenance
from vitarmm_agent.nodes import Run
from vitarmm_agent.nodes.feedback import STATUS
from vitarmm_agent.nodes.limits import limits_in_force
from vitarmm_agent.nodes.remember import entries_shown, worked_after_a_fail, write_lesson
from vitarmm_agent.nodes.teach import A_PERSON, checked_entry
from vitarmm_agent.nodes.tenancy import memory_of
from vitarmm_agent.problem import Attempt, Feedback, Problem, Usage
from vitarmm_agent.rmm.worked import solved_in_the_end
from vitarmm_agent.state import (
    ReasoningState,
    Record,
    all_attempts,
    all_feedback,
    begun_of,
    current_problem,
    records_of,
)
from vitarmm_agent.verifiers.human import Human, feedback_of
from vitarmm_agent.verifiers.person_reply import HumanReply, read_reply
from vitarmm_agent.verifiers.solution import given_solution
from vitarmm_agent.verifiers.stopping import is_slip, standing_answer

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

    from vitarmm_agent.memory_store.memory import ReasoningMemory

SAID = ("verdict", "message", "solution", "step", "kind")
"""What makes two verdicts the same, whoever gave them."""


@dataclass(frozen=True)
class Judgement:
    """A verdict, and the attempt that it is about.

    Attributes:
        attempts: of the run, up to the one whose answer stands, which is judged.
        verdicts: one for each, the last of them the person's.
        before: what was said of the last attempt until now.
        earlier: verdicts that were given when the run was over, as records of state.
        worked: a right solution that the person gave, checked.
    """

    reply: HumanReply
    problem: Problem
    attempts: list[Attempt]
    verdicts: list[Feedback]
    before: Feedback
    origin: Provenance
    earlier: list[Record]
    worked: list[Operation] = field(default_factory=list)

    @property
    def again(self) -> bool:
        """Whether it says nothing that was not said already."""
        if not self.changes and not (self.reply.message or self.reply.solution):
            return self.before.source == Human.name
        last, new = (self.earlier or [Record()])[-1], self.reply.model_dump()
        return all(last.get(key) == new[key] for key in SAID)

    @property
    def changes(self) -> bool:
        """Whether it is another verdict than the one that stood."""
        return self.before.verdict != self.reply.verdict

    @property
    def counted(self) -> list[str]:
        """Entries for which the verdict that stood is counted."""
        if self.earlier:
            return [str(entry_id) for entry_id in listed(self.earlier[-1].get("credited"))]
        silent = self.attempts[-1].silent or self.before.verdict == "abstain"
        return [] if silent or is_slip(self.before) else [*self.attempts[-1].recalled]


def judgement_of(state: ReasoningState, given: Any) -> Flow[Judgement]:
    """What a person says of a run that is over.

    Args:
        state: of the run.
        given: in any form of :func:`~vitarmm_agent.verifiers.person_reply.read_reply`.

    Raises:
        InputError: it is no verdict, there is no attempt to judge, or its solution is none or is wrong.
    """
    reply, problem = read_reply(given), current_problem(state)
    attempts, verdicts = all_attempts(state), all_feedback(state)
    earlier = records_of(state, "judged")
    if not attempts or len(verdicts) < len(attempts):
        raise InputError("this run holds no attempt that was judged; go on with it first")
    numbers = [attempt.number for attempt in attempts]
    if earlier and earlier[-1].get("attempt") in numbers:
        index = numbers.index(earlier[-1]["attempt"])
    else:
        index = standing_answer(attempts, verdicts)
    attempt, before = attempts[index], verdicts[index]
    if reply.step is not None and reply.step not in {step.number for step in attempt.steps}:
        raise InputError(
            f"attempt {attempt.number} has steps 1 to {len(attempt.steps)}, got step {reply.step}"
        )
    if reply.verdict == "pass" and attempt.silent:
        raise InputError(f"attempt {attempt.number} cannot pass: {attempt.silent}")
    origin = Provenance(
        run=f"{state.get('run', '')}/judged-{len(earlier) + 1}",
        problem_id=problem.id,
        attempt=attempt.number,
        verifier=Human.name,
        writer=reply.by or A_PERSON,
        begun=begun_of(state),
    )
    worked = []
    if reply.solution:
        solution = given_solution(problem, reply.solution)
        entry = yield from checked_entry(problem, solution, origin)
        worked = [Operation(kind="add", entry=entry, reason=f"taught by {origin.writer}")]
    parts = (*(p for p in before.parts or (before,) if p.source != Human.name), feedback_of(reply))
    said = parts[-1].model_copy(update={"parts": parts})
    return Judgement(
        reply=reply,
        problem=problem,
        attempts=attempts[: index + 1],
        verdicts=[*verdicts[:index], said],
        before=before,
        origin=origin,
        earlier=earlier,
        worked=worked,
    )


def verdict_inputs(snapshot: StateSnapshot, thread_id: str, reply: dict[str, Any]) -> Flow[Any]:
    """What the graph takes to judge a run, that is over or waits; None where it is judged so already.

    Raises:
        InputError: the run is under way or died; or see :func:`judgement_of`.
    """
    from langgraph.types import Command

    if snapshot.interrupts:
        return Command(resume=reply)
    over = snapshot.values.get("status") in STATUS.values()
    if not over or {task.name for task in snapshot.tasks} - {"judge", "__start__"}:
        raise InputError(f"run {thread_id!r} is not over; go on with it first: resume it")
    given = yield from judgement_of(cast("ReasoningState", snapshot.values), reply)
    return {"verdict": reply} if snapshot.tasks or not given.again else None


def judge(state: ReasoningState, deps: Deps, run: Run) -> Flow[dict[str, Any]]:
    """Carry out the verdict in the input; the same one again changes nothing."""
    given = yield from judgement_of(state, state.get("verdict"))
    memory = yield from memory_of(deps, run, state.get("namespace", []))
    if given.again:
        return {}
    record: Record = {
        "number": len(given.earlier) + 1,
        "attempt": given.origin.attempt,
        **given.reply.model_dump(include=set(SAID)),
        "by": given.origin.writer,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": given.origin.run,
        "before": given.before.verdict,
        "credited": given.counted,
        "taken_back": [],
        "operations": [],
        "failure": None,
        "note": "",
        "usage": Usage().model_dump(),
        "seconds": 0.0,
    }
    if memory is None or not limits_in_force(state.get("limits"), deps).use_memory:
        record["note"] = "memory is off"
    else:
        if given.changes:
            record |= yield from _count_anew(state, memory, given)
        record |= yield from _learn(state, memory, deps, given)
    verdict, others = given.verdicts[-1], all_feedback(state)[len(given.verdicts) :]
    numbers = [attempt.number for attempt in all_attempts(state)]
    said = [*given.verdicts, *others]
    return {
        "judged": [*given.earlier, record],
        "feedback": [
            {**one.model_dump(mode="json"), "number": number}
            for number, one in zip(numbers, said, strict=False)
        ],
        "status": STATUS[verdict.verdict],
        "stopped_because": f"{verdict.verdict} by {given.origin.writer}, when the run was over",
    }


def _count_anew(
    state: ReasoningState, memory: ReasoningMemory, given: Judgement
) -> Flow[dict[str, Any]]:
    """Take back what rests on the verdict before, and count this one."""
    attempt, verdict, origin = given.attempts[-1], given.reply.verdict, given.origin
    taken_back = yield from calls(
        memory.retract, memory.aretract, _standing(state, given), by=origin.run
    )
    if verdict == "abstain" or not attempt.recalled:
        return {"taken_back": taken_back, "credited": []}
    yield from calls(
        memory.credit,
        memory.acredit,
        attempt.recalled,
        verdict,
        run=origin.run,
        attempt=origin.attempt,
        previous=given.verdicts[-2].verdict if len(given.verdicts) > 1 else None,
        begun=origin.begun,
    )
    return {"taken_back": taken_back, "credited": list(attempt.recalled)}


def _standing(state: ReasoningState, given: Judgement) -> list[VerdictEffect]:
    """What the verdicts came to that stood until now, newest first."""
    origin, attempt = given.origin, given.attempts[-1]
    first = next(
        (r for r in records_of(state, "written") if r.get("number") == attempt.number), Record()
    )
    own = origin.model_copy(update={"run": state.get("run", "")})
    places = [(own, first)]
    for record in given.earlier:
        if record.get("before") != record.get("verdict"):
            places = []  # what stood before it was taken back then
        places.append((origin.model_copy(update={"run": str(record.get("run"))}), record))
    effects = [VerdictEffect(place, given.before.verdict, (), _written(r)) for place, r in places]
    return [*effects[:0:-1], effects[0]._replace(shown=tuple(given.counted))]


def _written(record: Record) -> tuple[str, ...]:
    done = (one for one in listed(record.get("operations")) if isinstance(one, dict))
    return tuple(str(one.get("entry_id")) for one in done)


def _learn(
    state: ReasoningState, memory: ReasoningMemory, deps: Deps, given: Judgement
) -> Flow[dict[str, Any]]:
    """Write the lesson of a verdict that is new, and the solution that came with it."""
    attempt, worked, origin = given.attempts[-1], given.worked, given.origin
    if not worked and solved_in_the_end(given.verdicts, deps.trusted_precision):
        worked = worked_after_a_fail(given.problem, given.attempts[-1], origin)
    asked = given.reply.verdict != "abstain" and (given.changes or given.reply.message)
    if deps.writer is not None and asked and not attempt.silent:
        provenance = origin.model_copy(update={"writer": deps.writer.name})
        made = given.attempts, given.verdicts, entries_shown(state)
        lesson = write_lesson(memory, deps.writer, given.problem, made, provenance, worked)
        return (yield from lesson)
    written = yield from calls(
        memory.write,
        memory.awrite,
        worked,
        run=origin.run,
        attempt=origin.attempt,
        problem_id=given.problem.id,
        begun=origin.begun,
    )
    return {"operations": [done.model_dump(mode="json") for done in written]}
