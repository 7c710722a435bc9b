from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, WRONG, operations, script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import list_runs, read_trace

ALONE = ["--feedback", "arithmetic", "--memory", "off"]


@pytest.fixture
def reasoner(tmp_path: Path) -> str:
    return script(tmp_path / "reasoner.json", RIGHT)


def test_solve_shows_each_node_and_where_to_look(
    reasoner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE, "--thread", "t"]) == 0
    shown = capsys.readouterr().out
    for node in ("recall", "reason", "feedback", "remember"):
        assert f"● {node}" in shown
    assert "5 * 5 = 25" in shown and "trace show t" in shown


def test_who_stops_reading_stops_no_run(reasoner: str, own_data_dir: Path) -> None:
    """As in ``vitarmm solve … | head -1``."""
    command = [sys.executable, "-m", "vitarmm_agent.cli", "solve", QUESTION, "--thread", "t"]
    running = subprocess.Popen(
        [*command, "--reasoner", reasoner, *ALONE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    assert (running.stderr.read(), running.wait(timeout=60)) == (b"", 0)
    (run,) = list_runs(open_checkpoints(own_data_dir / "traces.sqlite"))
    assert run.status == "abstained"


def test_json_is_the_result(reasoner: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--reasoner", reasoner, *ALONE, "--reference", "25", "--json"]
    assert run_app(["solve", QUESTION, *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["answer"], result["status"]) == ("25", "abstained")


def test_the_iteration_limit_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasoner = script(tmp_path / "r.json", WRONG, RIGHT)
    arguments = ["--reasoner", reasoner, *ALONE, "--max-iterations", "1", "--json"]
    assert run_app(["solve", QUESTION, *arguments]) == 0
    assert len(json.loads(capsys.readouterr().out)["attempts"]) == 1


def test_grading_is_shown_apart(reasoner: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE, "--reference", "26"]) == 0
    assert "graded  wrong" in capsys.readouterr().out


def test_an_oracle_run_may_use_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "1. The side is 20 / 5 = 4.\n2. The area is 4 * 4 = 16.\nAnswer: 16"
    reasoner = script(tmp_path / "r.json", wrong, RIGHT)
    arguments = ["--reasoner", reasoner, *ALONE, "--reference", "25", "--oracle", "--json"]
    assert run_app(["solve", QUESTION, *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["answer"], result["status"]) == ("25", "passed")
    assert [f["oracle"] for f in result["feedback"]] == [True, True]
    assert "25" not in json.dumps(result["attempts"][1]["prompt"][1]["content"][-1])


def test_what_was_kept_of_an_attempt_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasoner = script(tmp_path / "r.json", WRONG, " cm.\n2. 5 * 5 = 25\nAnswer: 25")
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE, "--thread", "t"]) == 0
    live = capsys.readouterr().out
    assert run_app(["trace", "show", "t"]) == 0
    for shown in (live, capsys.readouterr().out):
        kept, _, rest = shown.partition("its last value put right:\n")[2].partition(" cm.")
        assert kept == "1. The side is 20 / 4 = 5" and "Answer: 25" in rest
        assert "25 characters kept" in shown


@pytest.mark.weights
def test_a_second_problem_recalls_what_the_first_taught(
    tmp_path: Path, weights: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    weights("all-minilm-l6-v2")
    reasoner = script(tmp_path / "r.json", WRONG, RIGHT)
    rmm = script(tmp_path / "rmm.json", operations(LESSON), operations(LESSON))
    graded = ["--reference", "25", "--oracle"]
    roles = ["--reasoner", reasoner, "--rmm", rmm, *graded]
    assert run_app(["solve", QUESTION, *roles, "--thread", "first"]) == 0
    assert "● recall" in capsys.readouterr().out
    again = script(tmp_path / "r2.json", RIGHT)
    roles = ["--reasoner", again, "--rmm", rmm]
    assert run_app(["solve", RELATED_QUESTION, *roles, "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    example, recalled = second["recalled"][0]["entries"]
    assert example["as_example"] and not recalled["as_example"]
    assert recalled["entry"]["title"] == LESSON["title"]
    assert recalled["entry"]["provenance"]["run"] == "first"
    assert recalled["similarity"] > 0.5
    assert LESSON["content"] in json.dumps(second["attempts"][0]["prompt"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "empty"),
        ([QUESTION, "--reasoner", "nonsense"], "nonsense"),
        ([QUESTION, "--reasoner", "local:no-such-model"], "no-such-model"),
        ([QUESTION, "--reasoner", "scripted:missing.json"], "missing.json"),
        ([QUESTION, "--feedback", "magic"], "magic"),
        ([QUESTION, "--max-iterations", "0"], "max_iterations"),
        ([QUESTION, "--max-iterations", "many"], "--max-iterations"),
        ([QUESTION, "--image", "missing.png"], "missing.png"),
        ([QUESTION, "--image", "{text}"], "not an image"),
        ([QUESTION, "--oracle"], "--reference"),
        ([QUESTION, "--memory", "{text}"], "{text}"),
        ([QUESTION, "--images", "maybe"], "maybe"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    given = [argument.format(text=text) for argument in arguments]
    defaults = ["--reasoner", script(tmp_path / "r.json", RIGHT), *ALONE]
    options = [
        word
        for name, value in zip(defaults[::2], defaults[1::2], strict=True)
        if name not in given
        for word in (name, value)
    ]
    assert run_app(["solve", *given, *options]) == 2
    err = capsys.readouterr().err
    assert says.format(text=text) in err and "Traceback" not in err
    assert err.count("error:") == 1


def test_an_unwritable_data_folder_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITARMM_DATA_DIR", str(tmp_path / "file" / "data"))
    reasoner = script(tmp_path / "r.json", RIGHT)
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE]) == 2
    assert "VITARMM_DATA_DIR" in capsys.readouterr().err


def test_trace_list_and_show(reasoner: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["trace", "list"]) == 0
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE, "--thread", "t"]) == 0
    capsys.readouterr()
    assert run_app(["trace", "list", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["thread_id"], run["answer"]) == ("t", "25")
    assert run_app(["trace", "show", "t", "--prompt"]) == 0
    shown = capsys.readouterr().out
    assert QUESTION in shown and "You solve problems step by step" in shown
    assert run_app(["trace", "show", "nowhere"]) == 2


def test_terminal_control_characters_are_made_visible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasoner = script(tmp_path / "r.json", "1. \x1b[2J\x1b]0;owned\x07\nAnswer: 1")
    assert run_app(["solve", QUESTION, "--reasoner", reasoner, *ALONE]) == 0
    shown = capsys.readouterr().out
    assert "\x1b]0" not in shown and "\x07" not in shown


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vitarmm_agent.cli", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background
    )


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_is_resumed(
    tmp_path: Path,
    own_data_dir: Path,
    capsys: pytest.CaptureFixture[str],
    sent: signal.Signals,
) -> None:
    slow = script(tmp_path / "slow.json", WRONG, {"content": RIGHT, "delay": 60})
    process = start(["solve", QUESTION, "--reasoner", slow, *ALONE, "--thread", "t"])
    wait_for_attempt(own_data_dir, process)
    os.kill(process.pid, sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    if sent == signal.SIGINT:
        assert b"vitarmm resume t" in err and b"Traceback" not in err
    reasoner = script(tmp_path / "again.json", RIGHT)
    capsys.readouterr()
    assert run_app(["resume", "t", "--reasoner", reasoner, *ALONE, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [attempt["answer"] for attempt in result["attempts"]] == ["36", "25"]


def wait_for_attempt(data_dir: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the second iteration is under way: its recall is checkpointed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (data_dir / "traces.sqlite").exists():
            kept = open_checkpoints(Settings.load().checkpoints_path)
            if list_runs(kept) and len(read_trace(kept, "t").result.recalled) == 2:
                return
        time.sleep(0.2)
    raise AssertionError(f"no second iteration: {process.communicate()}")


def test_a_person_answers_in_another_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reasoner = script(tmp_path / "r.json", RIGHT)
    started = ["solve", QUESTION, "--reasoner", reasoner, "--memory", "off", "--human"]
    shown = subprocess.run(
        [sys.executable, "-m", "vitarmm_agent.cli", *started, "--thread", "t"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert shown.returncode == 0, shown.stderr
    assert "vitarmm resume t --verdict" in shown.stdout
    assert run_app(["trace", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "interrupted"
    answer = ["resume", "t", "--verdict", "pass", "--json"]
    assert run_app(answer) == 2
    assert f"vitarmm resume t --reasoner {reasoner}" in capsys.readouterr().err
    assert run_app([*answer, "--reasoner", reasoner]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["feedback"][0]["source"]) == ("passed", "human")
