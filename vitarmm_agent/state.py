"""Graph state: plain JSON-able data with reducers, and nothing else.

A record of one iteration (recall, attempt, feedback, what was written) is a mapping with the
iteration's ``number``. Live objects travel in :mod:`vitarmm_agent.deps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypeVar

from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.blocks import read_block
from vitarmm_agent.problem import Attempt, Feedback, Problem, Result, Status, Taught, Usage

Record = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def by_number(left: list[Record] | None, right: list[Record] | None) -> list[Record]:
    """Reducer: add records, replacing one of the same number, so that a replay adds nothing.

    An empty list, or a record of number 1, begins anew: it is the next problem of a thread.
    """
    if not right:
        return []
    kept = [] if right[0]["number"] == 1 else left or []
    merged = {record["number"]: record for record in [*kept, *right]}
    return [merged[number] for number in sorted(merged)]


@dataclass(frozen=True)
class RunContext:
    """What one run may set for itself: ``graph.invoke(…, context={"max_iterations": 1})``.

    ``None`` leaves a value to the graph's own :class:`~vitarmm_agent.deps.Limits`, which are the
    most on a server. The values in force are kept in state, so that a resumed run goes on under the
    same ones.

    ``stream_tokens`` asks the reasoner to stream, so that stream mode ``custom`` carries its tokens
    one by one; they come so in any case when mode ``messages`` is on.
    """

    max_iterations: int | None = None
    max_seconds: float | None = None
    max_tokens: int | None = None
    use_memory: bool | None = None
    stream_tokens: bool = False

    def given(self) -> dict[str, Any]:
        """The limits that were set."""
        values = asdict(self)
        del values["stream_tokens"]
        return {key: value for key, value in values.items() if value is not None}


def by_id(left: Any, right: Any) -> Any:
    """Reducer: LangGraph's own, which says nothing a caller could use of content that is none.

    Raises:
        InputError: a content block that is neither text nor a dict.
    """
    try:
        return add_messages(left, right)
    except ValidationError:
        for message in right if isinstance(right, list) else [right]:
            content = message.get("content") if isinstance(message, dict) else message
            content = content[-1] if isinstance(content, tuple) else content
            for block in content if isinstance(content, list) else ():
                read_block(block)
        raise


class ReasoningInput(TypedDict, total=False):
    """What the graph takes: a problem, or messages whose last human one is the problem.

    Or, on a thread whose run is over, a person's ``verdict`` on it, in any form that
    :func:`~vitarmm_agent.verifiers.person_reply.read_reply` reads. It is gone when it was judged by.
    """

    problem: Record
    verdict: Annotated[Any, EphemeralValue]
    messages: Annotated[list[AnyMessage], by_id]


class ReasoningState(ReasoningInput, total=False):
    """All that a run knows.

    Attributes:
        run: name of this run: the thread's id, made unique where a thread holds several runs.
        turn: how many problems this thread has been given, from 1.
        namespace: whose memory it works with.
        iteration: number of the iteration under way, from 1.
        limits: the limits in force, as data.
        recalls, attempts, feedback, written: one record per iteration.
        taught: what a teacher was asked when the run ended without a pass, and what was kept.
        judged: verdicts given when the run was over, one record each, and what came of them.
        decision: what the stop rule said last: ``action`` and ``reason``.
        started_at: seconds since the epoch.
    """

    run: str
    turn: int
    namespace: list[str]
    iteration: int
    limits: Record
    started_at: float
    recalls: Annotated[list[Record], by_number]
    attempts: Annotated[list[Record], by_number]
    feedback: Annotated[list[Record], by_number]
    written: Annotated[list[Record], by_number]
    taught: Record
    judged: Annotated[list[Record], by_number]
    decision: Record
    answer: str | None
    status: Status
    stopped_because: str


class ReasoningOutput(TypedDict, total=False):
    """What ``graph.invoke`` answers with."""

    messages: Annotated[list[AnyMessage], by_id]
    problem: Record
    answer: str | None
    status: Status
    stopped_because: str
    recalls: list[Record]
    attempts: list[Record]
    feedback: list[Record]
    written: list[Record]
    taught: Record
    judged: list[Record]


def current_problem(state: ReasoningState) -> Problem:
    """The problem of this run; raises :class:`InputError` as :func:`records_of` does."""
    return _read(Problem, state.get("problem"), "problem")


def all_attempts(state: ReasoningState, *, last: int = 0) -> list[Attempt]:
    """The attempts so far, in order; with ``last``, only so many of the latest."""
    records = records_of(state, "attempts")[-last:]
    return [_read(Attempt, record, "attempts") for record in records]


def all_feedback(state: ReasoningState, *, last: int = 0) -> list[Feedback]:
    """The feedback so far, in order; with ``last``, only so much of the latest."""
    records = records_of(state, "feedback")[-last:]
    bare = ({key: value for key, value in record.items() if key != "number"} for record in records)
    return [_read(Feedback, record, "feedback") for record in bare]


def records_of(state: ReasoningState, key: str) -> list[Record]:
    """The records of one kind.

    Raises:
        InputError: the state was written by someone else, and holds something else.
    """
    records: Any = state.get(key) or []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise _unreadable(key, records)
    return records


def record_of(records: Sequence[Record] | None, number: int) -> Record | None:
    """The record of one iteration, if there is one."""
    return next((record for record in records or [] if record["number"] == number), None)


def standing_attempt(answer: str | None, attempts: Sequence[Attempt]) -> Attempt:
    """The attempt whose answer the run gives: the latest that has it."""
    return next((a for a in reversed(attempts) if a.answer == answer), attempts[-1])


def _read(model: type[Model], record: Any, key: str) -> Model:
    try:
        return model.model_validate(record)
    except ValidationError:
        raise _unreadable(key, record) from None


def _unreadable(key: str, value: Any) -> InputError:
    return InputError(
        f"the state of this run holds no {key} that can be read, got {repr(value)[:200]}; "
        "begin the problem anew"
    )


def result_of(state: ReasoningState, thread_id: str, *, interrupted: bool = False) -> Result:
    """What a run has come to so far."""
    attempts, feedback = all_attempts(state), all_feedback(state)
    recalls, written = records_of(state, "recalls"), records_of(state, "written")
    learned = [*written, *records_of(state, "judged")]
    made: list[Attempt | Feedback] = [*attempts, *feedback]
    costs = [record.usage for record in made]
    costs += [_read(Usage, record.get("usage", {}), "written") for record in learned]
    taught = _read(Taught, state["taught"], "taught") if state.get("taught") else None
    if taught is not None and taught.solution is not None:
        costs.append(taught.solution.usage)
        made.append(taught.solution)
    seconds = [record.seconds for record in made]
    status = "interrupted" if interrupted else state.get("status", "running")
    try:
        return Result(
            problem=current_problem(state),
            answer=state.get("answer"),
            passed=status == "passed",
            status=status,
            stopped_because=state.get("stopped_because", ""),
            attempts=tuple(attempts),
            feedback=tuple(feedback),
            recalled=tuple(recalls),
            written=tuple(written),
            taught=taught,
            judged=tuple(records_of(state, "judged")),
            thread_id=thread_id,
            usage=sum(costs, Usage()),
            seconds=round(sum(seconds) + sum(record.get("seconds", 0) for record in learned), 4),
        )
    except (ValidationError, TypeError) as error:
        raise _unreadable("result", error) from None


Route = Literal["recall", "teach", "__end__"]
Entrance = Literal["recall", "judge"]
