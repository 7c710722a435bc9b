from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, RIGHT, WRONG, nothing, operations, script
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.schema import Provenance
from vitarmm_agent.rmm.schema import parse_output
from vitarmm_agent.training.rows import DecisionRow
from vitarmm_agent.training.sampling import draw, load_problems
from vitarmm_agent.training.simulate import simulate
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig, Summary, read_cases

GARDEN = (
    "A square garden behind the old mill of the village has a perimeter of 20 meters. "
    "What is its area?"
)
YARD = "A square yard next to the school has a perimeter of twenty meters. What is its area?"
SECRET = "WORKED-SOLUTION"
BAD = LESSON | {"title": "Guess", "content": "Guess a number that looks right."}
COPY = LESSON | {
    "title": "Garden",
    "applies_when": "a square garden behind the old mill of the village",
    "content": "Square a side.",
}
HELPED = {"match": "Divide the perimeter by four", "content": RIGHT}


def rows_file(folder: Path, *texts: str, name: str = "squares_train.jsonl") -> Path:
    path = folder / name
    lines = [
        json.dumps({"id": f"s-{i}", "question": text, "answer": f"{SECRET}\n#### 25"})
        for i, text in enumerate(texts)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def config(folder: Path, *, writer: list[Any], reasoner: list[Any] | None = None,
           texts: tuple[str, ...] = (GARDEN, YARD), **options: Any) -> SimulationConfig:  # fmt: skip
    replies = reasoner or [HELPED] * 12 + [{"match": "square", "content": WRONG}] * 12
    given = {
        "sources": [{"name": "gsm8k", "path": str(rows_file(folder, *texts))}],
        "vita_model": script(folder / "reasoner.json", *replies),
        "feedback_model": script(folder / "judge.json"),
        "rmm": script(folder / "writer.json", *writer),
        "feedback": "arithmetic",
        "oracle": True,
        "holdout": 0.0,
        "candidates": 1,
    }
    return SimulationConfig.of(**given | options)


def go(config: SimulationConfig, folder: Path, **options: Any) -> Summary:
    return asyncio.run(simulate(config, folder, **options))


def decisions(folder: Path) -> list[DecisionRow]:
    rows = json.loads((folder / "combined_data.json").read_text())
    return [DecisionRow.model_validate(row) for row in rows]


def test_decisions_are_tried_audited_and_written(tmp_path: Path) -> None:
    writer = [
        operations(LESSON), nothing(),  # the run: a failure, then a contrast
        operations(BAD), operations(COPY),  # other decisions on the failure
        nothing(), "no json", "still none",  # and on the contrast
        nothing(), nothing(), nothing(),  # the second problem: a success
    ]  # fmt: skip
    out = tmp_path / "out"
    summary = go(config(tmp_path, writer=writer, candidates=3), out)
    rows = decisions(out)
    assert [(r.problem_id, r.situation, r.label) for r in rows] == [
        ("s-0", "failure", "chosen"),
        ("s-0", "failure", "rejected"),
        ("s-0", "contrast", "unlabelled"),
        ("s-1", "success", "unlabelled"),
    ]
    assert (rows[0].effect_own, rows[0].effect_similar) == ("fixes", "fixes")
    assert (rows[0].verdict_before, rows[0].verdict_after) == ("fail", "pass")
    assert rows[1].verdict_after is None and all(row.oracle for row in rows)
    assert summary.leaks == {"verbatim": 1}
    assert summary.dropped == {"leak": 1, "said before": 3, "unusable": 1}
    assert (summary.decisions, summary.preferences, summary.crashes) == (4, 1, {})
    assert "old mill" not in str([row.completion for row in rows])
    assert SECRET not in (out / "combined_data.json").read_text()
    for row in rows:
        parse_output(json.loads(row.completion[0].content), [], Provenance())


def test_a_prompt_is_what_the_writer_was_sent(tmp_path: Path) -> None:
    from vitarmm_agent import ReasoningAgent
    from vitarmm_agent.evals.writers.cases import cases_of
    from vitarmm_agent.memory_store.open import open_memory
    from vitarmm_agent.models.scripted import ScriptedChatModel
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.training.simulator import as_chat

    writer = ScriptedChatModel.of(operations(LESSON), nothing())
    problem = Problem(text=GARDEN, reference="25", metadata={"benchmark": "gsm8k"})
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(WRONG, RIGHT),
        feedback="arithmetic",
        rmm=writer,
        memory=open_memory(Settings.load()),
        oracle=True,
    )
    cases = cases_of(agent.solve(problem), problem)
    assert [case.situation for case in cases] == ["failure", "contrast"]
    shown = [[entry.id for entry in found] for found in (cases[1].related, cases[1].recalled)]
    assert shown[0] == shown[1] and len(shown[0]) == 1
    for case, call in zip(cases, writer.calls, strict=True):
        assert as_chat(case.messages()) == as_chat(call.messages)


