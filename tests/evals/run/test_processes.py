from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evals.pupil import (
    TEXTS,
    Pupil,
    answer_to,
    benchmark_of,
    models_of,
    plan_of,
    problems_of,
    timeless,
)
from vitarmm_agent.errors import InputError, InternalError, ModelServerError, WeightsError
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.run.processes import portable
from vitarmm_agent.evals.run.runner import evaluate
from vitarmm_agent.evals.speed.server import ScriptedServer, asked_for, running
from vitarmm_agent.evals.worklist import http_status


def pupil(request: dict[str, Any]) -> str:
    prompt = "\n".join(str(message["content"]) for message in request["messages"])
    return answer_to(prompt, asked_for(request))


def kill(*processes: Any) -> None:
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


@contextmanager
def served_plan(
    folder: Path, arms: str, reply: Any = pupil, **choices: Any
) -> Iterator[EvaluationPlan]:
    with running(ScriptedServer(reply)) as url:
        plan = plan_of(folder, arms, learning=benchmark_of(problems_of(TEXTS[6:], "t")))
        settings = plan.settings.model_copy(update={"reasoner": "openai:pupil", "base_url": url})
        yield replace(
            plan, settings=settings, benchmarks=(benchmark_of(problems_of(TEXTS[:3])),), **choices
        )


@pytest.fixture(autouse=True)
def embedder(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")


async def test_two_processes_give_the_samples_of_one(tmp_path: Path) -> None:
    arms = "single,within,frozen,online,consistency"
    with served_plan(tmp_path / "one", arms) as plan:
        alone = await evaluate(plan)
    with served_plan(tmp_path / "two", arms, processes=2) as plan:
        spread = await evaluate(plan)
    assert len(spread.samples) == sum(plan.expected().values())
    assert not any(sample.crash for sample in spread.samples)
    assert timeless(spread.samples) == timeless(alone.samples)


async def test_a_process_that_dies_loses_nothing(tmp_path: Path) -> None:
    left = iter(range(6))

    def reply(request: dict[str, Any]) -> str:
        if next(left, None) == 5:
            kill(*multiprocessing.active_children()[:1])
        return pupil(request)

    with served_plan(tmp_path / "out", "single,within", reply, processes=2) as plan:
        outcome = await evaluate(plan)
    assert next(left, None) is None, "nobody was killed"
    assert outcome.stopped is None and len(outcome.samples) == sum(plan.expected().values())
    assert not any(sample.crash for sample in outcome.samples)


async def test_with_no_process_left_it_stops_and_can_go_on(tmp_path: Path) -> None:
    once = iter(range(1))

    def reply(request: dict[str, Any]) -> str:
        if next(once, None) is not None:
            kill(*multiprocessing.active_children())
        return pupil(request)

    with served_plan(tmp_path / "out", "single", reply, processes=2) as plan:
        outcome = await evaluate(plan)
        assert outcome.stopped is not None and "exit code -9" in outcome.stopped
        assert not outcome.samples
        outcome = await evaluate(plan, resume=True)
    assert outcome.stopped is None and len(outcome.samples) == sum(plan.expected().values())
    assert not any(sample.crash for sample in outcome.samples)


async def test_cancelled_it_leaves_no_process_behind(tmp_path: Path) -> None:
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    def reply(request: dict[str, Any]) -> str:
        loop.call_soon_threadsafe(asked.set)
        time.sleep(0.5)
        return pupil(request)

    with served_plan(tmp_path / "out", "single", reply, processes=2) as plan:
        task = asyncio.create_task(evaluate(plan))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not multiprocessing.active_children()


async def test_what_a_process_cannot_load_is_told(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path / "out", "single"), processes=2)
    settings = plan.settings.model_copy(update={"reasoner": "local:nowhere"})
    with pytest.raises(WeightsError, match="nowhere"):
        await evaluate(replace(plan, settings=settings))
    assert not multiprocessing.active_children()


async def test_loaded_models_and_wrong_numbers_are_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "out", "single")
    with pytest.raises(InputError, match="cannot be shared"):
        await evaluate(replace(plan, processes=2), models=models_of(Pupil()))
    for number in (0, plan.workers + 1):
        with pytest.raises(InputError, match="processes must be from 1"):
            await evaluate(replace(plan, processes=number))


def test_an_error_keeps_its_kind_and_status_on_the_way() -> None:
    class Refused(Exception):
        status_code = 503

    error = ModelServerError("busy")
    error.__cause__ = Refused()
    sent = pickle.loads(pickle.dumps(portable(error)))
    assert isinstance(sent, ModelServerError) and str(sent) == "busy" and http_status(sent) == 503
    local = portable(Refused("of a class that no other process knows"))
    assert isinstance(local, InternalError) and "no other process" in str(local)
    assert http_status(local) == 503
