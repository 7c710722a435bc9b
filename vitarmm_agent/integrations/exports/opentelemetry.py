"""OpenTelemetry's spans of generative AI, as OTLP JSON: pure.

The attributes are those of the GenAI semantic conventions: ``gen_ai.input.messages``,
``gen_ai.output.messages``, and the event ``gen_ai.evaluation.result``, on a span or as a log record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.messages import read_messages
from vitarmm_agent.integrations.exports.told import Score, Told
from vitarmm_agent.json_text import parse_json

INPUT, OUTPUT = "gen_ai.input.messages", "gen_ai.output.messages"
EVALUATED = "gen_ai.evaluation.name"
MAX_DEPTH = 40


@dataclass
class Span:
    """What is kept of a span."""

    trace: str
    id: str
    parent: str
    began: int
    number: int
    attributes: dict[str, Any]


@dataclass
class Beside:
    """Attributes of an event or a log record, with the trace and the span that it is about."""

    trace: str
    span: str
    number: int
    attributes: dict[str, Any]


@dataclass
class Spans:
    """The spans and evaluations of an export, which may be spread over its lines."""

    spans: dict[str, dict[str, Span]] = field(default_factory=dict)
    """By trace and id."""
    beside: list[Beside] = field(default_factory=list)

    def take(self, record: Mapping[str, Any], number: int) -> None:
        """Keep what one record of an export holds.

        Raises:
            InputError: it cannot be read.
        """
        for told in _below(record, "resourceSpans", "scopeSpans", "spans"):
            span = Span(
                trace=_id(told, "traceId"),
                id=_id(told, "spanId"),
                parent=str(told.get("parentSpanId") or ""),
                began=_nanoseconds(told.get("startTimeUnixNano")),
                number=number,
                attributes=_attributes(told.get("attributes")),
            )
            self.spans.setdefault(span.trace, {})[span.id] = span
            for event in _mappings(told.get("events")):
                self._take_beside(span.trace, span.id, number, event)
            if EVALUATED in span.attributes and OUTPUT not in span.attributes:
                self.beside.append(Beside(span.trace, span.parent, number, span.attributes))
        for told in _below(record, "resourceLogs", "scopeLogs", "logRecords"):
            self._take_beside(_id(told, "traceId"), str(told.get("spanId") or ""), number, told)

    def _take_beside(self, trace: str, span: str, number: int, told: Mapping[str, Any]) -> None:
        attributes = _attributes(told.get("attributes"))
        if attributes.keys() & {EVALUATED, INPUT, OUTPUT}:
            self.beside.append(Beside(trace, span, number, attributes))

    def runs(self) -> Iterator[Told | tuple[int, InputError]]:
        """The runs: the judged spans of each trace, else its outermost; or why one is none."""
        for one in self.beside:
            if span := self.spans.get(one.trace, {}).get(one.span):
                told = {k: v for k, v in one.attributes.items() if k in (INPUT, OUTPUT)}
                span.attributes = told | span.attributes
        judged: dict[str, list[Beside]] = {}
        for one in self.beside:
            if EVALUATED in one.attributes:
                judged.setdefault(one.trace, []).append(one)
        for trace, spans in self.spans.items():
            yield from _runs_of(spans, judged.pop(trace, []))
        for lost in (one for some in judged.values() for one in some):
            yield lost.number, InputError(f"evaluates trace {lost.trace!r}, which is not here")


def _runs_of(
    spans: Mapping[str, Span], judged: list[Beside]
) -> Iterator[Told | tuple[int, InputError]]:
    """The runs of one trace. An evaluation is of its span, that of its response, or the outermost."""
    speaking = sorted(
        (span for span in spans.values() if span.attributes.get(OUTPUT)),
        key=lambda span: (span.began, span.number),
    )
    ids = {span.id for span in speaking}
    answered = {str(span.attributes.get("gen_ai.response.id")): span.id for span in speaking}
    outermost = _outermost(speaking, spans)
    scores: dict[str, list[Score]] = {}
    for one in judged:
        if not speaking:
            yield one.number, InputError(f"evaluates trace {one.trace!r}, which has no messages")
            continue
        response = one.attributes.get("gen_ai.response.id")
        named = answered.get(response) if isinstance(response, str) else None
        about = one.span if one.span in ids else named or outermost
        scores.setdefault(about, []).append(_score(one.attributes))
    for span in speaking:
        if span.id in scores or span.id == outermost:
            yield _run(span, scores.get(span.id, []))


def _outermost(speaking: Sequence[Span], spans: Mapping[str, Span]) -> str:
    """The last of the spans that lie below none that has messages."""
    ids = {span.id for span in speaking}
    below: dict[str, bool] = {}
    for span in speaking:
        way, at = list[str](), span
        found = False
        while at.id not in below:
            below[at.id] = False  # a circle has no outermost
            way.append(at.id)
            parent = spans.get(at.parent)
            if parent is None or parent.id in ids:
                found = parent is not None
                break
            at = parent
        else:
            found = below[at.id]
        below |= dict.fromkeys(way, found)
    outer = [span.id for span in speaking if not below[span.id]]
    return (outer or [span.id for span in speaking] or [""])[-1]


def _run(span: Span, scores: list[Score]) -> Told | tuple[int, InputError]:
    try:
        asked, answered = (
            read_messages(_parsed(span.attributes.get(name)), role)
            for name, role in ((INPUT, "user"), (OUTPUT, "assistant"))
        )
    except InputError as error:
        return span.number, InputError(f"span {span.id!r} {error}")
    return Told(
        kind="opentelemetry",
        trace=f"{span.trace}/{span.id}",
        number=span.number,
        messages=(*asked, *answered),
        scores=tuple(scores),
    )


def _parsed(value: Any) -> Any:
    """Messages, which a span has as text and an event as data."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise InputError(f"has messages that are no JSON: {error}") from None


def _score(attributes: Mapping[str, Any]) -> Score:
    """An evaluation; who made it is not said, so that it is not taken to be a person's."""
    label = attributes.get("gen_ai.evaluation.score.label")
    return Score(
        name=str(attributes[EVALUATED])[:200],
        value=attributes.get("gen_ai.evaluation.score.value") if label is None else label,
        comment=str(attributes.get("gen_ai.evaluation.explanation") or ""),
        by_model=True,
    )


def _below(record: Mapping[str, Any], *names: str) -> Iterator[Mapping[str, Any]]:
    found = _mappings(record.get(names[0]))
    for one in found:
        if len(names) == 1:
            yield one
        else:
            yield from _below(one, *names[1:])


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _id(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise InputError(f"has a span whose {name} is {value!r:.60}")
    return value


def _nanoseconds(value: Any) -> int:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 25 else 0


def _attributes(pairs: Any) -> dict[str, Any]:
    return {
        pair["key"]: _value(pair.get("value"))
        for pair in _mappings(pairs)
        if isinstance(pair.get("key"), str)
    }


def _value(value: Any, depth: int = 0) -> Any:
    """OTLP's way to write a value of any type, as the value."""
    if depth > MAX_DEPTH:
        raise InputError("has an attribute that is nested too deeply")
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("arrayValue"), Mapping):
        inner = value["arrayValue"].get("values")
        return [_value(one, depth + 1) for one in inner] if isinstance(inner, list) else []
    if isinstance(value.get("kvlistValue"), Mapping):
        pairs = _mappings(value["kvlistValue"].get("values"))
        return {str(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    if "intValue" in value:
        return _nanoseconds(value["intValue"])
    return next(iter(value.values()), None)
