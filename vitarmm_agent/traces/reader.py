"""One run and its checkpoints, from any LangGraph checkpointer."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.errors import InputError, no_run
from vitarmm_agent.graphs.any_checkpoints import heads_sql
from vitarmm_agent.graphs.checkpoint_files import DAMAGE
from vitarmm_agent.redaction import redact
from vitarmm_agent.result import Result
from vitarmm_agent.run_settings import settings_in
from vitarmm_agent.state import error_in_words, result_of
from vitarmm_agent.traces.cleaning import clean_state
from vitarmm_agent.traces.remarks import Remark, remark_on

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

ERROR = "__error__"
"""Where LangGraph keeps the error of a task."""
SHORTEST = 4
"""Characters of a part of a thread's name by which it may be called."""
_OWN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
COUNTED = ("recalls", "attempts", "feedback", "written")


@runtime_checkable
class KnowsRuns(Protocol):
    """A checkpointer that can tell of its runs without decoding checkpoints."""

    def heads(self) -> list[tuple[str, str, str]]:
        """Each thread with its first checkpoint, and what changes whenever the thread does."""
        ...

    def checkpoint_ids(self, thread_id: str) -> list[str]:
        """Ids of a thread's own checkpoints, newest first."""
        ...


@dataclass(frozen=True)
class _SqliteRuns:
    """The same of any checkpointer on a SQLite file."""

    saver: Any

    def heads(self) -> list[tuple[str, str, str]]:
        with self.saver.cursor(transaction=False) as cursor:
            rows = cursor.execute(heads_sql("writes")).fetchall()
        return [(row[0], row[1], row[2]) for row in rows]

    def checkpoint_ids(self, thread_id: str) -> list[str]:
        rows = self.saver.conn.execute(
            "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' "
            "ORDER BY checkpoint_id DESC",
            (thread_id,),
        )
        return [row[0] for row in rows.fetchall()]


def runs_known(checkpointer: BaseCheckpointSaver[str]) -> KnowsRuns | None:
    """What tells of a checkpointer's runs without decoding checkpoints; not every one can."""
    if isinstance(checkpointer, KnowsRuns):
        return checkpointer
    return _SqliteRuns(checkpointer) if sqlite_of(checkpointer) is not None else None


def sqlite_of(checkpointer: BaseCheckpointSaver[str]) -> sqlite3.Connection | None:
    """The connection of a checkpointer on a SQLite file."""
    connection = getattr(checkpointer, "conn", None)
    return connection if isinstance(connection, sqlite3.Connection) else None


class Moment(BaseModel):
    """One checkpoint of a run: what had just run, and when.

    Attributes:
        node: the node whose update this checkpoint holds; ``input`` for the first, ``fork`` where a
            forked run begins.
        at: ISO time at which it was kept.
        seconds: wall time since the checkpoint before.
        checkpoint_id: LangGraph's id; a run can be forked from it.
        next: the nodes that run next; empty at the end.
        counts: how many recalls, attempts, feedback and written records there are by then.
        edited: it was made by hand (``update_state``), not by a node.
    """

    model_config = ConfigDict(frozen=True)

    node: str
    at: str
    seconds: float
    checkpoint_id: str
    next: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    edited: bool = False


class Trace(BaseModel):
    """A run with its checkpoints in order.

    Attributes:
        waiting_for: what the run waits for from a person.
        settings: what was chosen for the run, as it says: models, verifiers, memory, decoding.
        forked_from: ``thread`` and ``checkpoint`` that it was forked from, and what was edited.
        namespace: for whom it was begun.
        remark: tags and a note that people put on it.
        turn, turns: a thread may hold several runs, one per problem it was given; this is which.
        problems: what could not be read, in words.
    """

    model_config = ConfigDict(frozen=True)

    result: Result
    moments: tuple[Moment, ...]
    waiting_for: tuple[dict[str, Any], ...] = ()
    forked_from: dict[str, str] | None = None
    limits: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    decision: dict[str, Any] = {}
    namespace: tuple[str, ...] = ()
    remark: Remark = Remark()
    turn: int = 1
    turns: int = 1
    problems: tuple[str, ...] = ()


