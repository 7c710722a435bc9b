"""Every example runs, against real memory and checkpoints and a scripted model."""

from __future__ import annotations

import ast
import inspect
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.docs.conftest import ATTEMPT, ROOT
from tests.docs.hosted import hosted_model

EXAMPLES = ROOT / "docs" / "examples"
RUN_HERE = {
    "chat_agent.py",
    "learning_agent.py",
    "sample_app.py",
    "supervisor.py",
    "own_verifier.py",
    "own_store.py",
    "fastapi_app.py",
    "vllm_server.py",
    "vita_gpu.py",
    "image_problems.ipynb",
    "claude_desktop_config.json",
}
RUN_ELSEWHERE = {
    "train_rmm.sh",  # tests/training/test_script.py
    "langgraph.json",  # tests/integrations/test_own_app.py
    "compose.yaml",  # needs Docker: read below, and not run
    "later_verdicts.py", "openai_client.py", "mcp_person.py",  # tests/docs/test_later_verdicts.py
}  # fmt: skip
pytestmark = pytest.mark.weights


def run_example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_the_compose_file_names_the_servers_of_the_page_on_scaling() -> None:
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text("utf-8"))["services"]
    assert set(services) == {"postgres", "chroma", "vllm"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), (
            "open to nobody else"
        )


def test_no_example_is_left_out() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"}
    assert found == RUN_HERE | RUN_ELSEWHERE


def test_chat_agent(rehearsal: Path, capsys: pytest.CaptureFixture[str],
                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["chat_agent.py", "How large is it?"])
    monkeypatch.setenv("VITARMM_FEEDBACK", "arithmetic,judge")
    monkeypatch.setenv("VITARMM_JUDGE_PASS_PRECISION", "0.9")
    names = run_example("chat_agent.py")
    shown = capsys.readouterr().out
    assert "25 (passed: " in shown
    assert "It is 25 cm²." in shown
    ada = names["solver"].memory.with_namespace(("team", "ada"))
    assert [entry.title for entry in ada.list()] == ["Area of a square from its perimeter"]


