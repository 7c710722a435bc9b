"""Runs and their checkpoints, from any LangGraph checkpointer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Result, Status
from vitarmm_agent.state import ReasoningState, result_of

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple


class RunSummary(BaseModel):
    """One line of the list of runs."""

    model_config = ConfigDict(frozen=True)

    thread_id: str
    text: str
    status: Status
    answer: str | None
    attempts: int
    recalled: int
    written: int
    started_at: str
    updated_at: str


class Moment(BaseModel):
    """One checkpoint of a run: what had just run, and when.

    Attributes:
        node: the node whose update this checkpoint holds; ``input`` for the first.
        at: ISO time at which it was kept.
        seconds: wall time since the checkpoint before.
        checkpoint_id: LangGraph's id; a run can be forked from it.
    """

    model_config = ConfigDict(frozen=True)

    node: str
    at: str
    seconds: float
    checkpoint_id: str


class Trace(BaseModel):
    """A run with its checkpoints in order."""

    model_config = ConfigDict(frozen=True)

    result: Result
    moments: tuple[Moment, ...]
    waiting_for: tuple[dict[str, Any], ...] = ()


def list_runs(
    checkpointer: BaseCheckpointSaver[str], *, limit: int = 50, offset: int = 0
) -> list[RunSummary]:
    """The newest runs first; ``offset`` pages on."""
    inputs = checkpointer.list(None, filter={"source": "input", "step": -1})
    page = islice(_own(inputs), offset, offset + limit)
    return [_summary(checkpointer, begun) for begun in page]


def read_trace(checkpointer: BaseCheckpointSaver[str], thread_id: str) -> Trace:
    """One run, read back.

    Raises:
        InputError: there is no such run.
    """
    history = [*checkpointer.list(_config(thread_id))][::-1]
    history = [moment for moment in history if _namespace(moment) == ""]
    if not history or not _values(history[-1]).get("problem"):
        raise InputError(f"no run {thread_id!r}; `vitarmm trace list` shows the runs there are")
    waiting = _interrupts(history[-1])
    return Trace(
        result=result_of(_values(history[-1]), thread_id, interrupted=bool(waiting)),
        moments=tuple(_moments(history)),
        waiting_for=tuple(waiting),
    )


def _summary(checkpointer: BaseCheckpointSaver[str], begun: CheckpointTuple) -> RunSummary:
    thread_id = begun.config["configurable"]["thread_id"]
    last = checkpointer.get_tuple(_config(thread_id)) or begun
    values = _values(last)
    problem = values.get("problem") or {}
    recalls = values.get("recalls", [])
    return RunSummary(
        thread_id=thread_id,
        text=problem.get("text", ""),
        status="interrupted" if _interrupts(last) else values.get("status", "running"),
        answer=values.get("answer"),
        attempts=len(values.get("attempts", [])),
        recalled=sum(len(record["entries"]) for record in recalls),
        written=sum(len(record["operations"]) for record in values.get("written", [])),
        started_at=begun.checkpoint["ts"],
        updated_at=last.checkpoint["ts"],
    )


def _moments(history: list[CheckpointTuple]) -> Iterator[Moment]:
    from datetime import datetime

    before = None
    for moment in history:
        at = datetime.fromisoformat(moment.checkpoint["ts"])
        yield Moment(
            node=_node(moment),
            at=at.isoformat(),
            seconds=round((at - before).total_seconds(), 4) if before else 0.0,
            checkpoint_id=moment.checkpoint["id"],
        )
        before = at


def _node(moment: CheckpointTuple) -> str:
    """The node that ran last: the one whose branch channel was written in this checkpoint."""
    step = moment.metadata.get("step", -1)
    if step < 1:
        return "input" if step < 0 else "start"
    return ("recall", "reason", "feedback", "remember")[(step - 1) % 4]


def _own(checkpoints: Iterator[CheckpointTuple]) -> Iterator[CheckpointTuple]:
    return (checkpoint for checkpoint in checkpoints if _namespace(checkpoint) == "")


def _namespace(checkpoint: CheckpointTuple) -> str:
    return str(checkpoint.config["configurable"].get("checkpoint_ns", ""))


def _values(checkpoint: CheckpointTuple) -> ReasoningState:
    return cast(ReasoningState, checkpoint.checkpoint["channel_values"])


def _interrupts(checkpoint: CheckpointTuple) -> list[dict[str, Any]]:
    writes = checkpoint.pending_writes or []
    found = [value for _, channel, value in writes if channel == "__interrupt__"]
    return [{"value": interrupt.value} for group in found for interrupt in group]


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
