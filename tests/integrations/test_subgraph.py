"""The graph as a node of another graph."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from tests.integrations.conftest import (
    DIMS,
    LESSON,
    NOTHING,
    PROBLEM,
    RIGHT,
    WRONG,
    MakeAgent,
    WordEmbeddings,
    is_25,
)  # fmt: skip
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.settings import Settings
from vitarmm_agent.verifiers.function import Function
from vitarmm_agent.verifiers.human import Human

SECOND = "A square has a side of 6 cm. What is its area in square centimetres?"


def reasoning(*replies: Any, writes: Any = (), **options: Any) -> Any:
    given = {
        "reasoner": ScriptedChatModel.of(*replies),
        "rmm": ScriptedChatModel.of(*writes),
        "verifiers": [Function(is_25, name="is_25")],
    }
    return build_reasoning_graph(**(given | options))


def parent_of(subgraph: Any, **options: Any) -> Any:
    parent = StateGraph(MessagesState)
    parent.add_node("reasoning", subgraph)
    parent.add_edge(START, "reasoning")
    parent.add_edge("reasoning", END)
    return parent.compile(**options)


def thread(name: str = "t", **more: Any) -> Any:
    return {"configurable": {"thread_id": name, **more}}


def said(*texts: str) -> Any:
    return {"messages": [HumanMessage(text) for text in texts]}


async def test_messages_in_and_a_message_out(memory: ReasoningMemory) -> None:
    parent = parent_of(reasoning(RIGHT, writes=[NOTHING], memory=memory))
    state = await parent.ainvoke(said(PROBLEM))
    assert [message.type for message in state["messages"]] == ["human", "ai"]
    answer = state["messages"][-1]
    assert answer.text == RIGHT
    assert answer.additional_kwargs == {"answer": "25", "status": "passed"}


def test_the_parents_checkpointer_is_used_and_keeps_a_conversation(memory: ReasoningMemory) -> None:
    subgraph = reasoning(RIGHT, RIGHT, writes=[LESSON, NOTHING], memory=memory)
    saver = InMemorySaver()
    parent = parent_of(subgraph, checkpointer=saver)
    parent.invoke(said(PROBLEM), thread())
    state = parent.invoke(said(SECOND), thread())
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    namespaces = {
        checkpoint.config["configurable"]["checkpoint_ns"] for checkpoint in saver.list(thread())
    }
    assert any(namespace.startswith("reasoning:") for namespace in namespaces)


def test_each_call_of_a_subgraph_writes_its_own_memory(memory: ReasoningMemory) -> None:
    other = {"structured": {"operations": [
        {"kind": "add", "title": "Prime numbers", "applies_when": "primes are asked for",
         "content": "Divide by the primes up to the root.", "entry_type": "insight",
         "confidence": 0.9}
    ]}}  # fmt: skip
    subgraph = reasoning(RIGHT, RIGHT, writes=[LESSON, other], memory=memory)
    parent = parent_of(subgraph, checkpointer=InMemorySaver())
    parent.invoke(said(PROBLEM), thread())
    parent.invoke(said("Is 25 a prime number?"), thread())
    assert {entry.title for entry in memory.list()} == {"Area of a square", "Prime numbers"}
    assert len({entry.provenance.run for entry in memory.list()}) == 2


def test_runs_without_a_thread_write_their_own_memory(memory: ReasoningMemory) -> None:
    other = {"structured": {"operations": [
        {"kind": "add", "title": "Prime numbers", "applies_when": "primes are asked for",
         "content": "Divide by the primes up to the root.", "entry_type": "insight",
         "confidence": 0.9}
    ]}}  # fmt: skip
    graph = reasoning(RIGHT, RIGHT, writes=[LESSON, other], memory=memory)
    graph.invoke(said(PROBLEM))
    graph.invoke(said("Is 25 a prime number?"))
    assert len(memory.list()) == 2


def test_the_parents_store_holds_the_memory() -> None:
    index: Any = {"embed": WordEmbeddings(), "dims": DIMS, "fields": ["index_text"]}
    store = InMemoryStore(index=index)
    parent = parent_of(reasoning(RIGHT, RIGHT, writes=[LESSON, NOTHING]), store=store)
    parent.invoke(said(PROBLEM))
    memory = ReasoningMemory(store, namespace=("default", "agent"))
    assert [entry.title for entry in memory.list()] == ["Area of a square"]
    parent.invoke(said(PROBLEM))
    assert memory.list()[0].used == 1


def test_a_named_memory_comes_before_the_parents_store(memory: ReasoningMemory) -> None:
    store = InMemoryStore()
    parent = parent_of(reasoning(RIGHT, writes=[LESSON], memory=memory), store=store)
    parent.invoke(said(PROBLEM))
    assert len(memory.list()) == 1
    assert store.list_namespaces() == []


async def test_interrupts_surface_to_the_parent(memory: ReasoningMemory) -> None:
    subgraph = reasoning(
        WRONG, RIGHT, writes=[NOTHING, NOTHING], memory=memory, verifiers=[Human()]
    )
    parent = parent_of(subgraph, checkpointer=InMemorySaver())
    state = await parent.ainvoke(said(PROBLEM), thread())
    (asked,) = state["__interrupt__"]
    assert asked.value["attempt"]["answer"] == "20"
    reply = {"verdict": "fail", "message": "four is not the side", "step": 1}
    state = await parent.ainvoke(Command(resume=reply), thread())
    (asked,) = state["__interrupt__"]
    assert asked.value["attempt"]["answer"] == "25"
    state = await parent.ainvoke(Command(resume="pass"), thread())
    assert "__interrupt__" not in state
    assert state["messages"][-1].additional_kwargs["status"] == "passed"


@pytest.mark.parametrize("asides", [False, True])
def test_a_conversation_streams_what_judge_writer_and_teacher_say_only_when_asked(
    make_agent: MakeAgent, asides: bool
) -> None:
    judge = ScriptedChatModel.of({"structured": {"steps": [], "verdict": "unsure"}})
    agent = make_agent(
        WRONG,
        *["a sample"] * 5,
        feedback="judge,self_consistency",
        judge=judge,
        teacher=ScriptedChatModel.of(RIGHT),
        max_iterations=1,
        writes=[LESSON],
    )
    heard: dict[str, str] = {}
    for chunk, told in agent.stream(
        PROBLEM, stream_mode="messages", thread_id="one", asides=asides
    ):
        node = told["langgraph_node"]
        heard[node] = heard.get(node, "") + chunk.text
    assert agent.result("one").taught is not None and judge.left == 0
    if asides:
        assert "unsure" in heard["feedback"] and "a sample" in heard["feedback"]
        assert heard["teach"] == RIGHT
    else:
        assert heard == {"reason": WRONG, "remember": WRONG}  # and the message that answers


def test_events_reach_the_parents_stream(memory: ReasoningMemory) -> None:
    parent = parent_of(reasoning(RIGHT, writes=[NOTHING], memory=memory))
    events = list(parent.stream(said(PROBLEM), stream_mode="custom", subgraphs=True))
    assert [event["event"] for _, event in events] == [
        "recalled", "attempt_token", "verdict", "written", "stopped_because",
    ]  # fmt: skip


def test_a_thread_of_the_graph_itself_takes_one_problem_after_another(
    memory: ReasoningMemory,
) -> None:
    six = "1. The area is 6 * 6 = 36.\nAnswer: 36"
    graph = reasoning(
        WRONG, RIGHT, six, writes=[NOTHING, NOTHING, NOTHING], memory=memory,
        checkpointer=InMemorySaver(),
        verifiers=[Function(lambda p, a: a.answer in ("25", "36"), name="known")],
    )  # fmt: skip
    first = graph.invoke(said(PROBLEM), thread())
    assert (first["answer"], len(first["attempts"])) == ("25", 2)
    second = graph.invoke(said(SECOND), thread())
    assert second["problem"]["text"] == SECOND
    assert (second["answer"], len(second["attempts"]), len(second["written"])) == ("36", 1, 1)
    assert [m.text for m in second["messages"]] == [PROBLEM, RIGHT, SECOND, six]


def test_new_input_ends_an_unfinished_run(memory: ReasoningMemory) -> None:
    graph = reasoning(
        WRONG, RIGHT, writes=[NOTHING], memory=memory, checkpointer=InMemorySaver(),
    )  # fmt: skip
    graph.invoke(said(SECOND), thread(), interrupt_after=["reason"])
    state = graph.invoke(said(PROBLEM), thread())
    assert (state["problem"]["text"], state["answer"]) == (PROBLEM, "25")
    assert len(state["attempts"]) == 1


def test_a_message_with_only_an_image(memory: ReasoningMemory) -> None:
    block: Any = {"type": "image", "base64": png(), "mime_type": "image/png"}
    graph = reasoning(RIGHT, writes=[NOTHING], memory=memory)
    state = graph.invoke({"messages": [HumanMessage([block])]})
    (image,) = state["problem"]["images"]
    assert (image["width"], image["height"]) == (3, 2)
    assert "base64" not in str(state["problem"])
    assert state["answer"] == "25"


def test_text_and_image_blocks_in_openai_form(memory: ReasoningMemory) -> None:
    blocks: Any = [
        {"type": "text", "text": PROBLEM},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png()}"}},
    ]
    graph = reasoning(RIGHT, writes=[NOTHING], memory=memory)
    state = graph.invoke({"messages": [HumanMessage(blocks)]})
    assert state["problem"]["text"] == PROBLEM
    assert len(state["problem"]["images"]) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "neither a problem nor messages"),
        ({"messages": []}, "neither a problem nor messages"),
        ({"messages": [AIMessage("hello")]}, "no human message"),
        ({"messages": [HumanMessage("")]}, "is empty"),
        ({"messages": [HumanMessage([{"type": "audio", "url": "x.wav"}])]}, "'audio'"),
        (
            {"messages": [HumanMessage([{"type": "image", "file_id": "f"}])]},
            "needs 'url', 'base64'",
        ),
        ({"problem": {"txt": "?"}}, "txt"),
    ],
)
def test_input_that_cannot_be_used(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reasoning(memory="off").invoke({"limits": None, **given})


@pytest.mark.parametrize("wrong", [{"checkpointer": InMemoryStore()}, {"store": InMemorySaver()}])
def test_a_store_or_checkpointer_of_the_wrong_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be a LangGraph"):
        reasoning(memory="off", **wrong)


def test_namespaces_are_filled_by_the_run(memory: ReasoningMemory) -> None:
    memory = memory.with_namespace(("team", "{user_id}"))
    parent = parent_of(
        reasoning(RIGHT, RIGHT, writes=[LESSON, NOTHING], memory=memory),
        checkpointer=InMemorySaver(),
    )
    parent.invoke(said(PROBLEM), thread("a", user_id="ada.l@example.org"))
    assert len(memory.with_namespace(("team", "ada.l@example.org")).list()) == 1
    state = parent.invoke(said(PROBLEM), thread("b", user_id="bob"))
    assert state["messages"][-1].additional_kwargs["status"] == "passed"
    assert memory.with_namespace(("team", "bob")).list() == []


@pytest.mark.parametrize("value", [None, "", ["ada"]])
def test_a_namespace_variable_without_a_usable_value(
    memory: ReasoningMemory, value: object
) -> None:
    graph = reasoning(memory=memory.with_namespace(("team", "{user_id}")))
    with pytest.raises(InputError, match="'user_id'"):
        graph.invoke(said(PROBLEM), {"configurable": {"user_id": value}})


def test_the_settings_namespace_may_be_a_template(memory: ReasoningMemory) -> None:
    settings = Settings.load(namespace=("{org}", "{user_id}"))
    graph = reasoning(RIGHT, writes=[LESSON], store=memory.store, settings=settings)
    graph.invoke(said(PROBLEM), {"configurable": {"org": "acme", "user_id": 7}})
    assert len(memory.with_namespace(("acme", "7")).list()) == 1


@pytest.mark.parametrize("label", ["{", "{user_id", "{a b}", "{0}", "{}", "{user.name}"])
def test_malformed_templates(memory: ReasoningMemory, label: str) -> None:
    graph = reasoning(memory=memory.with_namespace(("team", label)))
    with pytest.raises(InputError, match="malformed"):
        graph.invoke(said(PROBLEM), {"configurable": {"user_id": "ada"}})


async def test_a_resumed_run_stays_with_its_tenant(memory: ReasoningMemory) -> None:
    graph = reasoning(
        RIGHT, writes=[LESSON], memory=memory.with_namespace(("team", "{user_id}")),
        verifiers=[Human()], checkpointer=InMemorySaver(),
    )  # fmt: skip
    await graph.ainvoke(said(PROBLEM), thread(user_id="ada"))
    with pytest.raises(InputError, match="stays with whom it was begun for"):
        await graph.ainvoke(Command(resume="pass"), thread(user_id="bob"))
    with pytest.raises(InputError, match="needs 'user_id', got None"):
        await graph.ainvoke(Command(resume="pass"), thread())
    await graph.ainvoke(Command(resume="pass"), thread(user_id="ada"))
    assert len(memory.with_namespace(("team", "ada")).list()) == 1
    assert memory.with_namespace(("team", "bob")).list() == []


def png() -> str:
    from PIL import Image

    target = io.BytesIO()
    Image.new("RGB", (3, 2), "white").save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()