def test_learning_agent(rehearsal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("learning_agent.py")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "It is 25 cm²."
    assert told[1].startswith("abstained ['called solve_problem")


def test_sample_app(rehearsal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mcp")
    run_example("sample_app.py")
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("1 25 shown the memory has no entry")
    assert told[1:] == [
        "25 passed ['added']", "True 3", "0 ()",
        "['area-of-a-square-from-its-perimeter', 'sides']", "failed", "4 vitarmm",
        "25 cm² 1", "25 abstained", "25 abstained",
    ]  # fmt: skip


MISSPELT = """
from vitarmm_agent import ReasoningAgent
ReasoningAgent.open(max_iterations=2, verifiers=["arithmetic", lambda problem, attempt: True])
ReasoningAgent.open(max_iteration=2)
ReasoningAgent.open(verifiers=[7])
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)  # where there is no cache of mypy's; `make types` reads the app as well
def test_mypy_reads_an_app_and_sees_what_is_misspelt(tmp_path: Path) -> None:
    """Against the source, as an editable install shows it; tests/test_wheel.py has the wheel."""
    wrong = tmp_path / "misspelt.py"
    wrong.write_text(MISSPELT)
    apps = [EXAMPLES / "sample_app.py", EXAMPLES / "learning_agent.py", wrong]
    command = [sys.executable, "-m", "mypy", "--strict", *map(str, apps)]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    told = [line for line in checked.stdout.splitlines() if ": error:" in line]
    places = [Path(line.partition(": error:")[0]).name for line in told]
    assert places == ["misspelt.py:4", "misspelt.py:5"], checked.stdout + checked.stderr
    assert 'did you mean "max_iterations"' in told[0]


def test_supervisor(rehearsal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("supervisor.py")
    shown = capsys.readouterr().out
    assert shown == f"Give me something to calculate.\n{ATTEMPT}\n"


def test_own_verifier(rehearsal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run_example("own_verifier.py")
    assert capsys.readouterr().out == "25 passed ['is_positive', 'table_of_areas']\n"
    assert names["is_positive"](None, names["result"].attempts[0]) is None
    negative = names["result"].attempts[0].model_copy(update={"answer": "-25"})
    assert "negative" in names["is_positive"](None, negative)


def test_own_store(
    rehearsal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    run_example("own_store.py")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "25 recalled: []"
    assert second == "25 recalled: ['Area of a square from its perimeter']"


def test_own_store_on_postgres(
    rehearsal: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real Postgres with pgvector, from a wheel."""
    pgserver = pytest.importorskip("pgserver")
    server = pgserver.get_server(tmp_path / "postgres")
    try:
        server.psql("CREATE EXTENSION vector;")
        monkeypatch.setenv("DATABASE_URL", server.get_uri())
        run_example("own_store.py")
    finally:
        server.cleanup()
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first == "25 recalled: []"
    assert second == "25 recalled: ['Area of a square from its perimeter']"


async def test_image_notebook(rehearsal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((EXAMPLES / "image_problems.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [], "keep outputs out of the repository"
        code = compile(
            "".join(cell["source"]), f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        outcome = eval(code, names)
        if inspect.iscoroutine(outcome):
            await outcome
    shown = capsys.readouterr().out
    assert "image/png 320 320" in shown
    assert "stopped_because 1" in shown


def test_fastapi_app(rehearsal: Path) -> None:
    pytest.importorskip("fastapi")
    names = runpy.run_path(str(EXAMPLES / "fastapi_app.py"), run_name="fastapi_app")
    with serving(names["app"]) as url:
        events: list[dict[str, Any]] = []
        body = {"text": "A square has a perimeter of 20 cm. Its area?"}
        with httpx.stream("POST", f"{url}/runs", json=body, timeout=60) as response:
            thread = response.headers["x-thread-id"]
            for line in response.iter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
        resumed = httpx.post(f"{url}/runs/{thread}/resume", timeout=60)
        unknown = httpx.post(f"{url}/runs/none/resume", timeout=60)
        empty = httpx.post(f"{url}/runs", json={"text": ""}, timeout=60)
    assert [e["event"] for e in events if e["event"] != "attempt_token"] == [
        "recalled", "verdict", "written", "stopped_because",
    ]  # fmt: skip
    assert "".join(e["text"] for e in events if e["event"] == "attempt_token") == ATTEMPT
    assert resumed.json() == {"answer": "25", "status": "abstained"}
    assert (unknown.status_code, empty.status_code) == (404, 422)


def test_vllm_server(rehearsal: Path, capsys: pytest.CaptureFixture[str],
                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Against a server that speaks the same protocol; its first answer is an error."""
    app, asked = hosted_model(busy=1)
    with serving(app) as url:
        monkeypatch.setenv("BASE_URL", f"{url}/v1")
        run_example("vllm_server.py")
    assert capsys.readouterr().out == "25 abstained 15 tokens\n"
    assert [body["model"] for body in asked] == ["Qwen/Qwen2.5-7B-Instruct"] * 2


def test_vita_gpu_is_importable(rehearsal: Path) -> None:
    """It needs a checkpoint and a GPU; its calls are those of the other examples."""
    names = runpy.run_path(str(EXAMPLES / "vita_gpu.py"), run_name="vita_gpu")
    assert list(inspect.signature(names["main"]).parameters) == ["folder", "picture", "question"]


async def test_mcp_configuration(rehearsal: Path) -> None:
    pytest.importorskip("mcp")
    from mcp import Client, StdioServerParameters, stdio_client

    config = json.loads((EXAMPLES / "claude_desktop_config.json").read_text("utf-8"))
    server = config["mcpServers"]["vitarmm"]
    command = shutil.which(server["command"], path=str(Path(sys.executable).parent))
    assert command is not None
    environment = {
        **os.environ,
        **server["env"],
        "VITARMM_REASONER": os.environ["VITARMM_REASONER"],
    }
    parameters = StdioServerParameters(command=command, args=server["args"], env=environment)
    async with Client(stdio_client(parameters)) as client:
        asked = {"problem": "A square has a perimeter of 20 cm. Its area?"}
        result = await client.call_tool("solve", asked)
    assert result.structured_content is not None
    assert result.structured_content["answer"] == "25"


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The app on a free port of loopback, in a thread."""
    import uvicorn

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
