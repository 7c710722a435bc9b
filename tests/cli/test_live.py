"""What is told on a terminal while a run goes on, and while it is gone on with."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from rich.console import Console

from tests.scripts import QUESTION, RIGHT, WRONG, script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.cli.live import LiveView
from vitarmm_agent.nodes.doing import Heard


def chunk(text: str, speaker: str) -> AIMessageChunk:
    return AIMessageChunk(text, id=speaker)


def test_of_several_models_the_one_that_began_last_is_heard() -> None:
    heard = Heard()
    said = [
        *heard.feed(chunk("one ", "a")),
        *heard.feed(chunk("two", "b")),
        *heard.feed(chunk("lost", "a")),
        *heard.feed(AIMessage("whole", id="c")),
        *heard.feed(chunk(" three", "b")),
    ]
    assert "".join(text for text, _ in said) == "one \n\ntwo three"


def test_a_terminal_says_what_is_waited_for_and_who_writes() -> None:
    screen = io.StringIO()
    view = LiveView(Console(file=screen, force_terminal=True, width=100, color_system=None))
    view.show("tasks", {"name": "feedback", "input": {}})
    deadline = time.monotonic() + 20
    while "feedback: checking the attempt" not in screen.getvalue():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    judge, other = {"langgraph_node": "feedback"}, {"langgraph_node": "agent"}
    view.show("messages", (chunk("not here", "x"), other))
    view.show("messages", (chunk("all right", "a"), judge))
    view.show("tasks", {"name": "feedback", "result": {}})
    view.wait("")
    assert "feedback …" in " ".join(screen.getvalue().split())
    assert "all right" in screen.getvalue() and "not here" not in screen.getvalue()
    file = io.StringIO()
    quiet = LiveView(Console(file=file, width=100))
    quiet.show("tasks", {"name": "recall", "input": {}})
    assert file.getvalue() == "", "into a file nothing is written that is not there to stay"


def test_a_run_that_is_gone_on_with_is_shown_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path))
    dies = script(tmp_path / "dies.json", WRONG, {"error": "die"})
    options = ("--memory", "off", "--feedback", "arithmetic")
    run = ("solve", QUESTION, "--thread", "on", "--reasoner", dies, *options)
    assert run_app([*run]) == 2
    capsys.readouterr()
    rest = script(tmp_path / "rest.json", RIGHT)
    assert run_app(["resume", "on", "--reasoner", rest, "--own-settings"]) == 0
    out = capsys.readouterr().out
    assert out.index("answer 36") < out.index("● reason", out.index("answer 36"))
    assert out.count("answer 25") == 1, out
