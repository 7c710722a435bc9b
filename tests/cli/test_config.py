"""Where each setting comes from, and the user's own file, which counts least."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from vitarmm_agent.cli.app import run_app
from vitarmm_agent.config_file import user_file
from vitarmm_agent.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of this test's."""
    monkeypatch.delenv("VITARMM_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def shown(capsys: Capture) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert run_app(["config", "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_each_setting_says_where_it_comes_from(
    own_files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run_app(["config", "set", "max-iterations", "2"]) == 0
    assert run_app(["config", "set", "seed", "7"]) == 0
    (own_files / "vitarmm.toml").write_text("seed = 8\n")
    monkeypatch.setenv("VITARMM_TEMPERATURE", "0.5")
    found = shown(capsys)
    assert found["max_iterations"] == {"value": 2, "from": f"file {user_file()}"}
    assert found["seed"] == {"value": 8, "from": "file vitarmm.toml"}
    assert found["temperature"] == {"value": 0.5, "from": "VITARMM_TEMPERATURE"}
    assert found["feedback"]["from"] == "default"
    assert Settings.load().max_iterations == 2 and Settings.load().seed == 8


def test_what_is_kept_can_be_taken_out_and_leaves_comments_alone(capsys: Capture) -> None:
    assert run_app(["config", "set", "reasoner", "openai:gpt-5-mini"]) == 0
    file = user_file()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("# mine\n" + file.read_text())
    assert run_app(["config", "set", "namespace", '["team", "a"]']) == 0
    assert Settings.load().namespace == ("team", "a")
    assert run_app(["config", "unset", "reasoner"]) == 0
    assert file.read_text() == '# mine\nnamespace = ["team", "a"]\n'
    assert shown(capsys)["reasoner"]["from"] == "default"


def test_what_counts_more_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("VITARMM_SEED", "1")
    assert run_app(["config", "set", "seed", "2"]) == 0
    assert "VITARMM_SEED says otherwise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set", "resoner", "x"], "did you mean 'reasoner'?"),
        (["set", "seed", "many"], "seed"),
        (["set", "max_iterations", "0"], "max_iterations"),
        (["unset", "seed"], "does not set seed"),
    ],
)
def test_what_cannot_be_kept_is_said_in_one_line(
    arguments: list[str], told: str, capsys: Capture
) -> None:
    assert run_app(["config", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and told in error and "\n" not in error
    assert not user_file().exists()


def test_a_file_that_is_no_toml_is_not_written_over(capsys: Capture) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text("seed = [")
    assert run_app(["config", "set", "seed", "3"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert user_file().read_text() == "seed = ["


def test_an_error_is_json_where_json_was_asked_for(capsys: Capture) -> None:
    assert run_app(["trace", "show", "nothing", "--json"]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert error["kind"] == "InputError" and error["exit_code"] == 2
    assert "no run 'nothing'" in error["message"] and said.err.startswith("error: ")


@pytest.mark.parametrize("help_", ["-h", "--help"])
def test_help_says_the_defaults_of_the_settings(help_: str, capsys: Capture) -> None:
    assert run_app(["solve", help_]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in ("reasoner", "feedback", "max_iterations", "max_tokens", "temperature"):
        assert f"default: ({Settings.model_fields[name].default})" in said
