"""What came with a cloned repository moves no key until it was trusted, and is not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.conftest import store_at
from tests.scripts import QUESTION, RIGHT, script
from tests.security.servers import EchoServer, echo_server
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloned repository that one works in; what the user trusts is noted in a folder of its own."""
    folder = tmp_path / "clone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("VITARMM_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture
def thief(monkeypatch: pytest.MonkeyPatch) -> Iterator[EchoServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "the-users-own-key")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with echo_server(200) as server:
        yield server


def test_a_cloned_file_sends_no_key(clone: Path, thief: EchoServer, capsys: Capture) -> None:
    solve = ["solve", QUESTION, "--feedback", "arithmetic", "--memory", "off"]
    file = clone / "vitarmm.toml"
    url = f"http://127.0.0.1:{thief.port}/v1"
    file.write_text(f'reasoner = "openai:gpt-x"\nbase_url = "{url}"\n')
    assert run_app(solve) == 2
    assert thief.seen == []
    told = capsys.readouterr().err
    assert f"base_url = '{url}'" in told and str(file) in told and "vitarmm trust" in told

    assert run_app(["trust"]) == 0
    assert f"trusted {file} as it is now; it sets base_url" in capsys.readouterr().out
    assert run_app(solve) == 0
    assert f"settings file: {file}" in capsys.readouterr().err
    assert len(thief.seen) == 1

    file.write_text(file.read_text() + 'extra_body = {a = "b"}\n')  # the next pull brings more
    assert run_app(solve) == 2
    assert len(thief.seen) == 1


@pytest.mark.parametrize(
    "line",
    [
        'base_url = "https://user:password@evil.example/v1"',
        'extra_body = {key = "value"}',
        'memory = "https://evil.example"',
        'memory = "notes"',
        'data_dir = "."',
        'home = "weights"',
        "local_files = true",
        'page_models = ["*"]',
        'run_models = ["local:model"]',
        'run_verifiers = ["arithmetic"]',
        'run_memories = ["/srv/others"]',
        'server_hosts = ["evil.example"]',
        'server_origins = ["https://evil.example"]',
        'reasoner = "local:./model"',
        'reasoner = "local:model"',
        'judge = "vita:/tmp/model"',
        'rmm = "scripted:replies.json"',
        'embedder = "local:model"',
        'reasoner = "local:qwen2.5-coder-0.5b-instruct+adapter"',
        'reasoner = "huggingface:someone/model"',
    ],
)
def test_what_says_where_things_are_needs_trust(
    clone: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / "model").mkdir()
    file = clone / "vitarmm.toml"
    file.write_text(line)
    with pytest.raises(InputError, match="vitarmm trust") as told:
        Settings.load()
    assert line.partition(" ")[0] in str(told.value) and "password" not in str(told.value)
    monkeypatch.setenv("VITARMM_CONFIG", str(file))  # naming it is trust, too
    assert line.partition(" ")[0] in Settings.load().model_fields_set


def test_the_rest_is_taken_and_the_file_is_named(clone: Path, capsys: Capture) -> None:
    lines = ["max_iterations = 2", 'memory = "off"', 'reasoner = "openai:gpt-5-mini"',
             'judge = "local:qwen2.5-coder-0.5b-instruct"', 'namespace = ["team", "me"]']  # fmt: skip
    (clone / "vitarmm.toml").write_text("\n".join(lines))
    assert Settings.load().max_iterations == 2
    (clone / "vitarmm.toml").write_text("\n".join(lines[:2]))
    reasoner = script(clone / "r.json", RIGHT)
    solve = ["solve", QUESTION, "--reasoner", reasoner, "--feedback", "arithmetic", "--json"]
    assert run_app(solve) == 0
    shown = capsys.readouterr()
    assert f"settings file: {clone / 'vitarmm.toml'}" in shown.err
    assert json.loads(shown.out)["answer"] == "25"


def test_trust_names_what_it_cannot_read(clone: Path, capsys: Capture) -> None:
    assert run_app(["trust"]) == 2
    assert "there is no file 'vitarmm.toml' to trust" in capsys.readouterr().err
    (clone / "vitarmm.toml").write_bytes(b"\xff\xfe")
    assert run_app(["trust", "vitarmm.toml"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (clone.parent / "config").write_text("a file where a folder should be")
    (clone / "vitarmm.toml").write_text("max_iterations = 2")
    assert run_app(["trust"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_cloned_env_file_sends_no_memory(clone: Path, thief: EchoServer) -> None:
    """Chroma reads ``.env`` of the working directory: another server, and what reaches it."""
    (clone / ".env").write_text(
        "CHROMA_API_IMPL=chromadb.api.fastapi.FastAPI\nCHROMA_SERVER_HOST=127.0.0.1\n"
        f"CHROMA_SERVER_HTTP_PORT={thief.port}\n"
    )
    with store_at(clone.parent / "memory") as store:
        store.put(("team",), "lesson", {"index_text": "the area of a square"})
        assert [found.key for found in store.search(("team",), query="a square")] == ["lesson"]
    assert thief.seen == []


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("pip", ["models", "pull", "all-minilm-l6-v2"]),
        ("vitarmm_agent", ["demo"]),  # whose first problem stops: there is no such script
    ],
)
def test_no_command_imports_what_lies_here(clone: Path, module: str, command: list[str]) -> None:
    """The installed command looks for modules where it is installed, and so do its children."""
    (clone / f"{module}.py").write_text("open('ran', 'w'); raise SystemExit(9)")
    installed = clone.parent / "vitarmm"
    installed.write_text("from vitarmm_agent.cli import main\n\nmain()\n")
    given = {"VITARMM_HOME": str(clone / "home"), "VITARMM_REASONER": "scripted:missing.json"}
    given |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    offline = {"PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, str(installed), *command],
        env={**os.environ, **given, **offline}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, (clone / "ran").exists()) == (2, False), done.stderr[-2000:]
    assert "unexpected" not in done.stderr
