"""The MCP server, with the SDK's own client: in process, over stdio, over streamable HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

pytest.importorskip("mcp", reason="needs the extra `mcp`")

from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from starlette.testclient import TestClient

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent
from tests.integrations.test_subgraph import png
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.integrations import build_mcp_server
from vitarmm_agent.integrations.mcp import http_app
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.verifiers.human import Human

TOKEN = "a-token-that-is-long-enough"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TOOLS = {"solve", "resume", "judge", "explain", "teach", "recall", "remember", "forget"}
JUDGED_RIGHT = {
    "structured": {
        "steps": [{"step": 1, "check": "5 * 5 = 25", "verdict": "right"}],
        "verdict": "right",
    }
}


def text_of(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if block.type == "text")


def answer_of(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


async def read_json(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert content.mime_type == "application/json"
    return json.loads(content.text)  # type: ignore[union-attr]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """The newest protocol, and the one from before 2026 with its handshake."""
    return str(request.param)


async def test_solving_reports_progress_and_can_be_explained(
    make_agent: MakeAgent, mode: str
) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, LESSON])
    progress: list[tuple[float, float | None, str | None]] = []

    async def heard(done: float, total: float | None, message: str | None) -> None:
        progress.append((done, total, message))

    async with Client(build_mcp_server(agent), mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        called = await client.call_tool("solve", {"problem": PROBLEM}, progress_callback=heard)
        solved = answer_of(called)
        told = await client.call_tool("explain", {"thread": solved["thread"]})
    assert (solved["answer"], solved["status"], solved["attempts"]) == ("25", "passed", 2)
    assert solved["written"] == [entry.id for entry in agent.memory.list()]  # type: ignore[union-attr]
    done = [step for step, _, _ in progress]
    assert done == sorted(done)
    assert progress[-1][:2] == (12, 12)
    messages = " | ".join(str(message) for _, _, message in progress)
    assert "iteration 1: fail (is_25)" in messages
    assert "iteration 2: pass (is_25)" in messages
    for expected in (PROBLEM, "Iteration 2", "is_25 says fail", "Memory added m-", "Answer: 25"):
        assert expected in text_of(told)


async def test_memory_tools_and_resources(make_agent: MakeAgent, mode: str) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])
    async with Client(build_mcp_server(agent), mode=mode) as client:
        lesson = {
            "content": "Square the side.",
            "applies_when": "area of a square",
            "title": "Area",
        }
        assert text_of(await client.call_tool("remember", lesson)).startswith("added m-")
        (entry,) = agent.memory.list()  # type: ignore[union-attr]
        recalled = text_of(await client.call_tool("recall", {"question": "area of a square"}))
        assert recalled.startswith(f"{entry.id}: [INSIGHT] Area: Square the side.")
        shown = await read_json(client, f"vitarmm://entries/{entry.id}")
        assert shown["content"] == "Square the side."
        assert shown["provenance"]["writer"] == "MCP client"
        forgotten = await client.call_tool("forget", {"entry_id": entry.id})
        assert text_of(forgotten) == f"forgot {entry.id}"
        assert agent.memory.list() == []  # type: ignore[union-attr]

        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        (run,) = await read_json(client, "vitarmm://runs")
        assert (run["thread_id"], run["answer"]) == (solved["thread"], "25")
        trace = await read_json(client, f"vitarmm://runs/{solved['thread']}")
        assert trace["result"]["attempts"][0]["text"] == RIGHT


async def test_what_cannot_be_done_is_told(make_agent: MakeAgent) -> None:
    async with Client(build_mcp_server(make_agent())) as client:

        async def fault(tool: str, **arguments: Any) -> str:
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            return text_of(result)

        assert "is empty" in await fault("solve", problem=" ")
        assert "problem" in await fault("solve", question=PROBLEM)
        assert "reads no files" in await fault("solve", problem="?", images=["/etc/passwd"])
        assert "not valid base64" in await fault(
            "solve", problem="?", images=["data:image/png;base64,§"]
        )
        assert "no run 'x'" in await fault("explain", thread="x")
        assert "no run 'x'" in await fault("resume", thread="x")
        assert "there is no entry" in await fault("forget", entry_id="m-x")
        assert "content" in await fault("remember", content="")
        assert "confidence" in await fault("remember", content="x", confidence=3)
        for uri in ("vitarmm://runs/x", "vitarmm://entries/x"):
            with pytest.raises(MCPError, match="no run|no entry"):
                await client.read_resource(uri)


async def test_a_bug_is_not_shown_to_the_client(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    agent = make_agent()  # its script is empty: the reasoner fails
    async with Client(build_mcp_server(agent)) as client:
        result = await client.call_tool("solve", {"problem": PROBLEM})
    assert result.is_error
    assert memory.list() == []


async def test_images_come_as_data_urls(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])
    image = f"data:image/png;base64,{png()}"
    async with Client(build_mcp_server(agent)) as client:
        called = await client.call_tool("solve", {"problem": PROBLEM, "images": [image]})
    (stored,) = agent.result(answer_of(called)["thread"]).problem.images
    assert (stored.width, stored.height) == (3, 2)


async def test_a_run_that_waits_for_a_person_is_resumed(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING], feedback=[Human()])
    async with Client(build_mcp_server(agent)) as client:
        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        assert (solved["answer"], solved["status"]) == (None, "interrupted")
        reply = {"thread": solved["thread"], "verdict": "pass"}
        resumed = answer_of(await client.call_tool("resume", reply))
    assert (resumed["answer"], resumed["status"]) == ("25", "passed")


async def test_a_client_that_leaves_ends_the_call_and_the_run_can_be_resumed(
    make_agent: MakeAgent,
) -> None:
    agent = make_agent({"content": RIGHT, "delay": 30}, RIGHT, writes=[NOTHING])
    async with Client(build_mcp_server(agent)) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.call_tool("solve", {"problem": PROBLEM})
        run = {"status": "running"}
        async with asyncio.timeout(60):
            while run["status"] == "running":  # the server hears of it on its own time
                (run,) = await read_json(client, "vitarmm://runs")
        assert run["status"] == "died"
        assert agent.result(run["thread_id"]).stopped_because == "it was cancelled"
        resumed = answer_of(await client.call_tool("resume", {"thread": run["thread_id"]}))
    assert resumed["answer"] == "25"
    assert leaked_tasks() == []


async def test_a_tenant_for_all_clients(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    template = memory.with_namespace(("team", "{user_id}"))
    agent = make_agent(RIGHT, writes=[LESSON], memory=template)
    async with Client(build_mcp_server(agent, configurable={"user_id": "ada"})) as client:
        answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        recalled = text_of(await client.call_tool("recall", {"question": PROBLEM}))
    assert "Area of a square" in recalled
    assert len(memory.with_namespace(("team", "ada")).list()) == 1


async def test_without_memory_there_are_no_memory_tools(make_agent: MakeAgent) -> None:
    async with Client(build_mcp_server(make_agent(memory="off"))) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
    assert tools == {"solve", "resume", "judge", "explain"}


def leaked_tasks() -> list[str]:
    """Tasks of this loop that run nodes or flows of ours."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return [repr(task) for task in others if "reasoning" in repr(task) or "effects" in repr(task)]


