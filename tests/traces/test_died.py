"""A run that an error stopped says so, and why, wherever it is looked at; and it can go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripts import QUESTION, RIGHT, WRONG, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import VitaRMMError
from vitarmm_agent.state import error_in_words
from vitarmm_agent.traces import RunFilter, list_runs, read_trace

Capture = pytest.CaptureFixture[str]
SAID = "no reply left for call 2"


@pytest.fixture(autouse=True)
def died(tmp_path: Path) -> None:
    """``one`` dies in its second attempt."""
    reasoner = script(tmp_path / "short.json", WRONG)
    alone = ["--feedback", "arithmetic", "--memory", "off"]
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *alone, "--thread", "one"]) != 0


def test_on_the_command_line(capsys: Capture) -> None:
    capsys.readouterr()
    assert run_app(["trace", "list", "--json", "--status", "died"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["thread_id"] == "one" and SAID in run["died"]
    assert run_app(["trace", "list"]) == 0
    assert "died" in capsys.readouterr().out
    assert run_app(["trace", "show", "one"]) == 0
    shown = capsys.readouterr().out
    assert "(died)" in shown and SAID in shown and "vitarmm resume one" in shown
    assert run_app(["trace", "diff", "one", "one"]) == 0
    assert "died" in capsys.readouterr().out


def test_and_goes_on(tmp_path: Path, capsys: Capture) -> None:
    reasoner = script(tmp_path / "short.json", RIGHT)
    assert run_app(["resume", "one", "--reasoner", reasoner, "--feedback", "arithmetic"]) == 0
    capsys.readouterr()
    assert run_app(["trace", "show", "one"]) == 0
    shown = capsys.readouterr().out
    assert "(abstained)" in shown
    assert "died" not in shown and "go on" not in shown


def test_with_any_checkpointer(tmp_path: Path) -> None:
    saver = InMemorySaver()
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "s.json", WRONG), memory="off", checkpointer=saver,
        feedback="arithmetic",
    )  # fmt: skip
    with pytest.raises(VitaRMMError):
        agent.solve(QUESTION, thread_id="two")
    result = agent.result("two")
    assert result.status == "died" and SAID in result.stopped_because
    assert read_trace(saver, "two").result == result
    (run,) = list_runs(saver, where=RunFilter(status="died"))
    assert run.thread_id == "two"


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ("ValueError('it\\'s gone')", "ValueError: it's gone"),
        ("ValueError('one', 2)", "ValueError('one', 2)"),
        ("KeyError()", "KeyError()"),
        ("CancelledError()", "it was cancelled"),
        (ValueError("gone"), "ValueError: gone"),
        ("nonsense", "nonsense"),
        ("X(" + "(" * 5_000, "X(" + "(" * 1_998),
        ("AuthError('Bearer abcdefgh12345678 is wrong')", "AuthError: Bearer [secret] is wrong"),
    ],
)
def test_errors_in_words(kept: object, told: str) -> None:
    assert error_in_words(kept) == told
