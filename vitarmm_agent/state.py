"""Graph state: plain JSON-able data with reducers, and nothing else.

A record of one iteration (recall, attempt, feedback, what was written) is a mapping with the
iteration's ``number``. Live objects travel in :mod:`vitarmm_agent.deps`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args

from langchain_core.messages import AnyMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.blocks import read_block
from vitarmm_agent.options import one_of
from vitarmm_agent.problem import Attempt, Feedback, Problem, Status, Taught, Usage
from vitarmm_agent.redaction import redact
from vitarmm_agent.result import CANCELLED, RecallRecord, Result, WriteRecord

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

Record = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)
MAX_ERROR = 2_000
"""Characters of an error that are told."""


def by_number(left: list[Record] | None, right: list[Record] | None) -> list[Record]:
    """Reducer: add records, replacing one of the same number, so that a replay adds nothing.

    An empty list, or a record of number 1, begins anew: it is the next problem of a thread.
    """
    if not right:
        return []
    kept = [] if right[0]["number"] == 1 else left or []
    merged = {record["number"]: record for record in [*kept, *right]}
    return [merged[number] for number in sorted(merged)]


CHOICES = ("reasoner", "feedback", "judge", "rmm", "teacher", "memory")
"""What a run may choose from the operator's lists."""


@dataclass(frozen=True)
class RunContext:
    """What one run may set for itself: ``graph.invoke(…, context={"max_iterations": 1})``.

    On a LangGraph server it is the context of a run or of an assistant. Models, verifiers and memory
    are chosen by name from what the operator's settings list (``run_models``, ``run_verifiers``,
    ``run_memories``); anything else is refused.

    ``None`` leaves a value to the graph's own :class:`~vitarmm_agent.deps.Limits`, which are the
    most on a server. The values in force are kept in state, so that a resumed run goes on under the
    same ones.

    ``stream_tokens`` asks the reasoner to stream, so that stream mode ``custom`` carries its tokens
    one by one; they come so in any case when mode ``messages`` is on. ``stream_asides`` has that mode
    carry too what judges, samples, teacher and memory writer say, which is no part of a conversation.
    """

    reasoner: str | None = None
    feedback: str | None = None
    judge: str | None = None
    rmm: str | None = None
    teacher: str | None = None
    memory: str | None = None
    max_iterations: int | None = None
    max_seconds: float | None = None
    max_tokens: int | None = None
    use_memory: bool | None = None
    stream_tokens: bool = False
    stream_asides: bool = False

    def given(self) -> dict[str, Any]:
        """The limits that were set."""
        return self._set(lambda name: name not in CHOICES and not name.startswith("stream_"))

    def chosen(self) -> dict[str, Any]:
        """What was chosen by name."""
        return self._set(lambda name: name in CHOICES)

    def _set(self, wanted: Callable[[str], bool]) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if wanted(k) and v is not None}


def streaming(mode: Any, asides: bool) -> dict[str, Any]:
    """What a graph is told of a stream, by the names of its arguments.

    Raises:
        InputError: a mode that LangGraph does not have.
    """
    from langgraph.types import StreamMode

    for one in [mode] if isinstance(mode, str) else mode:
        one_of("stream_mode", one, get_args(StreamMode))
    context = RunContext(stream_tokens="custom" in mode, stream_asides=asides)
    return {"stream_mode": mode, "context": context, "durability": "sync"}


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
        chosen: what the run's context chose, by name.
        recalls, attempts, feedback, written: one record per iteration.
        taught: what a teacher was asked when the run ended without a pass, and what was kept.
        judged: verdicts given when the run was over, one record each, and what came of them.
        decision: what the stop rule said last: ``action`` and ``reason``.
        started_at: seconds since the epoch.
        begun: the same, or what else tells this run from others of its name.
    """

    run: str
    turn: int
    namespace: list[str]
    iteration: int
    limits: Record
    chosen: Record
    started_at: float
    begun: float
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


S = TypeVar("S", bound=ReasoningState)


def updated(state: S, update: Mapping[str, Any]) -> S:
    """The state as the graph leaves it after a node's ``update``; its messages are not kept."""
    merged = {**state, **update}
    for key in {"recalls", "attempts", "feedback", "written"} & update.keys():
        merged[key] = by_number(cast("dict[str, Any]", state).get(key), update[key])
    merged.pop("messages", None)
    return cast("S", merged)


def begun_of(state: ReasoningState) -> float:
    """What tells a run from others of its name; states of earlier versions hold the time alone."""
    return state.get("begun", state.get("started_at", 0.0))