# the command


@pytest.fixture
def command(tmp_path: Path, own_data_dir: Path) -> list[str]:
    """``vitarmm mcp`` with a script for reasoner and judge."""
    script = tmp_path / "script.json"
    replies = [{"content": RIGHT}, JUDGED_RIGHT]
    script.write_text(json.dumps(replies), encoding="utf-8")
    options = ["--reasoner", f"scripted:{script}", "--memory", "off", "--feedback", "judge"]
    return [sys.executable, "-m", "vitarmm_agent.cli", "mcp", *options]


def environment(own_data_dir: Path) -> dict[str, str]:
    own = {"VITARMM_DATA_DIR": str(own_data_dir), "VITARMM_JUDGE_PASS_PRECISION": "0.9"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1"}


async def test_the_command_over_stdio(command: list[str], own_data_dir: Path) -> None:
    server = StdioServerParameters(
        command=command[0], args=command[1:], env=environment(own_data_dir)
    )
    async with Client(stdio_client(server)) as client:
        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        assert (solved["answer"], solved["status"]) == ("25", "passed")
    assert ReasoningAgent.open(memory="off", reasoner=command[5]).result(solved["thread"]).passed


@asynccontextmanager
async def serving(command: list[str], own_data_dir: Path, *more: str) -> AsyncIterator[str]:
    """``vitarmm mcp --http`` on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--http", "--port", str(port), *more],
        env=environment(own_data_dir),
        stderr=subprocess.DEVNULL,
    )
    try:
        await asyncio.to_thread(_wait_for, port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


async def test_the_command_over_http(command: list[str], own_data_dir: Path) -> None:
    async with serving(command, own_data_dir, "--token", TOKEN) as url, knowing() as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        async with Client(streamable_http_client(url, http_client=http), mode="legacy") as older:
            told = await older.call_tool("explain", {"thread": solved["thread"]})
            assert older.protocol_version < "2026"
        rebinding = httpx.post(url, json={}, headers={"Host": "evil.example"} | BEARER)
    assert solved["answer"] == "25"
    assert "Answer: 25" in text_of(told)
    assert rebinding.status_code in (403, 421)


def knowing() -> httpx2.AsyncClient:
    """A client that sends the token."""
    return httpx2.AsyncClient(headers=BEARER)


async def test_a_token_is_asked_for(command: list[str], own_data_dir: Path) -> None:
    async with serving(command, own_data_dir, "--token", TOKEN) as url:
        refused = httpx.post(url, json={})
        wrong = httpx.post(url, json={}, headers={"Authorization": "Bearer other"})
        right = httpx.post(url, json={}, headers=BEARER)
    assert (refused.status_code, wrong.status_code) == (401, 401)
    assert right.status_code != 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 400), (f"bearer {TOKEN}", 400), (f"BEARER  {TOKEN} ", 400),
        ("Bearer other", 401), (f"Basic {TOKEN}", 401), (TOKEN, 401), ("Bearer", 401), ("", 401),
        (f"Bearer{TOKEN}", 401), (f"Bearer {TOKEN} more", 401),
    ],
)  # fmt: skip
def test_the_scheme_of_a_token_may_be_written_in_any_case(
    header: str, status: int, make_agent: MakeAgent
) -> None:
    """RFC 9110, 11.1. The 400 is of a request without a method."""
    app = http_app(build_mcp_server(make_agent()), token=TOKEN)
    with TestClient(app, base_url="http://127.0.0.1:8765") as visitor:
        assert (
            visitor.post("/mcp", json={}, headers={"authorization": header}).status_code == status
        )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "agents.example.com"}, 400),
        ({"host": "agents.example.com:8443"}, 400),
        ({"host": "localhost"}, 400),
        ({"host": "127.0.0.1:8765"}, 400),
        ({"host": "[::1]:8765"}, 400),
        ({"host": "evil.example.com"}, 421),
        ({"host": "agents.example.com.evil.example"}, 421),
        ({"host": "agents.example.com", "origin": "https://ui.example.com"}, 400),
        ({"host": "agents.example.com", "origin": "https://evil.example.com"}, 403),
    ],
)
def test_behind_a_proxy_its_name_is_answered(
    headers: dict[str, str], status: int, make_agent: MakeAgent
) -> None:
    app = http_app(
        build_mcp_server(make_agent()),
        token=TOKEN,
        hosts=["agents.example.com"],
        origins=["https://ui.example.com"],
    )
    with TestClient(app, base_url="http://127.0.0.1:8765") as visitor:
        assert visitor.post("/mcp", json={}, headers=headers | BEARER).status_code == status


async def test_the_command_is_told_the_proxys_name(
    command: list[str], own_data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITARMM_SERVER_HOSTS", '["one.example"]')
    more = ("--token", TOKEN, "--allow-host", "two.example")
    async with serving(command, own_data_dir, *more) as url:
        told = {
            host: httpx.post(url, json={}, headers={"Host": host} | BEARER).status_code
            for host in ("one.example", "two.example", "three.example")
        }
    assert told == {"one.example": 400, "two.example": 400, "three.example": 421}


def test_an_open_address_needs_a_token(command: list[str], own_data_dir: Path) -> None:
    shown = subprocess.run(
        [*command, "--http", "--host", "0.0.0.0"],
        env=environment(own_data_dir),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 2
    assert "--token" in shown.stderr


@pytest.mark.parametrize("given", ["user_id", "=ada", "a b=c"])
def test_malformed_settings_of_the_namespace(
    command: list[str], own_data_dir: Path, given: str
) -> None:
    shown = subprocess.run(
        [*command, "--set", given],
        env=environment(own_data_dir),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 2
    assert "NAME=VALUE" in shown.stderr
