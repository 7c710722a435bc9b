"""The graph on a real LangGraph server (``langgraph dev``), with the SDK's client.

The server raises on a blocking call in the event loop, so every run here also shows that there is
none.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("langgraph_api", reason="needs the extra `server`")

from langgraph_sdk import get_client

from tests.docs.test_code_blocks import blocks_of
from tests.integrations.conftest import LESSON, PROBLEM, RIGHT, WRONG
from tests.integrations.test_subgraph import png
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import read_trace

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 120


class DevServer:
    """``langgraph dev`` in a process of its own, over this repository's ``langgraph.json``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        folder.mkdir(exist_ok=True)
        for name in ("graphs", "langgraph.json"):
            (folder / name).symlink_to(ROOT / name)

    def start(self, replies: list[Any], **settings: str) -> Any:
        """Start it with a script for all models, and return a client."""
        script = self.folder / "script.json"
        script.write_text(json.dumps(replies), encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(Path(sys.executable).with_name("langgraph")), "dev", "--no-browser", "--no-reload",
            "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "VITARMM_DATA_DIR": str(self.folder / "data"),
            "VITARMM_REASONER": f"scripted:{script}",
            "VITARMM_MEMORY": "off",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        while True:
            with (self.folder / "server.log").open("ab") as log:
                begun = log.tell()
                self.process = subprocess.Popen(
                    command, cwd=self.folder, env=environment, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
            if self._answers():
                return get_client(url=self.url)
            # Two threads of langgraph dev set up logging at once, and at times one sees a half-made
            # handler. It dies of that before it serves anything.
            if "'StreamHandler' object has no attribute 'lock'" not in self.log[begun:]:
                pytest.fail(f"langgraph dev did not start:\n{self.log[-3000:]}")

    def kill(self) -> None:
        """Kill it as the system would, in the middle of whatever it does."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        assert self.process is not None
        while True:
            try:
                if httpx.get(f"{self.url}/ok", timeout=5).status_code == 200:
                    return True
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DevServer]:
    running = DevServer(tmp_path / "server")
    yield running
    running.stop()


def problem(text: str = PROBLEM) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


JUDGED = {
    "VITARMM_FEEDBACK": "judge",
    "VITARMM_JUDGE_PASS_PRECISION": "0.9",
    "VITARMM_JUDGE_FAIL_PRECISION": "0.9",
}


def judged(verdict: str) -> dict[str, Any]:
    """A scripted judgement."""
    opinion = {"step": 1, "check": "the product", "verdict": verdict}
    if verdict == "wrong":
        opinion |= {"mistake": "four is not the side", "kind": "misread quantity"}
    return {"structured": {"steps": [opinion], "verdict": verdict}}


async def test_stream_threads_and_a_person(server: DevServer) -> None:
    """One server for all of it: starting one takes seconds."""
    client = server.start(
        [WRONG, RIGHT, "1. The area is 6 * 6 = 36.\nAnswer: 36"], VITARMM_FEEDBACK="human"
    )
    (assistant,) = await client.assistants.search(graph_id="reasoning")
    thread = await client.threads.create()

    modes = ["updates", "messages-tuple", "custom"]
    parts = [
        part
        async for part in client.runs.stream(
            thread["thread_id"], assistant["assistant_id"], input=problem(), stream_mode=modes,
            context={"stream_tokens": True},
        )
    ]  # fmt: skip
    assert [p for p in parts if p.event == "error"] == [], server.log[-3000:]
    events = [part.data for part in parts if part.event == "custom"]
    assert [event["event"] for event in events if event["event"] != "attempt_token"] == ["recalled"]
    tokens = [event["text"] for event in events if event["event"] == "attempt_token"]
    assert "".join(tokens) == WRONG
    assert len(tokens) > 3

    state = await client.threads.get_state(thread["thread_id"])
    (waiting,) = state["interrupts"]
    assert waiting["value"]["attempt"]["answer"] == "20"

    reply = {"verdict": "fail", "message": "four is not the side", "step": 1}
    await client.runs.wait(thread["thread_id"], "reasoning", command={"resume": reply})
    final = await client.runs.wait(thread["thread_id"], "reasoning", command={"resume": "pass"})
    assert (final["answer"], final["status"], len(final["attempts"])) == ("25", "passed", 2)

    await client.runs.wait(
        thread["thread_id"], "reasoning",
        input=problem("A square has a side of 6 cm. What is its area?"),
    )  # fmt: skip
    final = await client.runs.wait(thread["thread_id"], "reasoning", command={"resume": "pass"})
    assert (final["answer"], len(final["attempts"])) == ("36", 1)
    assert [message["type"] for message in final["messages"]] == ["human", "ai", "human", "ai"]

    other = await client.threads.create()
    refuses_other_sites(server.url, other["thread_id"])
    assert (await client.threads.get_state(other["thread_id"]))["values"] in ({}, None)
    history = await client.threads.get_history(thread["thread_id"], limit=50)
    assert len(history) > 8
    assert "Blocking call" not in server.log

    settings = Settings.load(data_dir=server.folder / "data")
    trace = read_trace(open_checkpoints(settings.checkpoints_path), thread["thread_id"])
    assert trace.result.answer == "36"


def refuses_other_sites(url: str, thread_id: str) -> None:
    """What any web site can have a browser send while the server runs: nothing of it is done."""
    run = json.dumps({"assistant_id": "reasoning", "input": problem()})
    address = f"{url}/threads/{thread_id}/runs/wait"
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
    ):
        plain = {"content-type": "text/plain", **headers}  # what needs no preflight
        assert httpx.post(address, content=run, headers=plain).status_code in (403, 421)
        assert httpx.get(f"{url}/info", headers=headers).status_code in (403, 421)
    asks = {
        "origin": "https://evil.example", "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }  # fmt: skip
    preflight = httpx.options(address, headers=asks)
    allowed = [name for name in preflight.headers if name.startswith("access-control-allow")]
    assert (preflight.status_code, allowed) == (403, [])


async def test_a_killed_server_resumes_the_thread(server: DevServer) -> None:
    client = server.start([WRONG, judged("wrong"), {"content": RIGHT, "delay": 60}],
                          **JUDGED)  # fmt: skip
    thread = await client.threads.create()
    thread_id = thread["thread_id"]
    await client.runs.create(thread_id, "reasoning", input=problem())
    deadline = time.monotonic() + 60
    while True:
        state = await client.threads.get_state(thread_id)
        if state["next"] == ["reason"] and state["values"]["iteration"] == 2:
            break
        assert time.monotonic() < deadline, server.log[-3000:]
    server.kill()

    client = server.start([RIGHT, judged("right"), RIGHT, judged("right")], **JUDGED)
    await client.threads.create(thread_id=thread_id, if_exists="do_nothing")
    final = await client.runs.wait(thread_id, "reasoning", input=None)
    assert (final["answer"], final["status"]) == ("25", "passed"), server.log[-3000:]
    assert [attempt["answer"] for attempt in final["attempts"]] == ["20", "25"]
    assert documented_program(server.url) == "25\n"
    assert "Blocking call" not in server.log


def documented_program(url: str) -> str:
    """What the row "a LangGraph server" of ``docs/use-it-from.md`` prints."""
    (code,) = (b.code for b in blocks_of(ROOT / "docs" / "use-it-from.md") if "sdk" in b.code)
    own = code.replace("http://127.0.0.1:2024", url)
    assert own != code
    return subprocess.run([sys.executable, "-c", own], stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.weights
async def test_memory_and_images_block_no_loop(
    server: DevServer, tmp_path: Path, weights: Callable[[str], Path]
) -> None:
    weights("all-minilm-l6-v2")
    client = server.start(
        [RIGHT, judged("right"), LESSON],
        **JUDGED,
        VITARMM_MEMORY=str(tmp_path / "memory"),
        VITARMM_NAMESPACE='["team", "{user_id}"]',
    )
    blocks: list[Any] = [
        {"type": "text", "text": PROBLEM},
        {"type": "image", "base64": png(), "mime_type": "image/png"},
    ]
    final = await client.runs.wait(
        None, "reasoning", input={"messages": [{"role": "user", "content": blocks}]},
        config={"configurable": {"user_id": "ada"}},
    )  # fmt: skip
    assert final["answer"] == "25", server.log[-3000:]
    assert final["written"][0]["operations"][0]["kind"] == "added"
    assert final["problem"]["images"][0]["width"] == 3
    assert "Blocking call" not in server.log


@pytest.mark.slow
async def test_old_runs_go_and_their_thread_is_used_again(server: DevServer) -> None:
    client = server.start(
        [RIGHT, RIGHT],
        VITARMM_FEEDBACK="arithmetic",
        VITARMM_UPKEEP_HOURS="0.001",
        VITARMM_KEEP_RUNS="0min",
    )
    thread = (await client.threads.create())["thread_id"]
    for _ in range(2):
        ended = await client.runs.wait(thread, "reasoning", input=problem())
        assert ended["answer"] == "25"
        deadline = time.monotonic() + 60
        while (await client.threads.get_state(thread))["values"]:
            assert time.monotonic() < deadline, server.log[-2000:]
            await asyncio.sleep(0.5)
    assert "upkeep removed 1 runs" in server.log
