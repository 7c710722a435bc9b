"""``vitarmm judge``, and what ``resume --verdict`` says of a run that is over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts import LESSON, QUESTION, RIGHT, nothing, operations, script
from vitarmm_agent.cli.app import run_app

pytestmark = pytest.mark.weights


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    reasoner = script(tmp_path / "reasoner.json", RIGHT)
    rmm = script(tmp_path / "rmm.json", operations(LESSON), nothing())
    return ["--reasoner", reasoner, "--rmm", rmm]


def test_a_verdict_on_a_run_that_is_over(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["solve", QUESTION, *models, "--thread", "t"]) == 0
    capsys.readouterr()
    assert run_app(["resume", "t", "--verdict", "fail", *models]) == 2
    assert "vitarmm judge t pass|fail" in capsys.readouterr().err
    assert run_app(["judge", "t", "pass", "--by", "ada", *models]) == 0
    shown = capsys.readouterr().out
    assert "● judge" in shown and "pass by ada" in shown and "added m-" in shown
    solution = tmp_path / "solution.txt"
    solution.write_text(RIGHT)
    more = ["--comment", "Right.", "--solution", str(solution), "--json", *models]
    assert run_app(["judge", "t", "pass", *more]) == 0
    result = json.loads(capsys.readouterr().out)
    (entry,) = [done["entry"] for done in result["judged"][1]["operations"] if done["entry"]]
    assert entry["example"]["answer"] == "25"
    assert run_app(["trace", "show", "t"]) == 0
    assert capsys.readouterr().out.count("● judge") == 2


def test_what_cannot_be_judged(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["solve", QUESTION, *models, "--memory", "off", "--thread", "t"]) == 0
    for arguments, words in (
        (["none", "pass"], "no run 'none'"),
        (["t", "maybe"], "say pass, fail or abstain, got 'maybe'"),
        (["none"], "Missing argument"),
    ):
        assert run_app(["judge", *arguments, *models]) == 2
        assert words in capsys.readouterr().err
