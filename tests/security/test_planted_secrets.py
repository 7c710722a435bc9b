"""Keys, passwords and tokens are planted wherever one may be; nothing that is written holds one.

The model server on the loopback interface tells back all it is sent, as servers do in their refusals.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from starlette.testclient import TestClient

pytest.importorskip("langchain_openai", reason="needs the extra `openai`")
pytest.importorskip("mcp", reason="needs the extra `mcp`")

from mcp import Client

from tests.evals.pupil import TEXTS
from tests.scripts import QUESTION, RIGHT, script
from tests.security.servers import EchoServer, echo_server
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InternalError, VitaRMMError
from vitarmm_agent.integrations import build_mcp_server
from vitarmm_agent.integrations.mcp import http_app
from vitarmm_agent.redaction import public_address, redact, redact_logs
from vitarmm_agent.settings import Settings
from vitarmm_agent.viewer import create_app

ENVIRONMENT = {
    name: f"planted-{name.lower().replace('_', '-')}-0123456789"
    for name in (
        "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "LANGSMITH_API_KEY",
        "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_PASSWORD", "VITARMM_MCP_TOKEN",
    )
}  # fmt: skip
USER, PASSWORD, QUERY = "planted-user", "planted/pass word", "planted-query-value"
MEMORY_USER, MEMORY_PASSWORD, MEMORY_QUERY = (
    "planted-keeper",
    "planted-memory-pw",
    "planted-memory-q",
)
BODY = {"api_key": "planted-body-key", "nested": {"deep": ["planted-deep-value"]}}
LOOKS = ("sk-plantedplantedplanted", "hf_plantedplantedplanted")
UI_TOKEN = "planted-page-token-0123456789"

ALL = {
    **ENVIRONMENT,
    "user and password": f"{USER}:{PASSWORD}",
    "password": PASSWORD,
    "query": QUERY,
    "memory password": MEMORY_PASSWORD,
    "memory query": MEMORY_QUERY,
    "body": BODY["api_key"],
    "deep in the body": "planted-deep-value",
    "page token": UI_TOKEN,
    **{look: look for look in LOOKS},
}


def found_in(data: bytes) -> set[str]:
    """Names of the secrets that ``data`` holds in any form."""
    names = set()
    for name, value in ALL.items():
        forms = (
            value,
            quote(value),
            quote(value, safe=""),
            base64.b64encode(value.encode()).decode(),
        )
        if any(form.encode() in data for form in forms):
            names.add(name)
    return names


class Planted:
    """A place with secrets everywhere, and what was written there."""

    def __init__(self, folder: Path, capsys: Any, caplog: Any) -> None:
        self.folder, self._capsys, self._caplog = folder, capsys, caplog

    def run(self, *arguments: str, code: int) -> str:
        """Run a command line; its output is looked through, and returned."""
        got = run_app(list(arguments))
        shown = self._capsys.readouterr()
        text = str(shown.out + shown.err)
        assert got == code, text
        self.check(text, " ".join(arguments[:3]))
        return text

    def check(self, text: str, what: str) -> None:
        """No secret is in ``text``, in a log, or in a file."""
        assert found_in(text.encode()) == set(), what
        assert found_in(self._caplog.text.encode()) == set(), f"log of {what}"
        self._caplog.clear()
        for path in self.folder.rglob("*"):
            if path.is_file():
                assert found_in(path.read_bytes()) == set(), f"{path} after {what}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VITARMM_EXTRA_BODY", json.dumps(BODY))
    with echo_server(401) as server:
        address = f"127.0.0.1:{server.port}"
        login = f"{USER}:{quote(PASSWORD, safe='')}"
        monkeypatch.setenv("VITARMM_BASE_URL", f"http://{login}@{address}/v1?key={QUERY}")
        login = f"{MEMORY_USER}:{MEMORY_PASSWORD}"
        monkeypatch.setenv("VITARMM_MEMORY", f"http://{login}@{address}?token={MEMORY_QUERY}")
        monkeypatch.setenv("VITARMM_REASONER", "openai:gpt-x")
        monkeypatch.setenv("VITARMM_FEEDBACK", "arithmetic")
        yield server


@pytest.fixture
def planted(
    server: EchoServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Planted:
    caplog.set_level(logging.DEBUG)
    return Planted(tmp_path, capsys, caplog)


def test_the_server_is_sent_the_secrets(planted: Planted, server: EchoServer) -> None:
    """Otherwise the tests below would show nothing."""
    planted.run("solve", QUESTION, "--memory", "off", code=2)
    plain = ["--base-url", f"http://127.0.0.1:{server.port}/v1"]
    planted.run("solve", QUESTION, "--memory", "off", *plain, code=2)
    sent = found_in("".join(server.seen).encode())
    assert {"OPENAI_API_KEY", "body", "deep in the body", "query", "user and password"} <= sent


def test_solve_resume_and_traces(planted: Planted, server: EchoServer) -> None:
    refused = planted.run("solve", QUESTION, "--memory", "off", "--thread", "t", code=2)
    assert "the model server answered 401" in refused and "[secret]" in refused
    server.status = 500
    planted.run("resume", "t", code=2)
    server.status = 200
    planted.run("resume", "t", code=0)
    planted.run("solve", QUESTION, "--memory", "off", "--thread", "u", "--human", code=0)
    planted.run("resume", "u", "--verdict", "pass", "--base-url", "http://127.0.0.1:9/v1", code=0)
    planted.run("resume", "u", "--reasoner", "scripted:/nowhere.json", code=2)
    for command in (["list"], ["list", "--json"], ["show", "t", "--prompt"], ["show", "t", "--json"],
                    ["diff", "t", "u"], ["export", "t", "--json"],
                    ["export", "t", "--html", "-o", str(planted.folder / "t.html")]):  # fmt: skip
        planted.run("trace", *command, code=0)
    planted.run("solve", QUESTION, code=2)  # with a memory on a server that refuses


def test_evaluations(planted: Planted, server: EchoServer) -> None:
    rows = [{"id": f"p{n}", "text": text, "reference": "25"} for n, text in enumerate(TEXTS[:2])]
    problems = planted.folder / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = planted.folder / "evaluation"
    measure = [
        "eval",
        "--problems-path",
        str(problems),
        "--output-dir",
        str(out),
        "--arms",
        "single",
    ]
    planted.run(*measure, code=2)
    server.status = 400
    planted.run(*measure, "--resume", code=0)
    assert "crash" in (out / "samples.jsonl").read_text()
    planted.run("eval", "export", str(out), str(planted.folder / "crashed.html"), code=0)
    server.status = 200
    again = planted.folder / "again"
    planted.run(*measure[:4], str(again), *measure[5:], code=0)
    config = json.loads((again / "config.json").read_text())["settings"]
    assert re.fullmatch(r"sha256:\w{16}", config["extra_body"])
    assert config["base_url"] == f"http://127.0.0.1:{server.port}/v1"
    planted.run(*measure[:4], str(again), *measure[5:], "--resume", code=0)
    planted.run("eval", "export", str(again), str(planted.folder / "mailed.html"), code=0)
    planted.run("eval", "report", str(again), code=0)


def test_doctor(planted: Planted, server: EchoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    told = planted.run("doctor", code=2)
    assert f"http://127.0.0.1:{server.port}/v1" in told and "answers 401" in told
    planted.run("doctor", "--json", code=2)
    monkeypatch.setenv(
        "VITARMM_BASE_URL", f"http://{USER}:{quote(PASSWORD)}@127.0.0.1:9/?k={QUERY}"
    )
    assert "is no address" in planted.run("doctor", code=2)


@pytest.mark.parametrize(
    "setting",
    [
        {"VITARMM_EXTRA_BODY": f'{{"api_key": "{BODY["api_key"]}"'},
        {"VITARMM_EXTRA_BODY": f'["{LOOKS[0]}", "planted-deep-value"]'},
        {"VITARMM_MAX_TOKENS": LOOKS[0]},
        {"VITARMM_NAMESPACE": LOOKS[1]},
        {"VITARMM_REASONER": LOOKS[0]},
        {"VITARMM_REASONER": f"openai-{LOOKS[0]}:x"},
        {"VITARMM_FEEDBACK": ENVIRONMENT["OPENAI_API_KEY"]},
        {"VITARMM_MEMORY": f"http://{MEMORY_USER}:{MEMORY_PASSWORD}@/x?token={MEMORY_QUERY}"},
    ],
)
def test_bad_settings(
    planted: Planted, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    planted.run("solve", QUESTION, code=2)


def test_a_bad_file(planted: Planted, tmp_path: Path) -> None:
    file = tmp_path / "vitarmm.toml"
    for line in ('api_key = "planted-body-key-in-a-file"', 'base_url = ["planted-body-key"'):
        file.write_text(line)
        told = run_app(["solve", QUESTION])
        file.unlink()
        planted.check("", "a bad file")
        assert told == 2


def csrf(page: TestClient) -> str:
    return re.findall(r'name="csrf" value="(\w+)"', page.get("/solve").text)[0]


def test_the_page(planted: Planted, tmp_path: Path) -> None:
    app = create_app(Settings.load(), token=UI_TOKEN)
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as page:
        assert page.get("/runs").status_code == 401
        page.get(f"/runs?token={UI_TOKEN}")
        token = csrf(page)
        answers = []
        for fields in ({"no_memory": "on"}, {}, {"reasoner": "scripted:/nowhere"}, {"text": ""}):
            sent = {"csrf": token, "text": QUESTION, **fields}
            answers.append(page.post("/solve", data=sent))
            thread = answers[-1].url.path.removeprefix("/runs/")
            with page.stream("GET", f"/runs/{thread}/events") as events:
                told = "".join(events.iter_lines())
            answers.append(page.get(f"/runs/{thread}"))
            planted.check(told, "events")
        answers += [page.get(path) for path in ("/runs", "/memory", "/evaluations", "/nowhere")]
        assert any("the model server answered 401" in answer.text for answer in answers)
        for answer in answers:
            planted.check(answer.text, str(answer.url))


async def test_the_mcp_server(planted: Planted, server: EchoServer) -> None:
    agent = ReasoningAgent.open(memory="off")
    async with Client(build_mcp_server(agent)) as client:
        result = await client.call_tool("solve", {"problem": QUESTION})
        assert result.is_error and "answered 401" in str(result)
        planted.check(str(result), "solve")
        server.status = 200
        solved = await client.call_tool("solve", {"problem": QUESTION})
        thread = solved.structured_content["thread"]  # type: ignore[index]
        explained = await client.call_tool("explain", {"thread": thread})
        read = await client.read_resource(f"vitarmm://runs/{thread}")
        planted.check(f"{solved} {explained} {read}", "a run")
    app = http_app(build_mcp_server(agent), token=ENVIRONMENT["VITARMM_MCP_TOKEN"])
    with TestClient(app, base_url="http://127.0.0.1:8765") as visitor:
        refused = visitor.post("/mcp", headers={"authorization": "Bearer wrong"})
        assert refused.status_code == 401
        planted.check(refused.text, "a refusal")


class Careless(GenericFakeChatModel):
    """A model of someone else whose error holds the key, and is no error of a server."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"cannot sign with {ENVIRONMENT['OPENAI_API_KEY']}")


