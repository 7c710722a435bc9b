"""``vitarmm doctor``: its verdict and exit code are those of the models that were chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.tiny_gguf import write_gguf
from tests.servers.canned import canned
from vitarmm_agent.cli.app import run_app

Capture = pytest.CaptureFixture[str]
GONE = "http://127.0.0.1:9"
HOSTED = {"REASONER": "openai:pupil", "MEMORY": "off", "BASE_URL": "SERVER"}


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without weights and keys."""
    monkeypatch.setenv("VITARMM_HOME", str(tmp_path / "weights"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("settings", "status", "wrong"),
    [
        (HOSTED, 200, ""),
        (HOSTED, 401, "it refuses the key; set OPENAI_API_KEY"),
        (HOSTED | {"BASE_URL": GONE}, 200, "no answer"),
        (HOSTED | {"JUDGE": "local:nope"}, 200, ""),  # nothing asks it
        (HOSTED | {"JUDGE": "local:nope", "FEEDBACK": "judge"}, 200, "unknown weights 'nope'"),
        (HOSTED | {"DATABASE": "postgresql://a:secret-word@127.0.0.1:9/x"}, 200, "127.0.0.1:9/x"),
        (HOSTED | {"MEMORY": ""}, 200, "embedder local:all-minilm-l6-v2"),
        ({"MEMORY": "off"}, 200, "vitarmm models pull qwen2.5-coder-0.5b-instruct"),
        ({"MEMORY": "off", "REASONER": "openai:gpt-5-mini"}, 200, "set OPENAI_API_KEY"),
        ({"MEMORY": "off", "REASONER": "scripted:SCRIPT", "BASE_URL": GONE}, 200, ""),  # not used
        ({"MEMORY": "off", "REASONER": "vita:/nowhere"}, 200, "/nowhere is not a model folder"),
    ],
)
def test_the_verdict_is_that_of_the_chosen_models(
    settings: dict[str, str],
    status: int,
    wrong: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    (tmp_path / "script.json").write_text("[]")
    with canned({"data": [{"id": "pupil"}]}) as server:
        server.status = status
        for name, value in settings.items():
            value = value.replace("SERVER", server.url)
            value = value.replace("SCRIPT", str(tmp_path / "script.json"))
            monkeypatch.setenv(f"VITARMM_{name}", value)
        code = run_app(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    failed = [check for check in told["checks"] if check["needed"] and not check["ok"]]
    assert (code, told["ready"]) == ((2, False) if wrong else (0, True))
    assert (len(failed) == 1) == bool(wrong)
    assert wrong in json.dumps(failed)
    assert "secret-word" not in json.dumps(told)


def test_the_last_lines_say_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("VITARMM_MEMORY", "off")
    assert run_app(["doctor"]) == 2
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0] == "not ready: 1 of what your settings need is missing"
    assert last[1].startswith("  reasoner local:qwen2.5-coder-0.5b-instruct: ")
    assert last[1].endswith("vitarmm models pull qwen2.5-coder-0.5b-instruct")


@pytest.mark.parametrize("kept", [1.0, 0.99, 0.6])
def test_a_gguf_file_that_is_cut_off_is_not_ready(
    kept: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    monkeypatch.setenv("VITARMM_MEMORY", "off")
    monkeypatch.setenv("VITARMM_REASONER", f"local:{path}")
    code = run_app(["doctor", "--json"])
    told = " ".join(check["found"] for check in json.loads(capsys.readouterr().out)["checks"])
    assert code == (0 if kept == 1 else 2)
    assert ("its files are here; not loaded (--ask)" if kept == 1 else "m.gguf is cut off") in told


def test_models_are_asked_if_one_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VITARMM_MEMORY", "off")
    script = tmp_path / "script.json"
    monkeypatch.setenv("VITARMM_REASONER", f"scripted:{script}")
    for replies, code, told in (
        ([{"content": "ready"}], 0, "answered in"),
        ([{"error": "die"}], 2, "not ready: 1"),
    ):
        script.write_text(json.dumps(replies))
        assert run_app(["doctor", "--ask"]) == code
        assert told in capsys.readouterr().out


def test_a_model_that_the_server_does_not_name_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with canned({"data": [{"id": "other"}]}) as server:
        for name, value in (HOSTED | {"BASE_URL": server.url}).items():
            monkeypatch.setenv(f"VITARMM_{name}", value)
        assert run_app(["doctor", "--json"]) == 0  # some servers take any name
    assert "pupil is not among its models: other" in capsys.readouterr().out
