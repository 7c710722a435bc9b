from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts import QUESTION, RIGHT, WRONG, script
from vitarmm_agent.cli.app import run_app

Capture = pytest.CaptureFixture[str]
ALONE = ["--feedback", "arithmetic", "--memory", "off"]


@pytest.fixture(autouse=True)
def two_runs(tmp_path: Path, capsys: Capture) -> None:
    """``one`` fails first; ``two`` is about something hostile."""
    hostile = "\x1b[31mred\x1b]0;title\x07 <script>window.xss=1</script>"
    for thread, text, replies in (
        ("one", QUESTION, (WRONG, RIGHT)),
        ("two", hostile, (f"1. {hostile}\nAnswer: 5",)),
    ):
        reasoner = script(tmp_path / f"{thread}.json", *replies)
        assert run_app(["solve", text, "--reasoner", reasoner, *ALONE, "--thread", thread]) == 0
    capsys.readouterr()


def listed(capsys: Capture, *arguments: str) -> list[str]:
    assert run_app(["trace", "list", "--json", *arguments]) == 0
    return [run["thread_id"] for run in json.loads(capsys.readouterr().out)]


def test_runs_are_filtered_and_paged(capsys: Capture) -> None:
    assert listed(capsys) == ["two", "one"]
    assert listed(capsys, "--limit", "1", "--offset", "1") == ["one"]
    assert listed(capsys, "--verdict", "fail") == ["one"]
    assert listed(capsys, "perimeter") == ["one"]
    assert listed(capsys, "--until", "2001-01-01") == []
    assert run_app(["trace", "list", "--limit", "1"]) == 0
    assert "2 runs; the next page: --offset 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [["list", "--status", "done"], ["list", "--since", "soon"], ["export", "one"],
     ["export", "one", "--html", "--json"], ["export", "three", "--json"], ["diff", "one", "three"],
     ["export", "one", "--html", "-o", "/nowhere/x.html"]],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(wrong: list[str], capsys: Capture) -> None:
    assert run_app(["trace", *wrong]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and "Traceback" not in shown.err


def test_two_runs_are_compared_word_by_word(capsys: Capture) -> None:
    assert run_app(["trace", "diff", "one", "two"]) == 0
    shown = capsys.readouterr().out
    assert "fail, abstain" in shown and "Answer: [-25-]{+5+}" in shown


def test_terminal_escapes_are_shown_not_obeyed(capsys: Capture) -> None:
    for command in (["list"], ["show", "two", "--prompt"], ["diff", "one", "two"]):
        assert run_app(["trace", *command]) == 0
        shown = capsys.readouterr().out
        assert "\x1b]" not in shown and "\x1b[31m" not in shown and "\\x1b[31mred" in shown


def test_a_run_is_written_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["trace", "export", "two", "--html"]) == 0
    text = (tmp_path / "run-two.html").read_text()
    assert "&lt;script&gt;window.xss=1" in text and "<script>window" not in text
    assert run_app(["trace", "export", "one", "--json", "-o", "run-one.json"]) == 0
    assert json.loads((tmp_path / "run-one.json").read_text())["result"]["answer"] == "25"
    capsys.readouterr()
    for again in (["two", "--html"], ["one", "--html", "-o", "run-one.json"]):
        assert run_app(["trace", "export", *again]) == 2
        assert "is there already; replace it by --force" in capsys.readouterr().err
    assert (tmp_path / "run-two.html").read_text() == text
    assert run_app(["trace", "export", "one", "--html", "-o", "run-one.json", "--force"]) == 0
    assert (tmp_path / "run-one.json").read_text().startswith("<!doctype html>")


def test_a_deleted_run_is_no_longer_listed(capsys: Capture) -> None:
    assert run_app(["trace", "delete", "two", "--yes"]) == 0
    capsys.readouterr()
    assert listed(capsys) == ["one"]


def test_a_run_is_called_by_a_part_of_its_name_that_no_other_has(
    tmp_path: Path, capsys: Capture
) -> None:
    for _ in range(2):
        reasoner = script(tmp_path / "more.json", RIGHT)
        assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE]) == 0
    capsys.readouterr()
    newest, other = listed(capsys)[:2]
    short = newest.rpartition("-")[2]
    assert run_app(["trace", "list"]) == 0
    shown = capsys.readouterr().out
    assert short in shown and newest not in shown and "scripted:more" in shown
    assert run_app(["trace", "show", short]) == 0
    shown = capsys.readouterr().out
    assert f"vitarmm trace show {newest}" in shown and "tokens, 1 call, " in shown
    assert run_app(["trace", "show", short[:5]]) == 0, "the beginning of what the list shows"
    assert run_app(["trace", "show", newest[:8]]) == 2
    assert "2 runs begin or end with" in capsys.readouterr().err
    assert run_app(["resume", short, "--own-settings"]) == 0
    assert "this run was over" in capsys.readouterr().err
    assert run_app(["trace", "diff", short, other]) == 0
    assert run_app(["trace", "delete", short, "--yes"]) == 0
    capsys.readouterr()
    assert newest not in listed(capsys)
    assert run_app(["trace", "show", "one"]) == 0, "and by all of it"
