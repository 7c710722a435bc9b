"""Plain rows of messages with a verdict, and the exports of LangSmith and Langfuse: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.messages import read_messages, said_in
from vitarmm_agent.integrations.exports.told import Kind, Score, Told, trace_of

_MODELS = frozenset({"model", "judge", "auto_eval", "eval"})
"""Who a score's source says that gave it, where that was no person."""


def plain_run(row: Mapping[str, Any], number: int) -> Told:
    """``{"messages": […], "verdict": "pass", "comment": …, "solution": …, "by": …, "id": …}``.

    Raises:
        InputError: it cannot be read.
    """
    score = Score(
        name="",
        value=row.get("verdict"),
        comment=_text(row, "comment"),
        solution=_text(row, "solution"),
        by_model=_text(row, "by").casefold() in _MODELS,
    )
    judged = score.value is not None or bool(score.solution)
    return Told(
        kind="messages",
        trace=_text(row, "id") or trace_of(row["messages"]),
        number=number,
        messages=tuple(read_messages(row["messages"], "user")),
        scores=(score,) if judged else (),
    )


def langsmith_run(row: Mapping[str, Any], number: int) -> Told | None:
    """A run of LangSmith with its feedback; None for a part of another run.

    Raises:
        InputError: it cannot be read.
    """
    if row.get("parent_run_id"):
        return None
    scores = [_langsmith_score(one) for one in _rows(row, "feedback")]
    if not scores and isinstance(row.get("feedback_stats"), Mapping):
        scores = [
            Score(name=str(key), value=stats.get("avg"), by_model=True)
            for key, stats in row["feedback_stats"].items()
            if isinstance(stats, Mapping)
        ]
    return _asked_and_answered(
        "langsmith", row, number, (row.get("inputs"), row.get("outputs")), scores
    )


def langfuse_run(row: Mapping[str, Any], number: int) -> Told | None:
    """A trace of Langfuse with its scores; None for an observation alone.

    Raises:
        InputError: it cannot be read.
    """
    if row.get("traceId") or row.get("parentObservationId"):
        return None
    trace = row["trace"] if isinstance(row.get("trace"), Mapping) else row
    told = _rows(row, "scores") or _rows(trace, "scores")
    scores = [
        Score(
            name=_text(one, "name"),
            value=one.get("stringValue") or one.get("value"),
            comment=_text(one, "comment"),
            by_model=_text(one, "source").casefold() in _MODELS,
        )
        for one in told
    ]
    said = (trace.get("input"), trace.get("output"))
    return _asked_and_answered("langfuse", trace, number, said, scores)


def _asked_and_answered(
    kind: Kind,
    row: Mapping[str, Any],
    number: int,
    said: tuple[Any, Any],
    scores: list[Score],
) -> Told:
    """A run whose output may repeat its input, as a graph's state does."""
    asked, answered = (read_messages(part, role) for part, role in zip(said, _SIDES, strict=True))
    begins = [(m.type, said_in(m)) for m in answered[: len(asked)]]
    if len(answered) > len(asked) and begins == [(m.type, said_in(m)) for m in asked]:
        asked = []
    return Told(
        kind=kind,
        trace=_text(row, "trace_id") or _text(row, "id") or trace_of(said),
        number=number,
        messages=(*asked, *answered),
        scores=tuple(scores),
    )


_SIDES = ("user", "assistant")


def _langsmith_score(one: Mapping[str, Any]) -> Score:
    source = one.get("feedback_source")
    by = _text(source, "type") if isinstance(source, Mapping) else ""
    correction = one.get("correction")
    if isinstance(correction, Mapping):
        told = [value for value in correction.values() if isinstance(value, str)]
        correction = told[0] if len(told) == 1 else ""
    value = one.get("value") if one.get("score") is None else one.get("score")
    return Score(
        name=_text(one, "key"),
        value=value,
        comment=_text(one, "comment"),
        solution=correction if isinstance(correction, str) else "",
        by_model=by.casefold() in _MODELS,
    )


def _rows(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = row.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"has the {name} {value!r:.100}, which must be text")
    return value or ""


def rows_of(data: Any) -> Iterator[Any]:
    """The rows of a list, or of an object that holds one."""
    if isinstance(data, Mapping):
        for name in ("runs", "traces", "data"):
            if isinstance(data.get(name), list):
                yield from data[name]
                return
    yield from data if isinstance(data, list) else [data]
