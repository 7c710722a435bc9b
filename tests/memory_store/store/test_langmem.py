"""LangMem's memory tools on our store, in a real graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langmem import create_manage_memory_tool, create_search_memory_tool

from tests.memory_store.conftest import index_config
from vitarmm_agent.memory_store import ChromaStore


def graph(store: ChromaStore) -> Any:
    namespace = ("memories", "{user}")
    tools = [create_manage_memory_tool(namespace), create_search_memory_tool(namespace)]
    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "tools")
    return builder.compile(store=store)


def ask(compiled: Any, name: str, user: str = "u1", **arguments: Any) -> str:
    message = AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id="1")])
    config = {"configurable": {"user": user}}
    answer = compiled.invoke({"messages": [HumanMessage("hi"), message]}, config)
    return str(answer["messages"][-1].content)


def test_manage_and_search(tmp_path: Path) -> None:
    with ChromaStore(tmp_path, index=index_config(["content"])) as store:
        compiled = graph(store)
        made = ask(compiled, "manage_memory", action="create", content="likes dark mode themes")
        ask(compiled, "manage_memory", action="create", content="owns a red bicycle")
        ask(compiled, "manage_memory", user="u2", action="create", content="likes light mode")
        found = json.loads(ask(compiled, "search_memory", query="likes mode themes", limit=1))
        assert [row["value"]["content"] for row in found] == ["likes dark mode themes"]
        name = made.split()[-1]
        ask(compiled, "manage_memory", action="update", id=name, content="likes solarized themes")
        item = store.get(("memories", "u1"), name)
        assert item is not None and item.value["content"] == "likes solarized themes"
        ask(compiled, "manage_memory", action="delete", id=name)
        assert store.get(("memories", "u1"), name) is None
    with ChromaStore(tmp_path, index=index_config(["content"])) as store:
        assert len(store.search(("memories",))) == 2


async def test_asynchronously(tmp_path: Path) -> None:
    with ChromaStore(tmp_path, index=index_config(["content"])) as store:
        compiled = graph(store)
        call = ToolCall(name="manage_memory", args={"action": "create", "content": "x y"}, id="1")
        config = {"configurable": {"user": "u1"}}
        await compiled.ainvoke({"messages": [AIMessage("", tool_calls=[call])]}, config)
        assert len(await store.asearch(("memories", "u1"), query="x")) == 1
