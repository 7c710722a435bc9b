"""What one tenant writes into the state of its own run opens no other tenant's memory or runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

pytest.importorskip("mcp", reason="needs the extra `mcp`")

from mcp import Client, MCPError

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, is_25, store_at
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations import build_mcp_server
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.verifiers.function import Function
from vitarmm_agent.verifiers.human import Human

SECRET = "Ada keeps the area of a square at five times five."


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[ReasoningMemory]:
    with store_at(tmp_path / "memory") as store:
        yield ReasoningMemory(store, namespace=("team", "{user_id}"))


def agent_of(memory: ReasoningMemory | str, *, human: bool = False) -> ReasoningAgent:
    return ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*[RIGHT] * 9),
        rmm=ScriptedChatModel.of(LESSON, *[NOTHING] * 9),
        feedback=[Human()] if human else [Function(is_25, name="is_25")],
        memory=memory,
        namespace=("team", "{user_id}"),
    )


def of(user: str, thread: str = "") -> dict[str, Any]:
    return {"configurable": {"thread_id": thread or user, "user_id": user}, "recursion_limit": 40}


def entries(memory: ReasoningMemory, user: str) -> list[MemoryEntry]:
    return memory.with_namespace(("team", user)).list()


TAMPERED = {
    "namespace": ["team", "ada"],
    "decision": {"action": "retry", "reason": ""},
    "status": "running",
}


def by_update_state(agent: ReasoningAgent) -> Any:
    agent.graph.update_state(of("bob"), TAMPERED, as_node="remember")
    return agent.graph.invoke(None, of("bob"))  # type: ignore[arg-type]


def by_update_before_remember(agent: ReasoningAgent) -> Any:
    agent.graph.update_state(of("bob"), {"namespace": ["team", "ada"]}, as_node="feedback")
    return agent.graph.invoke(None, of("bob"))  # type: ignore[arg-type]


def by_command(agent: ReasoningAgent) -> Any:
    changed = {"namespace": ["team", "ada"], "problem": {"text": PROBLEM}}
    asyncio.run(agent.graph.ainvoke(Command(update=TAMPERED, goto="recall"), of("bob")))
    return agent.graph.invoke(Command(update=changed, goto="remember"), of("bob"))


@pytest.mark.parametrize("way", [by_update_state, by_update_before_remember, by_command])
def test_a_client_that_writes_state_stays_in_its_own_memory(
    memory: ReasoningMemory, way: Any
) -> None:
    agent = agent_of(memory)
    agent.solve(PROBLEM, thread_id="ada", configurable={"user_id": "ada"})
    before = entries(memory, "ada")
    assert len(before) == 1
    agent.solve(PROBLEM, thread_id="bob", configurable={"user_id": "bob"})
    with pytest.raises(InputError, match="stays with whom it was begun for"):
        way(agent)
    assert entries(memory, "ada") == before
    values = agent.graph.get_state(of("bob")).values
    assert before[0].content not in json.dumps(values["recalls"])


def test_a_client_that_names_itself_another_is_the_servers_to_refuse(
    memory: ReasoningMemory,
) -> None:
    """The configurable is who calls; on a server, that is what authentication fills in."""
    agent = agent_of(memory, human=True)
    agent.solve(PROBLEM, thread_id="t", configurable={"user_id": "ada"})
    for someone in ({"user_id": "bob"}, {}):
        with pytest.raises(InputError, match=r"stays with whom|needs 'user_id'"):
            agent.resume("t", "pass", configurable=someone)
        with pytest.raises(InputError, match=r"stays with whom|needs 'user_id'"):
            agent.judge("t", "fail", configurable=someone)
        assert agent.result("t").status == "interrupted"  # nobody else's verdict was taken
    assert entries(memory, "ada") == entries(memory, "bob") == []
    assert agent.resume("t", "pass", configurable={"user_id": "ada"}).passed
    assert len(entries(memory, "ada")) == 1


async def refused(client: Client, tool: str, thread: str) -> str:
    result = await client.call_tool(tool, {"thread": thread})
    assert result.is_error
    return "".join(block.text for block in result.content if block.type == "text")


@pytest.mark.parametrize("with_memory", [True, False])
async def test_a_client_of_one_tenant_sees_no_run_of_another(
    memory: ReasoningMemory, with_memory: bool
) -> None:
    agent = agent_of(memory if with_memory else "off", human=True)
    problem = {"text": f"{PROBLEM} {SECRET}"}
    await agent.asolve(problem, thread_id="adas", configurable={"user_id": "ada"})
    async with Client(build_mcp_server(agent, configurable={"user_id": "bob"})) as bob:
        solved = await bob.call_tool("solve", {"problem": "What is 5 * 5?"})
        own = solved.structured_content["thread"]  # type: ignore[index]
        told = {tool: await refused(bob, tool, "adas") for tool in ("explain", "resume")}
        for tool, words in told.items():
            missing = await refused(bob, tool, "nobodys")
            assert words.replace("adas", "nobodys") == missing and SECRET not in words
        (listed,) = (await bob.read_resource("vitarmm://runs")).contents
        runs = json.loads(listed.text)  # type: ignore[union-attr]
        assert [run["thread_id"] for run in runs] == [own]
        with pytest.raises(MCPError, match="there is no run 'adas'"):
            await bob.read_resource("vitarmm://runs/adas")
        assert "Problem: What is 5 * 5?" in str(await bob.call_tool("explain", {"thread": own}))
    assert (await agent.aresult("adas")).status == "interrupted"  # nobody resumed it
    async with Client(build_mcp_server(agent, configurable={"user_id": "ada"})) as ada:
        answer = {"thread": "adas", "verdict": "pass"}
        resumed = await ada.call_tool("resume", answer)
        assert resumed.structured_content["status"] == "passed"  # type: ignore[index]


async def test_what_a_client_wrote_is_shown_with_its_name(memory: ReasoningMemory) -> None:
    agent = agent_of(memory)
    async with Client(build_mcp_server(agent, configurable={"user_id": "bob"})) as bob:
        lesson = {"content": "Multiply the two sides.", "applies_when": PROBLEM}
        await bob.call_tool("remember", lesson)
    result = await agent.asolve(PROBLEM, configurable={"user_id": "bob"})
    prompt = json.dumps(result.attempts[0].prompt)
    assert "from MCP client)" in prompt and "from a person" not in prompt