def test_an_error_of_a_model_of_ones_own(planted: Planted, tmp_path: Path) -> None:
    agent = ReasoningAgent.open(
        reasoner=Careless(messages=iter([])),
        rmm=script(tmp_path / "w.json", RIGHT),
        feedback="arithmetic",
        memory="off",
    )
    with pytest.raises(InternalError, match=r"RuntimeError: cannot sign with \[secret\]") as told:
        agent.solve(QUESTION)
    planted.check(str(told.getrepr(style="short")), "the traceback")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-abcd**********wxyz.", "provided: sk-[secret]"),
        ("authorization: Bearer abc.def-ghi_jkl", "authorization: Bearer [secret]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [secret]"),
        ("GET http://user:pass@host:1/v1/models refused", "GET http://[secret]@host:1/v1/models"),
        ("https://host/x?sig=abc&t=1 is gone", "https://host/x?[secret] is gone"),
        ("a risk-averse task-oriented desk-bound reader", "a risk-averse task-oriented desk-bound"),
        ("the bearer of news", "the bearer of news"),
        ("ratio 3:4@5, see http://host/a@b", "ratio 3:4@5, see http://host/a@b"),
    ],
)
def test_what_looks_like_a_secret(text: str, shown: str) -> None:
    assert shown in redact(text)
    assert redact(redact(text)) == redact(text)
    assert shown in str(VitaRMMError(text))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://u:p@host:8000/v1?key=x#y", "http://host:8000/v1"),
        ("https://u@[::1]:8000/", "https://[::1]:8000/"),
        ("/data/memory#1?x", "/data/memory#1?x"),
        ("C:\\memory?x", "C:\\memory?x"),
        ("off", "off"),
        ("http://[broken", "[secret]"),
    ],
)
def test_public_addresses(address: str, shown: str) -> None:
    assert public_address(address) == shown


