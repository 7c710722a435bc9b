"""OpenTelemetry's spans of generative AI, as OTLP JSON: pure.

The attributes are those of the GenAI semantic conventions: ``gen_ai.input.messages``,
``gen_ai.output.messages``, and the event ``gen_ai.evaluation.result``, on a span or as a log record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
class Spans:
    """The spans and evaluations of an export, which may be spread over its lines."""

    spans: dict[tuple[str, str], Span] = field(default_factory=dict)
    beside: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Attributes of log records and events, with the trace and the span that they are about."""

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
            self.spans[span.trace, span.id] = span
            for event in _mappings(told.get("events")):
                self.beside.append((span.trace, span.id, _attributes(event.get("attributes"))))
            if EVALUATED in span.attributes and OUTPUT not in span.attributes:
                self.beside.append((span.trace, span.parent, span.attributes))
        for told in _below(record, "resourceLogs", "scopeLogs", "logRecords"):
            attributes = _attributes(told.get("attributes"))
            if attributes.keys() & {EVALUATED, INPUT, OUTPUT}:
                self.beside.append(
                    (_id(told, "traceId"), str(told.get("spanId") or ""), attributes)
                )

    def runs(self) -> Iterator[Told | tuple[int, InputError]]:
        """The runs: the judged spans of each trace, else its outermost; or why one is none."""
        scores: dict[tuple[str, str], list[Score]] = {}
        for trace, span_id, attributes in self.beside:
            span = self.spans.get((trace, span_id))
            if span is not None:
                told = {k: v for k, v in attributes.items() if k in (INPUT, OUTPUT)}
                span.attributes = told | span.attributes
        speaking = [s for s in self.spans.values() if s.attributes.get(OUTPUT)]
        for trace, span_id, attributes in self.beside:
            if EVALUATED in attributes:
                about = self._about(trace, span_id, attributes, speaking)
                scores.setdefault((trace, about), []).append(_score(attributes))
        for span in sorted(speaking, key=lambda one: (one.began, one.number)):
            judged = scores.get((span.trace, span.id))
            if judged or (span.id == self._outermost(span.trace, speaking)):
                yield _run(span, judged or [])

    def _about(
        self, trace: str, span_id: str, attributes: Mapping[str, Any], speaking: list[Span]
    ) -> str:
        """The span that an evaluation is of: the one named, that of its response, or the outermost."""
        ids = {span.id for span in speaking if span.trace == trace}
        response = attributes.get("gen_ai.response.id")
        answered = (
            span.id for span in speaking
            if response and span.trace == trace and span.attributes.get("gen_ai.response.id") == response
        )  # fmt: skip
        return span_id if span_id in ids else next(answered, self._outermost(trace, speaking))

    def _outermost(self, trace: str, speaking: list[Span]) -> str:
        own = [span for span in speaking if span.trace == trace]
        ids = {span.id for span in own}
        outer = [span for span in own if not ids.intersection(self._above(span))]
        return max(outer or own, key=lambda s: (s.began, s.number)).id if own else ""

    def _above(self, span: Span) -> Iterator[str]:
        seen = {span.id}
        while span.parent and span.parent not in seen:
            yield span.parent
            seen.add(span.parent)
            found = self.spans.get((span.trace, span.parent))
            if found is None:
                return
            span = found


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