def current_problem(state: ReasoningState) -> Problem:
    """The problem of this run; raises :class:`InputError` as :func:`records_of` does."""
    return _read(Problem, state.get("problem"), "problem")


def all_attempts(state: ReasoningState, *, last: int = 0) -> list[Attempt]:
    """The attempts so far, in order; with ``last``, only so many of the latest."""
    records = records_of(state, "attempts")[-last:]
    return _read_all(Attempt, records, "attempts")


def all_feedback(state: ReasoningState, *, last: int = 0) -> list[Feedback]:
    """The feedback so far, in order; with ``last``, only so much of the latest."""
    records = records_of(state, "feedback")[-last:]
    bare = [{key: value for key, value in record.items() if key != "number"} for record in records]
    return _read_all(Feedback, bare, "feedback")


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


def holds_run(snapshot: StateSnapshot) -> bool:
    """Whether a thread has a run, or what another graph left; one killed as it was begun left none."""
    begun = (snapshot.metadata or {}).get("source") != "input"
    return bool(snapshot.values.get("problem") or (snapshot.values and begun))


def read_result(snapshot: StateSnapshot, thread_id: str) -> Result:
    """What a run has come to, by the snapshot that its graph gives of it."""
    errors = (error_in_words(task.error) for task in snapshot.tasks if task.error)
    waits = bool(snapshot.interrupts)
    state = cast("ReasoningState", snapshot.values)
    return result_of(state, thread_id, interrupted=waits, died=next(errors, ""))


def error_in_words(kept: Any) -> str:
    """An error as LangGraph keeps it beside a checkpoint, which is its ``repr``, without secrets."""
    told = kept if isinstance(kept, str) else repr(kept)
    name, _, rest = told.partition("(")
    if name == "CancelledError":
        return CANCELLED
    try:
        said = ast.literal_eval(rest.removesuffix(")").removesuffix(",")) if rest else ""
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        said = None
    return redact(f"{name}: {said}" if isinstance(said, str) and said else told)[:MAX_ERROR]


def _read(model: type[Model], record: Any, key: str) -> Model:
    (read,) = _read_all(model, [record], key)
    return read


def _read_all(model: type[Model], records: Sequence[Any], key: str) -> list[Model]:
    try:
        return [model.model_validate(record) for record in records]
    except ValidationError:
        raise _unreadable(key, records) from None


def _unreadable(key: str, value: Any) -> InputError:
    return InputError(
        f"the state of this run holds no {key} that can be read, got {repr(value)[:200]}; "
        "begin the problem anew"
    )


def result_of(
    state: ReasoningState, thread_id: str, *, interrupted: bool = False, died: str = ""
) -> Result:
    """What a run has come to so far.

    Args:
        state: of the run.
        thread_id: its thread.
        interrupted: it waits for a person.
        died: the error that stopped it, in words, or "".
    """
    attempts, feedback = all_attempts(state), all_feedback(state)
    recalls = _read_all(RecallRecord, records_of(state, "recalls"), "recalls")
    written = _read_all(WriteRecord, records_of(state, "written"), "written")
    later = records_of(state, "judged")
    made: list[Attempt | Feedback] = [*attempts, *feedback]
    costs = [record.usage for record in (*made, *written)]
    costs += _read_all(Usage, [record.get("usage", {}) for record in later], "judged")
    taught = _read(Taught, state["taught"], "taught") if state.get("taught") else None
    if taught is not None and taught.solution is not None:
        costs.append(taught.solution.usage)
        made.append(taught.solution)
    seconds = [record.seconds for record in (*made, *written)]
    seconds += [record.get("seconds", 0) for record in later]
    status = state.get("status", "running")
    if interrupted or died:
        status = "interrupted" if interrupted else "died"
    try:
        return Result(
            problem=current_problem(state),
            answer=state.get("answer"),
            passed=status == "passed",
            status=status,
            stopped_because=died or state.get("stopped_because", ""),
            attempts=tuple(attempts),
            feedback=tuple(feedback),
            recalled=tuple(recalls),
            written=tuple(written),
            taught=taught,
            judged=tuple(later),
            thread_id=thread_id,
            usage=sum(costs, Usage()),
            seconds=round(sum(seconds), 4),
        )
    except (ValidationError, TypeError) as error:
        raise _unreadable("result", error) from None


Route = Literal["recall", "teach", "__end__"]
Entrance = Literal["recall", "judge"]