def test_redaction_takes_time_that_grows_with_the_text() -> None:
    """The text of an error may be a server's: twice as long, about twice the time."""
    from time import process_time

    for piece in ("http://", "://a", "sk-", "Bearer ", "a@", "https://x?", "://" + "a" * 600):
        seconds = []
        for length in (40_000, 80_000):
            start = process_time()
            redact((piece * length)[:length])
            seconds.append(process_time() - start)
        assert seconds[1] < 0.2 + 4 * seconds[0], piece


def test_logs_are_redacted_whatever_formats_them(monkeypatch: pytest.MonkeyPatch) -> None:
    key = ENVIRONMENT["OPENAI_API_KEY"]
    monkeypatch.setenv("OPENAI_API_KEY", key)
    before = logging.getLogRecordFactory()
    redact_logs()
    try:
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        log = logging.Logger("doors")
        log.addHandler(handler)
        log.warning("%s sent %s %d times", "it", key, 3)
        log.warning("it sent %(key)s", {"key": key})
        log.warning(f"it sent {key}")
        try:
            raise RuntimeError(f"it sent {key}")
        except RuntimeError:
            log.exception("it failed")
        log.warning("plain %s", ("a", 1))
    finally:
        logging.setLogRecordFactory(before)
    text = written.getvalue()
    assert key not in text and text.count("it sent [secret]") == 4
    assert "3 times" in text and "Traceback" in text and "plain ('a', 1)" in text


@pytest.mark.parametrize(
    "name",
    ["PGPASSWORD", "MYTOKEN", "OPENAI_KEY1", "SSHPASS", "SMTP_PASS", "DB_PWD", "CLIENTSECRET"],
)
def test_a_secret_by_any_name_of_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2-hunter2")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "not-secret")
    assert redact("no hunter2-hunter2, not-secret") == "no [secret], not-secret"
