from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evals.pupil import TEXTS, answer_to, timeless
from tests.scripts import script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.speed.server import ScriptedServer, asked_for, running

RIGHT = "1. The side is 20 / 4 = 5.\n2. The area is 5 * 5 = 25.\nAnswer: 25"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    rows = [
        {"id": f"p{n}", "text": text, "reference": "25", "answer_type": "integer"}
        for n, text in enumerate(TEXTS[:4])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_options_are_spelled_either_way(
    problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = script(tmp_path / "replies.json", *[RIGHT] * 4)
    out = tmp_path / "out"
    code = run_app(
        ["eval", "--problems_path", str(problems), "--output-dir", str(out), "--arms", "single",
         "--reasoner", spec, "--max_iterations", "2", "--sample-size", "3"]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert re.search(r"single\s*│\s*3\s*│\s*100\.0%", printed)
    for name in ("report.html", "report.md", "report.json", "samples.jsonl"):
        assert name in printed.replace("\n", "") and (out / name).stat().st_size > 0
    config = EvaluationFolder(out).config()
    assert config.sample_size == 3 and config.max_iterations == 2 and config.arms == ("single",)


def test_siblings_are_compared_in_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: Callable[[str], Path]
) -> None:
    weights("all-minilm-l6-v2")
    rows = [
        {"group": g, "id": f"{g}{n}", "text": f"{text} {n} and {n + 1}?", "reference": "25",
         "answer_type": "integer", "solution": "It is 25."}
        for g, text in (("a", "How many eggs are in nests"), ("b", "Which bus leaves between"))
        for n in (1, 2)
    ]  # fmt: skip
    path = tmp_path / "groups.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = script(tmp_path / "replies.json", *["1. No.\nAnswer: 3", RIGHT, RIGHT] * 2)
    given = [str(path), "--reasoner", spec, "--output-dir", str(tmp_path / "out")]
    assert run_app(["eval", "siblings", *given, "--dry-run"]) == 0
    assert re.search(r"taught +2 problems", capsys.readouterr().out)
    assert run_app(["eval", "siblings", *given]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"taught\s*│\s*2\s*│\s*100\.0%", printed)
    assert re.search(r"taught − empty\s*│\s*2\s*│\s*\+100\.0", printed)
    assert re.search(r"taught − placebo\s*│\s*2\s*│\s*\+0\.0", printed)
    assert "copied 0.0 %" in printed and "of 2 examples' answers" in printed.replace("\n", " ")


def test_a_dry_run_makes_nothing(
    problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["eval", "--problems-path", str(problems), "--output_dir", str(tmp_path / "out")]
    assert run_app([*given, "--dry-run", "--orders", "2"]) == 0
    printed = capsys.readouterr().out
    assert "online" in printed and " 8 samples" in printed and not (tmp_path / "out").exists()


def test_a_dry_run_refuses_the_folder_that_the_run_would_refuse(
    problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = script(tmp_path / "r.json", *[RIGHT] * 9)
    given = ["eval", "--problems-path", str(problems), "--output-dir", str(tmp_path / "out"),
             "--arms", "single", "--reasoner", spec]  # fmt: skip
    assert run_app(given) == 0
    assert run_app([*given, "--dry-run"]) == 2 and "--resume" in capsys.readouterr().err
    assert run_app([*given, "--dry-run", "--resume"]) == 0
    assert run_app([*given, "--dry-run", "--resume", "--seed", "1"]) == 2
    assert "seed: 1 instead of 0" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arms", "single,golden"], "unknown arm 'golden'"),
        (["--budget", "some"], "budget 'some' cannot be read"),
        (["--budget", "$3"], "needs prices"),
        (["--price-in", "3"], "give both --price-in and --price-out"),
        (["--withhold", "2"], "probability from 0 to 1"),
        (["--arms", "frozen"], "give --train-path"),
        (["--vita_model", "x", "--reasoner", "y:z"], "not both"),
        (["--rmm", "a:b", "--rmm_base_model", "c"], "not both"),
        (["--orders", "0"], "orders must be 1 or more"),
        (["--feedback", "human", "--arms", "empty"], "cannot ask a person"),
        (["--problems-path", "gone.jsonl"], "gone.jsonl"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(
    problems: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = script(tmp_path / "replies.json", RIGHT)
    given = ["--problems-path", str(problems), "--output-dir", str(tmp_path / "out")]
    reasoner = [] if "--reasoner" in options else ["--reasoner", spec]
    assert run_app(["eval", *given, *reasoner, *options]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("base", "adapter", "spec"),
    [
        ("qwen", None, "local:qwen"),
        ("qwen", Path("/a"), "local:qwen+/a"),
        ("vita:/v", None, "vita:/v"),
        (None, Path("/a"), "local:qwen2.5-coder-0.5b-instruct+/a"),
        (None, None, None),
    ],
)
def test_the_memory_writer_is_named_by_model_and_adapter(
    base: str | None, adapter: Path | None, spec: str | None
) -> None:
    from vitarmm_agent.cli.eval_run import _rmm

    assert _rmm(None, base, adapter) == spec


def test_the_reasoner_of_a_server_needs_no_provider() -> None:
    from vitarmm_agent.cli.eval_run import reasoner_of

    assert reasoner_of("tiny", None, "http://x/v1") == "openai:tiny"
    assert reasoner_of("local:tiny", None, "http://x/v1") == "local:tiny"
    assert reasoner_of(None, "/models/vita", None) == "vita:/models/vita"


class Killer:
    """Answers as the pupil does, and kills a process when a given request comes."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.left = -1

    def __call__(self, request: dict[str, Any]) -> str:
        self.left -= 1
        if self.left == 0 and self.process is not None:
            self.process.send_signal(signal.SIGKILL)
        prompt = "\n".join(str(message["content"]) for message in request["messages"])
        return answer_to(prompt, asked_for(request))


@pytest.mark.slow
def test_killed_twice_it_gives_the_numbers_of_a_run_left_alone(
    problems: Path, tmp_path: Path, weights: Callable[[str], Path]
) -> None:
    weights("all-minilm-l6-v2")
    killer = Killer()
    environment = os.environ | {"no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1"}

    def start(out: str, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "vitarmm_agent.cli", "eval", "--problems_path", str(problems),
             "--output_dir", str(tmp_path / out), "--arms", "single,online", "--orders", "2",
             "--workers", "3", "--model", "pupil", "--base_url", url, *options],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    with running(ScriptedServer(killer)) as url:
        alone = start("alone")
        printed = alone.communicate(timeout=240)[0]
        assert alone.returncode == 0, printed
        for resume, limit in (([], 6), (["--resume"], 9)):
            killer.process = start("cut", *resume)
            killer.left = limit
            killer.process.communicate(timeout=240)
            assert killer.process.returncode == -signal.SIGKILL
        killer.process = None
        last = start("cut", "--resume")
        printed = last.communicate(timeout=240)[0]
        assert last.returncode == 0, printed
    folders = [EvaluationFolder(tmp_path / name) for name in ("alone", "cut")]
    assert timeless(folders[0].samples()) == timeless(folders[1].samples())
    assert len(folders[1].config().sessions) == 3
