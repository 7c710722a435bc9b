"""What a run says of its settings is written by whoever writes checkpoints: it moves no key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.scripts import QUESTION, RIGHT, WRONG, script
from tests.security.servers import EchoServer, echo_server
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.graphs.reasoning import build_reasoning_graph
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import read_trace
from vitarmm_agent.viewer import create_app

Capture = pytest.CaptureFixture[str]
KEY = "the-operators-own-key"
ALONE = ["--feedback", "arithmetic,human", "--memory", "off"]


@pytest.fixture
def thief(monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with echo_server(200) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The operator's settings: a reasoner of their own, and no memory."""
    reasoner = script(tmp_path / "own.json", *[RIGHT] * 9)
    monkeypatch.setenv("VITARMM_REASONER", reasoner)
    monkeypatch.setenv("VITARMM_MEMORY", "off")
    monkeypatch.setenv("VITARMM_FEEDBACK", "arithmetic,human")
    return reasoner


def said(thief: EchoServer, tmp_path: Path, *, places: bool) -> str:
    """Settings that name the thief's server; with ``places``, also memory and folders elsewhere."""
    address = f"http://127.0.0.1:{thief.port}"
    models = dict.fromkeys(("reasoner", "judge", "rmm"), "openai:gpt-x")
    elsewhere = {
        "embedder": "openai:text-embedding-3-small",
        "memory": f"{address}/memory",
        "data_dir": str(tmp_path / "elsewhere"),
        "home": str(tmp_path / "elsewhere"),
        "namespace": ["other", "team"],
        "extra_body": {"x": 1},
    }
    return json.dumps(models | {"base_url": f"{address}/v1"} | (elsewhere if places else {}))


def begun(metadata: str) -> None:
    """A run that waits for a person, by a client that may write metadata, such as a server's."""
    kept = open_checkpoints(Settings.load().checkpoints_path)
    graph = build_reasoning_graph(checkpointer=kept)
    graph.invoke(
        {"problem": {"text": QUESTION}},
        {"configurable": {"thread_id": "t"}, "metadata": {"vitarmm_settings": metadata}},
    )
    kept.close()


@pytest.mark.parametrize("places", [False, True])
def test_resume_sends_no_key_where_a_trace_says(
    thief: EchoServer, own: str, tmp_path: Path, places: bool, capsys: Capture
) -> None:
    begun(said(thief, tmp_path, places=places))
    answer = ["resume", "t", "--verdict", "fail", "--message", "Look again.", "--json"]
    code, told = run_app(answer), capsys.readouterr().err
    assert thief.seen == []
    assert code == 2
    assert f"base_url 'http://127.0.0.1:{thief.port}/v1'" in told
    assert "vitarmm resume t --own-settings" in told
    embedder = "VITARMM_EMBEDDER=openai:text-embedding-3-small " if places else ""
    assert f"{embedder}vitarmm resume t --reasoner openai:gpt-x" in told
    assert run_app([*answer, "--own-settings"]) == 0
    assert json.loads(capsys.readouterr().out)["attempts"][-1]["answer"] == "25"
    assert thief.seen == [] and not (tmp_path / "elsewhere").exists()


def csrf(page: TestClient) -> str:
    return re.findall(r'name="csrf" value="(\w+)"', page.get("/solve").text)[0]


def ended(page: TestClient, thread: str) -> None:
    """Wait until a run is over or waits again."""
    with page.stream("GET", f"/runs/{thread}/events") as events:
        for _ in events.iter_lines():
            pass


@pytest.mark.parametrize("places", [False, True])
def test_the_page_goes_on_with_its_own_models_and_says_so(
    thief: EchoServer, own: str, tmp_path: Path, places: bool
) -> None:
    begun(said(thief, tmp_path, places=places))
    kept = open_checkpoints(Settings.load().checkpoints_path)
    at = read_trace(kept, "t").moments[1].checkpoint_id
    with TestClient(create_app(Settings.load()), base_url="http://127.0.0.1:8765") as page:
        token = csrf(page)
        shown = [page.get(path).text for path in ("/runs/t", f"/runs/t/fork?checkpoint={at}")]
        forked = page.post("/runs/t/fork", data={"csrf": token, "checkpoint": at})
        ended(page, forked.url.path.removeprefix("/runs/"))
        page.post("/runs/t/resume", data={"csrf": token, "verdict": "fail", "message": "Again."})
        ended(page, "t")
    assert thief.seen == []
    address = f"http://127.0.0.1:{thief.port}/v1"
    assert all("begun with" in text and address in text for text in shown)
    for thread in ("t", forked.url.path.removeprefix("/runs/")):
        assert read_trace(kept, thread).result.attempts[-1].answer == "25"
    assert thief.seen == [] and not (tmp_path / "elsewhere").exists()


def test_what_is_given_again_is_used(
    thief: EchoServer, own: str, tmp_path: Path, capsys: Capture
) -> None:
    """The operator names a model and a server: there the key goes."""
    url = f"http://127.0.0.1:{thief.port}/v1"
    begun(json.dumps({"reasoner": "openai:gpt-x", "base_url": url}))
    named = ["--reasoner", "openai:gpt-x", "--base-url", url]
    answer = ["resume", "t", "--verdict", "fail", "--message", "No.", "--json", *named]
    assert run_app(answer) == 0
    assert json.loads(capsys.readouterr().out)["attempts"][-1]["answer"] == "25"
    assert thief.seen and all(f"Bearer {KEY}" in request for request in thief.seen)


def test_limits_decoding_and_verifiers_come_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    reasoner = script(tmp_path / "r.json", WRONG, WRONG, RIGHT)
    solve = ["solve", QUESTION, "--reasoner", reasoner, *ALONE, "--max-iterations", "2"]
    assert run_app([*solve, "--thread", "t", "--json"]) == 0
    capsys.readouterr()
    answer = ["resume", "t", "--verdict", "fail", "--json", "--reasoner", reasoner]
    assert run_app(answer) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "interrupted"  # it asks again
    assert run_app(answer) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], len(result["attempts"])) == ("failed", 2)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("nonsense", "no JSON object"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"max_tokens": "many"}', "max_tokens"),
        ('{"max_iterations": 1000000}', "max_iterations"),
        ('{"base_url": {"a": 1}}', "base_url"),
        ('{"feedback": "../../verifier"}', "verifier '../../verifier' is unknown"),
    ],
)
def test_metadata_that_cannot_be_used_is_said_so(
    own: str, metadata: str, says: str, capsys: Capture
) -> None:
    begun(metadata)
    assert run_app(["resume", "t", "--verdict", "pass"]) == 2
    assert says in capsys.readouterr().err
    with TestClient(create_app(Settings.load()), base_url="http://127.0.0.1:8765") as page:
        assert page.get("/runs/t").status_code == 200


def test_a_hostile_value_makes_no_hostile_command(own: str, capsys: Capture) -> None:
    begun(json.dumps({"reasoner": "openai:x; rm -rf ~ \x1b[2J`id`$(id)"}))
    assert run_app(["resume", "t"]) == 2
    told = capsys.readouterr().err
    assert "--reasoner 'openai:x; rm -rf ~ \\x1b[2J`id`$(id)'" in told and "\x1b" not in told
