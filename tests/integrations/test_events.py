"""The events of stream mode ``custom``."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from pydantic import TypeAdapter

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent
from vitarmm_agent.nodes.events import Event


def test_events_come_in_order_and_have_their_declared_form(make_agent: MakeAgent) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, LESSON])
    events = list(agent.stream(PROBLEM, thread_id="t", stream_mode="custom"))
    adapter: TypeAdapter[Any] = TypeAdapter(Event)
    for event in events:
        assert adapter.validate_python(event, strict=True, extra="forbid") == event
    assert kinds(events) == [
        (1, "recalled"), (1, "attempt_token"), (1, "verdict"), (1, "written"),
        (2, "recalled"), (2, "attempt_token"), (2, "verdict"), (2, "written"),
        (2, "stopped_because"),
    ]  # fmt: skip
    assert {event["run"] for event in events} == {"t"}
    declared = [typing.get_type_hints(kind)["event"] for kind in typing.get_args(Event)]
    names = {typing.get_args(kind)[0] for kind in declared}
    assert names == {event["event"] for event in events} | {"taught"}  # see test_teaching


def test_events_say_what_the_result_says(make_agent: MakeAgent) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, LESSON])
    events = list(agent.stream(PROBLEM, thread_id="t", stream_mode="custom"))
    result = agent.result("t")
    for attempt in result.attempts:
        pieces = [
            e["text"] for e in events
            if e["event"] == "attempt_token" and e["iteration"] == attempt.number
        ]  # fmt: skip
        assert len(pieces) > 3
        assert "".join(pieces) == attempt.text
    verdicts = [e for e in events if e["event"] == "verdict"]
    assert [(v["verdict"], v["answer"]) for v in verdicts] == [("fail", "20"), ("pass", "25")]
    last = events[-1]
    assert (last["answer"], last["status"], last["reason"]) == (
        result.answer, result.status, result.stopped_because,
    )  # fmt: skip
    written = [e for e in events if e["event"] == "written"][-1]
    assert written["operations"][0]["entry_id"] == result.written[-1]["operations"][0]["entry_id"]


async def test_async_events_are_the_same(make_agent: MakeAgent) -> None:
    sync = list(make_agent(RIGHT, writes=[NOTHING]).stream(PROBLEM, stream_mode="custom"))
    agent = make_agent(RIGHT, writes=[NOTHING])
    events = [e async for e in agent.astream(PROBLEM, stream_mode="custom")]
    assert without_run(events) == without_run(sync)


def test_a_model_that_cannot_stream_gives_its_text_as_one_token(make_agent: MakeAgent) -> None:
    agent = make_agent(
        reasoner=FakeListChatModel(responses=[RIGHT], disable_streaming=True), writes=[NOTHING]
    )
    events = list(agent.stream(PROBLEM, stream_mode="custom"))
    assert [e["text"] for e in events if e["event"] == "attempt_token"] == [RIGHT]


def test_modes_can_be_combined_and_updates_name_the_nodes(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])
    chunks = list(agent.stream(PROBLEM, stream_mode=["updates", "messages", "custom"]))
    nodes = [node for mode, chunk in chunks if mode == "updates" for node in chunk]
    assert nodes == ["recall", "reason", "feedback", "remember"]
    tokens = [c[0].text for mode, c in chunks if mode == "messages"
              and c[1]["langgraph_node"] == "reason" and c[0].type == "AIMessageChunk"]  # fmt: skip
    assert "".join(tokens) == RIGHT
    emitted = [
        c["text"] for mode, c in chunks if mode == "custom" and c["event"] == "attempt_token"
    ]
    assert "".join(emitted) == RIGHT


@pytest.mark.parametrize("asks", [True, False])
def test_the_graph_alone_streams_tokens_when_asked(make_agent: MakeAgent, asks: bool) -> None:
    graph = make_agent(RIGHT, writes=[NOTHING]).graph
    events = list(
        graph.stream(
            {"problem": {"text": PROBLEM}},
            {"configurable": {"thread_id": "t"}},
            context={"stream_tokens": asks},
            stream_mode="custom",
        )
    )
    tokens = [e["text"] for e in events if e["event"] == "attempt_token"]
    assert "".join(tokens) == RIGHT
    assert (len(tokens) > 1) is asks


def kinds(events: list[Any]) -> list[tuple[int, str]]:
    """Iteration and kind of each event, runs of the same counted once."""
    found = [(event["iteration"], event["event"]) for event in events]
    return [pair for index, pair in enumerate(found) if index == 0 or found[index - 1] != pair]


def without_run(events: list[Any]) -> list[Any]:
    return [{k: v for k, v in event.items() if k != "run"} for event in events]
