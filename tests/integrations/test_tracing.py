"""Tracing by others: what LangSmith, Phoenix or Langfuse see through LangChain's callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.scripts import QUESTION, RIGHT, WRONG, script
from vitarmm_agent import ReasoningAgent


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def test_one_run_is_one_trace_with_its_nodes_and_model_calls(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", WRONG, RIGHT), feedback="arithmetic", memory="off"
    )
    agent.solve(QUESTION)
    finished = spans.get_finished_spans()
    by_id = {span.context.span_id: span for span in finished}
    assert len({span.context.trace_id for span in finished}) == 1
    (root,) = [span for span in finished if span.parent is None]
    assert root.name == "reasoning"
    names = [span.name for span in finished]
    assert all(names.count(node) >= 2 for node in ("recall", "reason", "feedback", "remember"))
    calls = [span for span in finished if _kind(span) == "LLM"]
    assert len(calls) == 2
    assert all("reason" in _above(span, by_id) for span in calls)
    assert "20 / 4 = 6" in str(calls[0].attributes)
    assert int(str((calls[0].attributes or {})["llm.token_count.completion"])) > 0


def _kind(span: ReadableSpan) -> str:
    return str((span.attributes or {}).get("openinference.span.kind"))


def _above(span: ReadableSpan, by_id: dict[int, ReadableSpan]) -> list[str]:
    names = []
    while span.parent is not None:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names