def read_trace(
    checkpointer: BaseCheckpointSaver[str], thread_id: str, *, turn: int | None = None
) -> Trace:
    """One run, read back; what cannot be read is named in :attr:`Trace.problems`.

    Args:
        checkpointer: where the run is.
        thread_id: its thread.
        turn: which run of the thread, from 1; default: the last.

    Raises:
        InputError: there is no such run, or nothing of it can be read.
    """
    whole, problems = _history(checkpointer, thread_id)
    runs = _turns(whole)
    if turn is not None and not 1 <= turn <= max(len(runs), 1):
        raise InputError(f"thread {thread_id!r} has {len(runs)} runs, there is no run {turn}")
    history = runs[(turn or len(runs)) - 1] if runs else []
    if not history:
        if problems:
            raise InputError(f"run {thread_id!r} cannot be read: {'; '.join(problems)}")
        raise no_run(thread_id)
    state, unread = clean_state(history[-1].checkpoint["channel_values"])
    if not state.get("problem"):
        state, unread = _from_input(state, history[-1], unread)
    if not state.get("problem"):
        raise no_run(thread_id)
    waiting = interrupts_of(history[-1])
    return Trace(
        result=result_of(state, thread_id, interrupted=bool(waiting), died=error_of(history[-1])),
        moments=tuple(_moments(history)),
        waiting_for=tuple(waiting),
        forked_from=fork_of(whole[0]),
        limits=state.get("limits") or {},
        settings=settings_in(history[-1].metadata),
        decision=state.get("decision") or {},
        namespace=namespace_in(state),
        remark=remark_on(checkpointer, thread_id),
        turn=turn or len(runs),
        turns=len(runs),
        problems=tuple(dict.fromkeys([*problems, *unread])),
    )


def whole_id(checkpointer: BaseCheckpointSaver[str], name: str) -> str:
    """The thread that is meant: of that name, or the only one whose name, or its end, begins so.

    Raises:
        InputError: several do.
    """
    if len(name) < SHORTEST:
        return name
    known = runs_known(checkpointer)
    ids = [thread for thread, _, _ in known.heads()] if known else []
    found = [
        thread
        for thread in ids
        if thread.startswith(name) or thread.endswith(name) or short_id(thread).startswith(name)
    ]
    if name in found or not found:
        return name
    if len(found) > 1:
        some = ", ".join(found[:3])
        raise InputError(
            f"{len(found)} runs begin or end with {name!r}: {some}; give more of the one"
        )
    return found[0]


def short_id(thread: str) -> str:
    """The end of an id that was made here, by which commands know it; another's as it is."""
    return thread.rpartition("-")[2] if _OWN.fullmatch(thread) else thread


def _turns(history: list[CheckpointTuple]) -> list[list[CheckpointTuple]]:
    """The runs of a thread: each begins with an input."""
    runs: list[list[CheckpointTuple]] = []
    for checkpoint in history:
        if not runs or (_is_input(checkpoint) and not _is_verdict(checkpoint)):
            runs.append([])
        runs[-1].append(checkpoint)
    return runs


def _is_input(checkpoint: CheckpointTuple) -> bool:
    return checkpoint.metadata.get("source") == "input"


def _is_verdict(checkpoint: CheckpointTuple) -> bool:
    """Whether an input is a verdict on the run before it, which is over."""
    given = checkpoint.checkpoint["channel_values"].get("__start__")
    return isinstance(given, dict) and given.get("verdict") is not None


def _from_input(state: Any, last: CheckpointTuple, unread: list[str]) -> tuple[Any, list[str]]:
    """A run whose first node has not finished has its problem in the input channel only."""
    given = last.checkpoint["channel_values"].get("__start__")
    if isinstance(given, dict) and given.get("problem"):
        return clean_state(given)
    return state, unread


def namespace_in(state: Mapping[str, Any]) -> tuple[str, ...]:
    """For whom a run was begun, as its state says."""
    said = state.get("namespace")
    return tuple(map(str, said)) if isinstance(said, (list, tuple)) else ()


def interrupts_of(checkpoint: CheckpointTuple) -> list[dict[str, Any]]:
    """What a run waits for at this checkpoint."""
    writes = checkpoint.pending_writes or []
    resumed = {task for task, channel, _ in writes if channel == "__resume__"}
    found = [v for task, channel, v in writes if channel == "__interrupt__" and task not in resumed]
    groups = (group for group in found if isinstance(group, (list, tuple)))
    return [{"value": getattr(one, "value", None)} for group in groups for one in group]


def error_of(checkpoint: CheckpointTuple) -> str:
    """The error that stopped a run behind this checkpoint, in words, or ""."""
    writes = checkpoint.pending_writes or []
    return next((error_in_words(v) for _, channel, v in writes if channel == ERROR), "")


