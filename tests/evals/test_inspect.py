"""The agent under real Inspect runs: its tasks, scorers and logs."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("inspect_ai")

from inspect_ai import Task, eval, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, EvalSample, read_eval_log
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentAudio,
    ContentImage,
    ContentText,
)
from inspect_ai.scorer import Scorer, choice, exact, match
from inspect_ai.solver import system_message

from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.evals.inspect import METADATA, vitarmm_solver
from vitarmm_agent.models.scripted import ScriptedChatModel

SLIP = "1. 3 + 4 = 8\nAnswer: 8"
SEVEN = "1. 3 + 4 = 7\nAnswer: 7"
TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def sums():
    return Task(dataset=[Sample(input="What is 3 + 4?", target="7")], scorer=match())
"""
ROOT = Path(__file__).parent.parent.parent
Agent = Callable[..., tuple[ReasoningAgent, ScriptedChatModel]]


@pytest.fixture
def make(tmp_path: Path) -> Agent:
    def opened(*replies: Any, **options: Any) -> tuple[ReasoningAgent, ScriptedChatModel]:
        model = ScriptedChatModel.of(*replies)
        options = {"feedback": "arithmetic", "memory": "off", "rmm": model, **options}
        return ReasoningAgent.open(reasoner=model, data_dir=tmp_path / "data", **options), model

    return opened


def run(
    tmp_path: Path, samples: list[Sample], solver: Any, scorer: Scorer, **options: Any
) -> EvalLog:
    task = Task(dataset=MemoryDataset(samples), solver=solver, scorer=scorer)
    (log,) = eval(
        task, model="mockllm/model", log_dir=str(tmp_path / "logs"), display="none", **options
    )
    return read_eval_log(log.location)


def samples_of(log: EvalLog) -> list[EvalSample]:
    assert log.status == "success", log.error
    return log.samples or []


def accuracy(log: EvalLog) -> float:
    assert log.results is not None
    return log.results.scores[0].metrics["accuracy"].value


def test_a_task_of_texts(tmp_path: Path, make: Agent) -> None:
    """Two samples, the first right after a slip that arithmetic finds, the second wrong."""
    agent, model = make(
        {"content": SLIP, "match": "three and four"},
        {"content": SEVEN, "match": "three and four"},
        {"content": "1. 5 + 5 = 10\nAnswer: 10", "match": "five and five"},
    )
    samples = [
        Sample(input="What is three and four?", target="7", id="a"),
        Sample(input="What is five and five?", target="11", id="b"),
    ]
    log = run(tmp_path, samples, vitarmm_solver(agent), match())
    first, second = samples_of(log)
    assert accuracy(log) == 0.5
    assert first.output.completion == f"{SEVEN}\n\nANSWER: 7"
    assert [message.role for message in first.messages] == ["user", "assistant"]
    assert first.output.usage is not None
    assert first.output.usage.total_tokens > 0
    kept = first.metadata[METADATA]
    assert kept["answers"] == ["8", "7"]
    assert [said["verdict"] for said in kept["verdicts"]][0] == "fail"
    assert kept["verdicts"][0]["source"] == "arithmetic"
    assert agent.result(kept["thread_id"]).answer == "7"
    assert second.metadata[METADATA]["thread_id"] != kept["thread_id"]
    assert model.left == 0
    noted = [event for event in first.events if event.event == "info"]
    assert [event.source for event in noted] == [METADATA]


def test_the_target_reaches_no_prompt(tmp_path: Path, make: Agent) -> None:
    agent, model = make(SEVEN)
    sample = Sample(input="What is three and four?", target="ZEBRA", metadata={"gold": "ZEBRA"})
    run(tmp_path, [sample], vitarmm_solver(agent), match())
    assert "ZEBRA" not in str([call.messages for call in model.calls])


def test_multiple_choice_with_its_scorer(tmp_path: Path, make: Agent) -> None:
    agent, model = make("1. It is red.\nAnswer: B", "1. It is red.\nAnswer: A", "1. Hm.\nNo idea.")
    samples = [
        Sample(input=f"Which colour, {n}?", choices=["blue", "red"], target="B") for n in "abc"
    ]
    log = run(tmp_path, samples, vitarmm_solver(agent), choice(), max_samples=1)
    right, wrong, none = samples_of(log)
    assert accuracy(log) == pytest.approx(1 / 3)
    assert [s.scores["choice"].answer for s in (right, wrong) if s.scores] == ["B", "A"]
    assert none.output.completion == "1. Hm.\nNo idea."
    prompt = str(model.calls[0].messages)
    assert "(A) blue" in prompt
    assert "(B) red" in prompt


def test_images_and_instructions(tmp_path: Path, make: Agent) -> None:
    picture = tmp_path / "figure.png"
    Image.new("RGB", (9, 7), "red").save(picture)
    agent, model = make(SEVEN)
    asked = ChatMessageUser(
        content=[ContentText(text="How many?"), ContentImage(image=str(picture))]
    )
    log = run(
        tmp_path,
        [Sample(input=[asked], target="7")],
        [system_message("Count with care."), vitarmm_solver(agent, answer_type="integer")],
        match(),
    )
    (sample,) = samples_of(log)
    assert accuracy(log) == 1
    problem = agent.result(sample.metadata[METADATA]["thread_id"]).problem
    assert problem.text == "Count with care.\n\nHow many?"
    assert problem.answer_type == "integer"
    assert [(image.width, image.height) for image in problem.images] == [(9, 7)]
    assert "image" in str(model.calls[0].messages)


