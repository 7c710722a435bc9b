"""The FastAPI example on a real server: a client that leaves, and the run that is gone on with."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.scripts import QUESTION, RIGHT, WRONG
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.traces import read_trace

pytest.importorskip("fastapi")
EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
SLOW = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a uvicorn process whose model takes :data:`SLOW` seconds for a second reply."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps([WRONG, {"content": RIGHT, "delay": SLOW}, RIGHT]))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "VITARMM_REASONER": f"scripted:{script}",
        "VITARMM_FEEDBACK": "arithmetic",
        "VITARMM_MEMORY": "off",
        "VITARMM_DATA_DIR": str(tmp_path / "data"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--port", str(port)],
        cwd=EXAMPLES, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield _answering(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _answering(url: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/openapi.json")
            return url
        except httpx.TransportError:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_a_client_that_leaves_in_the_middle_can_go_on(server: str, tmp_path: Path) -> None:
    with httpx.stream("POST", f"{server}/runs", json={"text": QUESTION}, timeout=30) as answer:
        thread = answer.headers["X-Thread-Id"]
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if (event["event"], event["iteration"]) == ("recalled", 2):
                    break
    time.sleep(SLOW + 1)  # nobody goes on with it meanwhile
    kept = open_checkpoints(tmp_path / "data" / "traces.sqlite")
    left = read_trace(kept, thread)
    assert [attempt.answer for attempt in left.result.attempts] == ["36"]
    assert left.moments[-1].next  # it has not ended
    resumed = httpx.post(f"{server}/runs/{thread}/resume", timeout=30)
    assert resumed.json()["answer"] == "25"
    ended = read_trace(kept, thread)
    assert [attempt.answer for attempt in ended.result.attempts] == ["36", "25"]
    assert ended.moments[-1].next == ()
    assert httpx.post(f"{server}/runs/nothing/resume", timeout=30).status_code == 404
