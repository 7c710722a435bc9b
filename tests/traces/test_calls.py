"""What a judge and the memory writer were asked, and what they said, can be read in the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.scripts import LESSON, QUESTION, WRONG, operations, script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.media import MediaStore
from vitarmm_agent.problem import Problem
from vitarmm_agent.traces import read_trace
from vitarmm_agent.viewer import create_app
from vitarmm_agent.viewer.export import export_html

SAID = json.dumps(
    {
        "steps": [
            {"step": 1, "check": "20 / 4 is five", "verdict": "wrong", "mistake": "not 6",
             "kind": "wrong operation"},
            {"step": 2, "check": "follows", "verdict": "unsure"},
        ],
        "verdict": "wrong",
    }
)  # fmt: skip
NO_JSON = "I would rather not."


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a page and of a run ``one``, that was judged, and whose writer had to be asked twice."""
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path / "data"))
    settings = Settings.load(
        reasoner=script(tmp_path / "reasoner.json", WRONG),
        judge=script(tmp_path / "judge.json", SAID),
        rmm=script(tmp_path / "rmm.json", NO_JSON, operations(LESSON)),
        feedback="judge",
        judge_fail_precision=0.9,
        max_iterations=1,
    )
    agent = ReasoningAgent.open(settings=settings)
    agent.solve(Problem(text=QUESTION, reference="25"), thread_id="one")
    return settings


def test_in_the_trace(settings: Settings) -> None:
    trace = read_trace(open_checkpoints(settings.checkpoints_path), "one")
    (judge,) = trace.result.feedback[0].parts
    (call,) = judge.calls
    assert call.reply == SAID and call.model == "scripted:judge.json"
    assert QUESTION in call.prompt[0]["content"] and call.usage.total_tokens
    assert [(tick.step, tick.verdict) for tick in judge.ticks] == [(1, "wrong"), (2, "unsure")]
    assert not trace.result.feedback[0].calls, "they stand once, in the part"
    first, second = trace.result.written[0].calls
    assert first.reply == NO_JSON
    assert [turn["role"] for turn in second.prompt] == ["system", "user", "assistant", "user"]
    assert "reference" not in json.dumps([call.prompt, first.prompt])
    assert trace.settings["feedback"] == "judge" and trace.settings["max_iterations"] == 1


def test_on_the_command_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["trace", "show", "one", "--prompt"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "judge asked scripted:judge.json" in shown and "20 / 4 is five" in shown
    assert "memory writer asked scripted:rmm.json" in shown and NO_JSON in shown
    assert "setting feedback = judge" in shown
    assert run_app(["trace", "show", "one"]) == 0
    assert "asked scripted" not in capsys.readouterr().out


def test_on_the_page_and_in_what_is_exported(settings: Settings) -> None:
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8765") as client:
        page = client.get("/runs/one").text
    trace = read_trace(open_checkpoints(settings.checkpoints_path), "one")
    for shown in (page, export_html(trace, MediaStore(settings.media_dir))):
        assert "What judge was asked, and what it said" in shown
        assert "What the memory writer was asked, call 2 of 2, and what it said" in shown
        assert NO_JSON in shown and "judge finds it wrong: 20 / 4 is five" in shown
        assert "Settings of this run" in shown
        assert shown.count('<span class="memory">') == 1, "the reasoner's own, and no call's"
