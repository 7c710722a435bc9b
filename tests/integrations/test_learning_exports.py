"""Learning from the files of LangSmith, Langfuse and OpenTelemetry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.strategies import damaged
from tests.integrations.test_learning import Row, lines, row, writer
from tests.integrations.test_learning import file as file
from tests.integrations.test_learning import memory as memory
from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, operations
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.exports.files import read_export
from vitarmm_agent.integrations.exports.told import (
    Judging,
    attempt_of,
    feedback_of,
    problem_of,
)
from vitarmm_agent.integrations.learning import learn_runs
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel


def langsmith_rows(feedback: list[Row]) -> list[Row]:
    """A run of a graph as LangSmith's client would send it, with its parts."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
    from langsmith._internal._serde import dumps_json

    @tool
    def divide(a: float, b: float) -> float:
        """Divide."""
        return a / b

    call = {"name": "divide", "args": {"a": 20, "b": 4}, "id": "1"}
    model = ScriptedChatModel.of({"tool_calls": [call]}, RIGHT)
    collector = RunCollectorCallbackHandler()
    agent = create_agent(model, [divide], system_prompt="Be exact.")
    agent.invoke({"messages": [("user", QUESTION)]}, {"callbacks": [collector]})
    run = collector.traced_runs[0]
    fields = ("id", "name", "run_type", "inputs", "outputs", "trace_id", "parent_run_id", "error")
    whole: list[Row] = []
    waiting = [run]
    while waiting:
        one = waiting.pop(0)
        waiting += one.child_runs
        whole.append(json.loads(dumps_json({name: getattr(one, name) for name in fields})))
    whole[0]["feedback"] = feedback
    return whole


def test_a_run_of_langsmith(memory: ReasoningMemory, tmp_path: Path) -> None:
    said = {"key": "user_score", "score": 0, "comment": "Show the unit.",
            "correction": {"solution": RIGHT}, "feedback_source": {"type": "app"}}  # fmt: skip
    judged = {"key": "helpfulness", "score": 1, "feedback_source": {"type": "model"}}
    rows = langsmith_rows([said, judged])
    file = tmp_path / "runs.json"
    file.write_text(json.dumps(rows, indent=2))
    asked = writer(operations(LESSON))
    learned = learn_runs(memory, file, writer=asked)
    assert learned.parts == len(rows) - 1 > 3
    assert (learned.runs, len(learned.written), learned.bad) == (1, 2, ())
    prompt = str(asked.model.calls[0])  # type: ignore[attr-defined]
    assert "(called divide with" in prompt and "(the tool answered: 5.0)" in prompt
    assert prompt.count("perimeter of 20 cm") == 1 and "Show the unit." in prompt
    worked = next(entry for entry in memory.list() if entry.example)
    assert worked.metadata["source"]["trace"] == rows[0]["trace_id"]
    assert worked.example and worked.example.problem == QUESTION
    lines(file, *rows)
    assert learn_runs(memory, file, writer=writer()).known == 1


def test_a_trace_of_langfuse(memory: ReasoningMemory, file: Path) -> None:
    trace = {"id": "t-1", "input": {"messages": row()["messages"][:1]}, "output": WRONG}
    score = {"name": "correct", "value": 0, "stringValue": "False", "source": "ANNOTATION"}
    lines(file, {"trace": trace, "scores": [score], "observations": []},
          {"id": "o-1", "traceId": "t-1", "input": "x", "output": "y"},
          trace | {"id": "t-2", "output": {"content": RIGHT, "role": "assistant"},
                   "scores": [score | {"value": 1, "stringValue": "True"}]})  # fmt: skip
    learned = learn_runs(memory, file)
    assert (learned.runs, learned.parts, len(learned.written)) == (2, 1, 1)
    assert memory.list()[0].metadata["source"]["trace"] == "t-2"


