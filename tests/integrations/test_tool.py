"""The agent and its memory as LangChain tools, alone and inside ``create_agent``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, MakeAgent
from vitarmm_agent.integrations import memory_tools
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel

LESSON_ARGUMENTS = {
    "content": "Multiply the side by itself.",
    "title": "Area of a square",
    "applies_when": "the area of a square is asked",
    "entry_type": "insight",
}


def calling(name: str, **arguments: Any) -> dict[str, Any]:
    """A scripted reply that calls one tool."""
    return {"tool_calls": [{"name": name, "args": arguments, "id": f"call-{name}"}]}


def tool_answers(messages: list[Any]) -> list[str]:
    return [str(message.content) for message in messages if isinstance(message, ToolMessage)]


def by_name(tools: list[BaseTool]) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in tools}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agent_calls_the_solver(make_agent: MakeAgent, asynchronous: bool) -> None:
    solver = make_agent(RIGHT, writes=[LESSON])
    chat = ScriptedChatModel.of(calling("solve_problem", problem=PROBLEM), "It is 25.")
    outer = create_agent(chat, tools=[solver.as_tool()], checkpointer=InMemorySaver())
    asked: Any = {"messages": [HumanMessage("How large is it?")]}
    config: Any = {"configurable": {"thread_id": "outer"}}
    if asynchronous:
        state = await outer.ainvoke(asked, config)
    else:
        state = await asyncio.to_thread(outer.invoke, asked, config)
    (answer,) = tool_answers(state["messages"])
    assert answer.startswith("25 (passed: ")
    thread = answer.rstrip(")").rpartition("run ")[2]
    assert solver.result(thread).written[0]["operations"]
    assert state["messages"][-1].text == "It is 25."


async def test_memory_tools_in_an_agent(memory: ReasoningMemory) -> None:
    chat = ScriptedChatModel.of(
        calling("remember", **LESSON_ARGUMENTS), calling("recall", question=PROBLEM), "Done."
    )
    outer = create_agent(chat, tools=memory_tools(memory))
    state = await outer.ainvoke({"messages": [HumanMessage("Learn this.")]})
    added, recalled = tool_answers(state["messages"])
    (entry,) = memory.list()
    assert added == f"added {entry.id}"
    assert recalled.startswith(f"{entry.id}: [INSIGHT] Area of a square: Multiply the side")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_tools_alone(memory: ReasoningMemory, asynchronous: bool) -> None:
    tools = by_name(memory_tools(memory))

    async def use(name: str, **arguments: Any) -> str:
        tool = tools[name]
        return await tool.ainvoke(arguments) if asynchronous else tool.invoke(arguments)

    assert (await use("recall", question=PROBLEM)).startswith("nothing fits (")
    assert (await use("remember", **LESSON_ARGUMENTS)).startswith("added m-")
    (entry,) = memory.list()
    assert entry.provenance.writer == "tool"
    assert await use("forget", entry_id=entry.id) == f"forgot {entry.id}"
    assert memory.list() == []


def test_the_same_lesson_is_kept_once(memory: ReasoningMemory) -> None:
    remember = by_name(memory_tools(memory))["remember"]
    first, second = remember.invoke(LESSON_ARGUMENTS), remember.invoke(LESSON_ARGUMENTS)
    assert first.startswith("added ")
    assert not second.startswith("added ")
    assert len(memory.list()) == 1


def test_what_cannot_be_done_is_told_to_the_model(memory: ReasoningMemory) -> None:
    tools = by_name(memory_tools(memory))
    assert "there is no entry 'm-none'" in tools["forget"].invoke({"entry_id": "m-none"})
    assert "is empty" in tools["recall"].invoke({"question": "  "})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("recall", {}),
        ("remember", {"content": "x", "entry_type": "opinion"}),
        ("remember", {"content": "x", "confidence": 2}),
        ("remember", {"content": ""}),
        ("forget", {"entry": "m-1"}),
    ],
)
def test_bad_arguments_are_refused(
    memory: ReasoningMemory, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        by_name(memory_tools(memory))[name].invoke(arguments)
    assert memory.list() == []


async def test_an_agent_goes_on_after_bad_arguments(make_agent: MakeAgent) -> None:
    solver = make_agent(RIGHT, writes=[NOTHING])
    chat = ScriptedChatModel.of(
        calling("solve_problem", question=PROBLEM),
        calling("solve_problem", problem=PROBLEM),
        "It is 25.",
    )
    state = await create_agent(chat, tools=[solver.as_tool()]).ainvoke(
        {"messages": [HumanMessage("?")]}
    )
    refused, answered = tool_answers(state["messages"])
    assert "problem" in refused
    assert answered.startswith("25 (passed")


async def test_an_unusable_problem_is_told_to_the_model(make_agent: MakeAgent) -> None:
    tool = make_agent().as_tool()
    assert "is empty" in await tool.ainvoke({"problem": "  "})


async def test_tools_work_for_the_callers_tenant(memory: ReasoningMemory) -> None:
    memory = memory.with_namespace(("team", "{user_id}"))
    tools = by_name(memory_tools(memory))
    ada: Any = {"configurable": {"user_id": "ada"}}
    await tools["remember"].ainvoke(LESSON_ARGUMENTS, ada)
    assert (await tools["recall"].ainvoke({"question": PROBLEM}, ada)).startswith("m-")
    bob: Any = {"configurable": {"user_id": "bob"}}
    assert (await tools["recall"].ainvoke({"question": PROBLEM}, bob)).startswith("nothing fits")
    assert "needs 'user_id'" in await tools["recall"].ainvoke({"question": PROBLEM})


async def test_the_solver_gets_the_callers_tenant(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    solver = make_agent(RIGHT, writes=[LESSON], memory=memory.with_namespace(("team", "{user_id}")))
    chat = ScriptedChatModel.of(calling("solve_problem", problem=PROBLEM), "It is 25.")
    outer = create_agent(chat, tools=[solver.as_tool()], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "outer", "user_id": "ada"}}
    await outer.ainvoke({"messages": [HumanMessage("?")]}, config)
    assert len(memory.with_namespace(("team", "ada")).list()) == 1
    assert memory.list() == []