def fork_of(first: CheckpointTuple) -> dict[str, str] | None:
    """Where a run was forked from, as the metadata of its first checkpoint says."""
    metadata: dict[str, Any] = {**first.metadata}
    if "forked_from" not in metadata:
        return None
    return {
        "thread": str(metadata["forked_from"]),
        "checkpoint": str(metadata.get("forked_checkpoint", "")),
        "edit": str(metadata.get("forked_edit", "")),
    }


def config_of(thread_id: str, checkpoint_id: str | None = None) -> RunnableConfig:
    """The config that names a run, or one checkpoint of it."""
    configurable = {"thread_id": thread_id, "checkpoint_ns": ""}
    if checkpoint_id is not None:
        configurable["checkpoint_id"] = checkpoint_id
    return {"configurable": configurable}


def _history(
    checkpointer: BaseCheckpointSaver[str], thread_id: str
) -> tuple[list[CheckpointTuple], list[str]]:
    """Checkpoints of the run itself, oldest first, and what is damaged."""
    try:
        found = [*checkpointer.list(config_of(thread_id))]
        problems: list[str] = []
    except DAMAGE as error:
        found, problems = _salvage(checkpointer, thread_id)
        problems.append(redact(f"a checkpoint is damaged ({type(error).__name__}: {error})"))
    own = [c for c in found if c.config["configurable"].get("checkpoint_ns", "") == ""]
    usable = [c for c in own if is_usable(c)]
    if len(usable) != len(own):
        problems.append(f"{len(own) - len(usable)} checkpoints hold no state of a run")
    return usable[::-1], problems


def is_usable(checkpoint: CheckpointTuple) -> bool:
    """Whether a checkpoint has the parts that LangGraph gives it; someone else may have written it."""
    kept: Any = checkpoint.checkpoint
    if not isinstance(kept, dict) or not isinstance(checkpoint.metadata, dict):
        return False
    seen = kept.get("versions_seen", {})
    try:
        datetime.fromisoformat(kept["ts"])
    except (KeyError, TypeError, ValueError):
        return False
    return (
        isinstance(kept.get("id"), str)
        and isinstance(kept.get("channel_values"), dict)
        and all(isinstance(key, str) for key in kept["channel_values"])
        and isinstance(seen, dict)
        and all(isinstance(node, str) for node in seen)
    )


def _salvage(
    checkpointer: BaseCheckpointSaver[str], thread_id: str
) -> tuple[list[CheckpointTuple], list[str]]:
    """Newest first: each checkpoint that can be read by itself."""
    found, lost = [], 0
    known = runs_known(checkpointer)
    for checkpoint_id in known.checkpoint_ids(thread_id) if known else ():
        try:
            checkpoint = checkpointer.get_tuple(config_of(thread_id, checkpoint_id))
        except DAMAGE:
            lost += 1
            continue
        if checkpoint is not None:
            found.append(checkpoint)
    return found, [f"{lost} checkpoints cannot be read"] if lost else []


def _moments(history: list[CheckpointTuple]) -> Iterator[Moment]:
    before: CheckpointTuple | None = None
    for moment in history:
        at = datetime.fromisoformat(moment.checkpoint["ts"])
        values = moment.checkpoint["channel_values"]
        earlier = before and datetime.fromisoformat(before.checkpoint["ts"])
        yield Moment(
            node=_node(moment, before),
            at=at.isoformat(),
            seconds=round((at - earlier).total_seconds(), 4) if earlier else 0.0,
            checkpoint_id=moment.checkpoint["id"],
            next=next_nodes(values),
            counts={key: _count(values.get(key)) for key in COUNTED},
            edited=moment.metadata.get("source") == "update",
        )
        before = moment


def _count(records: Any) -> int:
    return len(records) if isinstance(records, list) else 0


def next_nodes(channels: dict[str, Any]) -> tuple[str, ...]:
    """The nodes that run next at a checkpoint with these channels."""
    return tuple(
        sorted(k.removeprefix("branch:to:") for k in channels if k.startswith("branch:to:"))
    ) or (("recall",) if "__start__" in channels else ())


def _node(moment: CheckpointTuple, before: CheckpointTuple | None) -> str:
    """The node that ran since the checkpoint before: the one that has seen new channel versions."""
    if _is_input(moment):
        return "verdict" if _is_verdict(moment) else "input"
    if before is None:
        return "fork" if moment.metadata.get("source") == "update" else "input"
    seen = moment.checkpoint.get("versions_seen") or {}
    had = before.checkpoint.get("versions_seen") or {}
    ran = [node for node, versions in seen.items() if versions != had.get(node)]
    named = [node for node in ran if not node.startswith("__")]
    return ", ".join(named) or ("start" if "__start__" in ran else "edit")
