"""One run in one line: what its last checkpoint says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.problem import Status
from vitarmm_agent.result import left_as
from vitarmm_agent.traces.cleaning import clean_state
from vitarmm_agent.traces.reader import error_of, interrupts_of, is_usable, namespace_in

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple


COUNTED = ("attempts", "feedback", "recalls", "written")


class RunSummary(BaseModel):
    """One line of the list of runs.

    Attributes:
        verdicts: the verdict on each attempt, in order.
        recalled, written: entries shown to the reasoner, and written to memory, in all attempts.
        benchmark: name of the benchmark the problem says it is from, or "".
        namespace: for whom it was begun.
        tokens: of all model calls.
        seconds: that they and the verifiers took.
        model: that made the last attempt.
        judged_by: source of the last verdict.
        tags, note: what people put on it.
        died: the error that stopped it, or "".
        unreadable: why the run cannot be read, or "".
    """

    model_config = ConfigDict(frozen=True)

    thread_id: str
    text: str = ""
    status: Status = "running"
    answer: str | None = None
    verdicts: tuple[str, ...] = ()
    attempts: int = 0
    recalled: int = 0
    written: int = 0
    images: int = 0
    benchmark: str = ""
    forked_from: str = ""
    namespace: tuple[str, ...] = ()
    tokens: int = 0
    seconds: float = 0.0
    model: str = ""
    judged_by: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    started_at: str = ""
    updated_at: str = ""
    died: str = ""
    unreadable: str = ""

    @property
    def outcome(self) -> str:
        """The status in a word: a run that did not end is unfinished, died, or was stopped."""
        return left_as(self.status, self.died)


class RunFilter(BaseModel):
    """Which runs to list; what is empty does not matter.

    Attributes:
        text: words that problem, answer, note, tags or run id hold, in any order.
        status: how the run ended.
        verdict: some attempt got this verdict.
        memory: ``used``, ``written`` or ``none``.
        benchmark: name of a benchmark.
        tag: a tag that it has.
        since, until: dates (``2026-01-31``), both inclusive.
        namespace: it was begun for this one, as a JSON array of labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    status: str = ""
    verdict: str = ""
    memory: str = ""
    benchmark: str = ""
    tag: str = ""
    since: str = ""
    until: str = ""
    namespace: str = ""

    @property
    def empty(self) -> bool:
        """Whether it lets every run through."""
        return not any(self.model_dump().values())


def summarize(last: CheckpointTuple) -> RunSummary | None:
    """What the last checkpoint says of its run, or None when it is not a run of this graph."""
    if not is_usable(last):
        raise ValueError("it holds no state of a run")
    values: Any = last.checkpoint["channel_values"]
    if not values.get("problem") and isinstance(values.get("__start__"), dict):
        values = values["__start__"]
    if not isinstance(values.get("problem"), dict):
        return None
    state, _ = clean_state({**values, "attempts": [], "feedback": [], "recalls": [], "written": []})
    problem = state["problem"]
    attempts, feedback, recalls, written = (_records(values.get(key)) for key in COUNTED)
    costs = [*attempts, *feedback, *written]
    metadata = problem.get("metadata") or {}
    waiting, died = bool(interrupts_of(last)), error_of(last)
    return RunSummary(
        thread_id=str(last.config["configurable"]["thread_id"]),
        text=problem.get("text", "")[:500],
        status="interrupted" if waiting else "died" if died else state.get("status", "running"),
        died=died,
        answer=None if state.get("answer") is None else str(state.get("answer")),
        verdicts=tuple(str(record.get("verdict")) for record in feedback),
        attempts=len(attempts),
        recalled=sum(len(_records(record.get("entries"))) for record in recalls),
        written=sum(len(_records(record.get("operations"))) for record in written),
        images=len(problem.get("images") or ()),
        benchmark=str(metadata.get("benchmark") or metadata.get("dataset") or ""),
        forked_from=str(dict(last.metadata).get("forked_from", "")),
        namespace=namespace_in(values),
        tokens=sum(_tokens(record) for record in costs),
        seconds=round(sum(_seconds(record) for record in costs), 4),
        model=str(attempts[-1].get("model") or "") if attempts else "",
        judged_by=str(feedback[-1].get("source") or "") if feedback else "",
        started_at=_iso(values.get("started_at")) or last.checkpoint["ts"],
        updated_at=last.checkpoint["ts"],
    )


def _records(value: Any) -> list[dict[str, Any]]:
    """Those of a list that are records; the run's page says what the others are."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _tokens(record: dict[str, Any]) -> int:
    usage = record.get("usage")
    counts = (
        (usage.get("input_tokens"), usage.get("output_tokens")) if isinstance(usage, dict) else ()
    )
    return sum(count for count in counts if isinstance(count, int))


def _seconds(record: dict[str, Any]) -> float:
    seconds = record.get("seconds")
    return seconds if isinstance(seconds, (int, float)) and 0 <= seconds < 1e9 else 0.0


def _iso(seconds: Any) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