def test_a_conversation_is_written_out_with_roles(tmp_path: Path, make: Agent) -> None:
    agent, _ = make(SEVEN)
    talk = [
        ChatMessageSystem(content="Add."),
        ChatMessageUser(content="1 + 1?"),
        ChatMessageAssistant(content="2"),
        ChatMessageUser(content="3 + 4?"),
    ]
    log = run(tmp_path, [Sample(input=talk, target="7")], vitarmm_solver(agent), match())
    (sample,) = samples_of(log)
    problem = agent.result(sample.metadata[METADATA]["thread_id"]).problem
    assert problem.text == "Add.\n\nuser: 1 + 1?\n\nassistant: 2\n\nuser: 3 + 4?"


def test_the_answer_alone_for_exact_scorers(tmp_path: Path, make: Agent) -> None:
    agent, _ = make(SEVEN)
    samples = [Sample(input="3 + 4?", target="7")]
    log = run(tmp_path, samples, vitarmm_solver(agent, completion="answer"), exact())
    assert samples_of(log)[0].output.completion == "7"
    assert log.results is not None
    assert log.results.scores[0].metrics["mean"].value == 1


def test_what_fails_is_an_error_and_no_answer(tmp_path: Path, make: Agent) -> None:
    agent, _ = make({"error": "die", "match": "first"}, {"content": SEVEN, "match": "second"})
    sound = ContentAudio(audio=f"data:audio/wav;base64,{'A' * 40}", format="wav")
    samples = [
        Sample(input="first: 3 + 4?", target="7"),
        Sample(input="second: 3 + 4?", target="7"),
        Sample(input=[ChatMessageUser(content=[sound])], target="7"),
    ]
    log = run(tmp_path, samples, vitarmm_solver(agent), match(), fail_on_error=False)
    died, fine, unheard = samples_of(log)
    assert died.error is not None
    assert fine.error is None
    assert unheard.error is not None
    assert "audio" in unheard.error.message
    assert died.output.completion == ""


async def test_samples_run_side_by_side_on_one_loop(tmp_path: Path, make: Agent) -> None:
    """Most of the samples have begun before the first of them is done."""
    agent, _ = make(*[{"content": SEVEN, "delay": 2.0}] * 12)
    samples = [Sample(input=f"3 + 4, number {n}?", target="7") for n in range(12)]
    task = Task(dataset=MemoryDataset(samples), solver=vitarmm_solver(agent), scorer=match())
    (log,) = await eval_async(
        task, model="mockllm/model", log_dir=str(tmp_path / "logs"), max_samples=12
    )
    done = samples_of(log)
    first_end = min(str(sample.completed_at) for sample in done)
    assert sum(str(sample.started_at) < first_end for sample in done) >= 6
    assert accuracy(log) == 1


def test_an_agent_opened_by_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"content": SEVEN}]), encoding="utf-8")
    solver = vitarmm_solver(
        reasoner=f"scripted:{script}", feedback="arithmetic", memory="off", max_iterations=1
    )
    log = run(tmp_path, [Sample(input="3 + 4?", target="7")], solver, match())
    assert accuracy(log) == 1
    assert log.plan.steps[0].solver.endswith("vitarmm_solver")
    assert log.plan.steps[0].params["max_iterations"] == 1


@pytest.mark.slow
def test_the_command_line_of_inspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the entry point that pyproject names; ``off`` arrives as false, a list as a list."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"content": SEVEN}]), encoding="utf-8")
    (tmp_path / "sums.py").write_text(TASK, encoding="utf-8")
    package = tmp_path / "installed" / "points-0.dist-info"
    package.mkdir(parents=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = "".join(f"{n} = {m}\n" for n, m in project["entry-points"]["inspect_ai"].items())
    (package / "entry_points.txt").write_text(f"[inspect_ai]\n{points}")
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: points\nVersion: 0\n")
    command = [
        sys.executable, "-m", "inspect_ai", "eval", "sums.py", "--model", "mockllm/model",
        "--solver", "vitarmm_agent/vitarmm_solver", "-S", f"reasoner=scripted:{script}",
        "-S", "memory=off", "-S", "feedback=arithmetic,choice", "--log-dir", "logs",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (log,) = (tmp_path / "logs").glob("*.eval")
    assert accuracy(read_eval_log(str(log))) == 1


def test_an_agent_and_options_contradict(make: Agent) -> None:
    agent, _ = make()
    with pytest.raises(InputError, match="takes no memory"):
        vitarmm_solver(agent, memory="off")


def test_without_inspect_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("inspect_ai"):
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.delitem(sys.modules, "vitarmm_agent.evals.inspect")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"vitarmm-agent\[inspect\]"):
        __import__("vitarmm_agent.evals.inspect")