def test_an_interrupted_simulation_goes_on(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(row: SimulatedRow) -> None:
        raise Interrupted

    replies = [operations(LESSON), nothing(), nothing()]
    whole = config(tmp_path, writer=replies)
    go(whole, tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(whole, tmp_path / "out", on_row=interrupt)
    script(tmp_path / "writer.json", nothing())  # the first problem's replies are gone
    with pytest.raises(InputError, match="--resume"):
        go(whole, tmp_path / "out")
    seen: list[str] = []
    go(whole, tmp_path / "out", resume=True, on_row=lambda row: seen.append(row.key))
    assert seen == ["gsm8k/s-1"]
    told = [
        [row.model_dump(exclude={"prompt"}) for row in decisions(tmp_path / name)]
        for name in ("whole", "out")
    ]
    assert told[0] == told[1] and len(told[0]) == 3


def test_a_run_that_ended_before_its_row_was_kept_is_not_run_again(tmp_path: Path) -> None:
    plan = config(tmp_path, writer=[operations(LESSON), nothing(), nothing()], replay=False)
    out = tmp_path / "out"
    go(plan, out)
    before = decisions(out)
    ledger = out / "simulate.jsonl"
    ledger.write_text(ledger.read_text().splitlines()[0] + "\n")
    script(tmp_path / "reasoner.json")
    script(tmp_path / "writer.json")
    assert go(plan, out, resume=True).crashes == {}
    assert decisions(out) == before


def test_resuming_another_simulation_is_refused(tmp_path: Path) -> None:
    plan = config(tmp_path, writer=[nothing()] * 4, replay=False)
    go(plan, tmp_path / "out")
    with pytest.raises(InputError, match="seed was 0, not 1"):
        go(plan.model_copy(update={"seed": 1}), tmp_path / "out", resume=True)


def test_resuming_with_other_rows_or_another_adapter_is_refused(tmp_path: Path) -> None:
    plan = config(tmp_path, writer=[nothing()] * 4, replay=False)
    go(plan, tmp_path / "out")
    rows = Path(plan.sources[0].path)
    told = rows.read_text("utf-8")
    rows.write_text(told.replace("square", "rhombus"), "utf-8")
    with pytest.raises(InputError, match="problems was"):
        go(plan, tmp_path / "out", resume=True)
    rows.write_text(told, "utf-8")
    kept = tmp_path / "out" / "config.json"
    data = json.loads(kept.read_text("utf-8"))
    kept.write_text(json.dumps(data | {"adapters": {"local:x+y": "sha256:0"}}), "utf-8")
    with pytest.raises(InputError, match="adapters was"):
        go(plan, tmp_path / "out", resume=True)
    del data["problems"], data["adapters"]  # as an earlier version wrote it
    kept.write_text(json.dumps(data), "utf-8")
    go(plan, tmp_path / "out", resume=True)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not empty"):
        go(config(tmp_path, writer=[]), tmp_path)


def test_a_model_that_fails_on_a_row_spoils_that_row_only(tmp_path: Path) -> None:
    right = {"match": "perimeter", "content": RIGHT}
    writer = [{"match": "old mill", "error": "refuse", "content": "I will not"}, nothing()]
    plan = config(tmp_path, writer=writer, reasoner=[right] * 4, replay=False)
    summary = go(plan, tmp_path / "out")
    assert (summary.problems, summary.decisions) == (2, 1)
    assert list(summary.crashes) == ["RefusalError: I will not"]


def test_what_crashed_for_another_reason_than_the_model_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that has run out is no fault of the model: `IndexError` or its like."""
    right = {"match": "perimeter", "content": RIGHT}
    refused = {"match": "old mill", "error": "refuse", "content": "I will not"}
    plan = config(tmp_path, writer=[refused], reasoner=[right] * 2, replay=False)
    summary = go(plan, tmp_path / "out")
    assert sum(summary.crashes.values()) == 2 and summary.decisions == 0
    script(tmp_path / "writer.json", nothing())
    seen: list[str] = []
    summary = go(plan, tmp_path / "out", resume=True, on_row=lambda row: seen.append(row.key))
    assert seen == ["gsm8k/s-1"] and summary.decisions == 1
    assert list(summary.crashes) == ["RefusalError: I will not"]


def test_where_everything_crashed_the_command_fails_and_advises_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = script(tmp_path / "none.json")
    words = ["simulate", "--gsm8k-path", str(rows_file(tmp_path, GARDEN)), "-r", empty,
             "--judge", empty, "--holdout", "0", "--output-dir", str(tmp_path / "out")]  # fmt: skip
    assert run_app(words) == 1
    shown = capsys.readouterr().out
    assert "Train on it" not in shown and "--resume" in shown


def test_feedback_that_cannot_judge_is_counted(tmp_path: Path) -> None:
    judge = [{"match": "old mill", "error": "refuse"}, {"match": "school", "error": "refuse"}]
    plan = config(
        tmp_path,
        writer=[],
        reasoner=[{"match": "perimeter", "content": RIGHT}] * 2,
        feedback="judge",
        oracle=False,
        feedback_model=script(tmp_path / "refusing.json", *judge),
        replay=False,
    )
    summary = go(plan, tmp_path / "out")
    assert (summary.feedback_failures, summary.decisions, summary.crashes) == (2, 0, {})


def test_held_out_problems_give_situations_and_no_rows(tmp_path: Path) -> None:
    plan = config(tmp_path, writer=[nothing()] * 8, holdout=0.5)
    summary = go(plan, tmp_path / "out", workers=2)
    cases = read_cases(tmp_path / "out")
    assert summary.held_out == 1 and len(cases) == summary.held_out_cases > 0
    held = {case.problem.id for case in cases}
    assert held.isdisjoint(row.problem_id for row in decisions(tmp_path / "out"))
    assert cases[0].problem.reference == "25"


def test_the_draw_is_fixed_by_its_seed(tmp_path: Path) -> None:
    texts = tuple(f"{YARD} Plot {i}." for i in range(40))
    plan = config(tmp_path, writer=[], texts=texts, num_samples=20, holdout=0.1)
    tasks = load_problems(plan).tasks
    assert len(tasks) == 20 and sum(task.held_out for task in tasks) == 2
    assert load_problems(plan).tasks == tasks
    assert load_problems(plan.model_copy(update={"seed": 1})).tasks != tasks
    pool = load_problems(plan).pool["gsm8k"]
    assert len(pool) == 38 and len(draw(pool, plan)) == 20


def test_test_rows_are_no_training_rows(tmp_path: Path) -> None:
    path = rows_file(tmp_path, GARDEN, name="gsm8k_test.jsonl")
    plan = config(tmp_path, writer=[], sources=[{"name": "gsm8k", "path": str(path)}])
    with pytest.raises(InputError, match="training split"):
        load_problems(plan)


def test_mathvista_needs_the_right(tmp_path: Path, shared: Path) -> None:
    path = shared / "data" / "vision" / "problems.jsonl"
    source = {"name": "mathvista", "path": str(path), "image_dir": str(path.parent)}
    plan = config(tmp_path, writer=[], sources=[source], num_samples=2)
    with pytest.raises(InputError, match="i-have-the-right"):
        load_problems(plan)
    allowed = load_problems(plan.model_copy(update={"test_only_allowed": True}))
    assert len(allowed.tasks) == 2


@pytest.mark.parametrize("dash", ["-", "_"])
def test_the_command_takes_either_spelling(tmp_path: Path, dash: str) -> None:
    plan = config(tmp_path, writer=[nothing()] * 4)
    options = {
        "vita_model": plan.vita_model,
        "feedback_model": plan.feedback_model,
        "rmm": str(plan.rmm),
        "gsm8k_path": plan.sources[0].path,
        "output_dir": str(tmp_path / "out"),
        "num_samples": "-1",
        "workers": "2",
        "feedback": "arithmetic",
        "max_iterations": "1",
    }
    words = [w for k, v in options.items() for w in (f"--{k.replace('_', dash)}", v)]
    assert run_app(["simulate", *words, "--oracle", "--no-replay", "--candidates", "1",
                    "--holdout", "0"]) == 0  # fmt: skip
    assert len(decisions(tmp_path / "out")) == 2


def test_the_reasoner_that_is_named_also_judges_and_writes(tmp_path: Path) -> None:
    spec = script(tmp_path / "all.json", *[RIGHT, nothing()] * 9)
    words = ["simulate", "--gsm8k-path", str(rows_file(tmp_path, GARDEN)), "-r", spec,
             "--no-replay", "--output-dir", str(tmp_path / "out")]  # fmt: skip
    run_app(words)
    known = json.loads((tmp_path / "out" / "config.json").read_text())
    assert known["vita_model"] == known["feedback_model"] == spec


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["simulate", "--output_dir", str(tmp_path / "out")]) == 2
    assert "--gsm8k-path" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_killed_simulation_goes_on(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys
    import time

    texts = tuple(f"{YARD} It is yard {word}." for word in ("one", "two", "three"))
    slow = [{"match": "square", "content": RIGHT, "delay": 0.4}] * 40
    plan = config(tmp_path, writer=[nothing()] * 40, reasoner=slow, texts=texts)
    out = tmp_path / "out"
    words = ["--vita_model", plan.vita_model, "--feedback_model", plan.feedback_model,
             "--rmm", str(plan.rmm), "--gsm8k_path", plan.sources[0].path, "--oracle",
             "--feedback", "arithmetic", "--holdout", "0", "--candidates", "1",
             "--max_iterations", "2", "--output_dir", str(out)]  # fmt: skip
    command = [sys.executable, "-m", "vitarmm_agent.cli", "simulate", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ledger, deadline = out / "simulate.jsonl", time.monotonic() + 60
    while not (ledger.exists() and ledger.stat().st_size):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)  # in the middle of the next problem's attempt
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    finished = len(ledger.read_text().splitlines())
    assert 1 <= finished < 3
    assert run_app(["simulate", *words, "--resume"]) == 0
    rows = decisions(out)
    assert [row.problem_id for row in rows] == [f"s-{i}" for i in range(3)]
    assert len(ledger.read_text().splitlines()) == 3
    assert json.loads((out / "summary.json").read_text())["crashes"] == {}