def otlp(tmp_path: Path) -> Row:
    """Two judged calls below an agent's span, as OpenTelemetry's own SDK and encoder write them."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.common")
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("agent")

    def said(role: str, text: str) -> str:
        parts = [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": text}]
        return json.dumps([{"role": role, "parts": parts, "finish_reason": "stop"}])

    with tracer.start_as_current_span("invoke_agent"):
        for reply, label in ((WRONG, "fail"), (RIGHT, "pass")):
            with tracer.start_as_current_span("chat") as span:
                span.set_attribute(names.GEN_AI_INPUT_MESSAGES, said("user", QUESTION))
                span.set_attribute(names.GEN_AI_OUTPUT_MESSAGES, said("assistant", reply))
                told: dict[str, Any] = {
                    names.GEN_AI_EVALUATION_NAME: "correctness",
                    names.GEN_AI_EVALUATION_SCORE_LABEL: label,
                    names.GEN_AI_EVALUATION_SCORE_VALUE: 0.5,
                    names.GEN_AI_EVALUATION_EXPLANATION: "20 / 4 is not 6.",
                }
                span.add_event("gen_ai.evaluation.result", told)
    request = MessageToDict(encode_spans(exporter.get_finished_spans()))
    return json.loads(json.dumps(request))  # type: ignore[no-any-return]


def test_spans_of_opentelemetry(memory: ReasoningMemory, tmp_path: Path) -> None:
    file = tmp_path / "spans.json"
    file.write_text(json.dumps(otlp(tmp_path), indent=1))
    assert len(learn_runs(memory, file).unjudged) == 2
    learned = learn_runs(memory, file, judging=Judging(precision=1.0))
    assert (learned.runs, len(learned.written), learned.bad) == (2, 1, ())
    (entry,) = memory.list()
    assert entry.example is not None and entry.example.problem == QUESTION
    assert entry.provenance.verifier == "import correctness"
    assert entry.metadata["source"]["kind"] == "opentelemetry"
    assert learn_runs(memory, file, judging=Judging(precision=1.0)).known == 1


def span(span_id: str, parent: str = "", **attributes: Any) -> Row:
    return {
        "traceId": "t" * 32, "spanId": span_id, "parentSpanId": parent,
        "startTimeUnixNano": "1700000000000000000",
        "attributes": [
            {"key": f"gen_ai.{key.replace('__', '.')}", "value": value}
            for key, value in attributes.items()
        ],
    }  # fmt: skip


def spans(*found: Row) -> Row:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(found)}]}]}


def data(value: Any) -> Row:
    if isinstance(value, list):
        return {"arrayValue": {"values": [data(one) for one in value]}}
    if isinstance(value, dict):
        pairs = [{"key": key, "value": data(one)} for key, one in value.items()]
        return {"kvlistValue": {"values": pairs}}
    return {"stringValue": value}


def test_spans_over_several_lines_with_events_as_records(
    memory: ReasoningMemory, file: Path
) -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    answer = [{"role": "assistant", "parts": [
        {"type": "tool_call", "id": "1", "name": "divide", "arguments": {"a": "20"}},
        {"type": "text", "content": RIGHT},
    ]}]  # fmt: skip
    whole = {"input__messages": data(asked), "output__messages": data(answer)}
    evaluated = [
        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "right"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1}},
    ]
    record = {"traceId": "t" * 32, "spanId": "root", "attributes": evaluated}
    lines(
        file,
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]},
        spans(span("root", **whole), span("other", "root")),
        spans(span("child", "other", **whole)),
    )
    learned = learn_runs(
        memory, file, writer=writer(operations(LESSON)), judging=Judging(precision=0.9)
    )
    assert (learned.runs, len(learned.written)) == (1, 1)
    assert memory.list()[0].metadata["source"]["trace"] == f"{'t' * 32}/root"


def test_bad_spans(memory: ReasoningMemory, file: Path) -> None:
    deep: Row = {"stringValue": "x"}
    for _ in range(60):
        deep = {"arrayValue": {"values": [deep]}}
    circle = spans(
        span("a", "b", output__messages=data("[broken")),
        span("b", "a", output__messages=data("[]")),
    )
    lines(file, row(solution=RIGHT), spans({"spanId": 5}), spans(span("s", input__messages=deep)),
          {"resourceSpans": 5}, {"resourceSpans": [5]}, circle,
          {"resourceLogs": [{"scopeLogs": [{"logRecords": [
              {"traceId": "gone", "attributes": [
                  {"key": "gen_ai.evaluation.name", "value": {"stringValue": "x"}}]}]}]}]})  # fmt: skip
    learned = learn_runs(memory, file)
    reasons = " ".join(one.reason for one in learned.bad)
    assert "traceId" in reasons and "too deeply" in reasons and "no messages" in reasons
    assert "trace 'gone', which is not here" in reasons
    assert len(learned.written) == 1


ONE_OF_EACH = [
    row(solution=RIGHT),
    {"id": "r", "inputs": {"messages": [[{"lc": 1, "type": "constructor", "id": ["HumanMessage"],
     "kwargs": {"content": "x"}}]]}, "outputs": {"generations": [[{"text": "y"}]]},
     "feedback": [{"key": "k", "score": 1, "feedback_source": {"type": "app"}}]},
    {"trace": {"id": "t", "input": [["user", "x"]], "output": {"choices": [{"message": {
     "role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f",
     "arguments": "{}"}}]}}]}}, "scores": [{"name": "s", "value": 1}]},
    spans(span("s", output__messages=data([{"role": "assistant", "parts": [
        {"type": "text", "content": "y"}]}]), input__messages=data("[]"))),
]  # fmt: skip


@given(st.sampled_from(ONE_OF_EACH).flatmap(lambda good: damaged(good)))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_rows_are_bad_rows(file: Path, damage: Any) -> None:
    """Whatever a row holds, it is read or told to be bad."""
    lines(file, damage, row())
    export = read_export(file)
    for told in export.runs:
        assert told.name.isprintable()
        try:
            attempt_of(told, problem_of(told), 1)
        except InputError:
            continue
        feedback_of(told, Judging())
    assert len(export.runs) + len(export.bad) + export.parts >= 1
