"""Async for real: cancellation, time-outs, retries, fallbacks, many runs at once."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import Runnable

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import ModelServerError
from vitarmm_agent.evals.speed.concurrency import open_slow_agent, settle, solve_many
from vitarmm_agent.models.scripted import ScriptedChatModel

DIES: dict[str, Any] = {"error": "die"}
JUDGED_RIGHT: dict[str, Any] = {
    "structured": {
        "steps": [{"step": 1, "check": "5 * 5 = 25", "verdict": "right"}],
        "verdict": "right",
    }
}


def slow(seconds: float) -> dict[str, Any]:
    return {"content": RIGHT, "delay": seconds}


async def other_tasks() -> set[asyncio.Task[Any]]:
    """Tasks of this loop besides the test's own that have not ended within a second.

    LangGraph records a cancelled node with one last checkpoint write, which takes milliseconds; a
    leaked run would wait half a minute for its model.
    """
    deadline = time.monotonic() + 1
    while True:
        others = asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
        if not others or time.monotonic() > deadline:
            return others
        await asyncio.sleep(0.005)


async def test_a_cancelled_run_leaves_no_task_and_can_be_resumed(make_agent: MakeAgent) -> None:
    model = ScriptedChatModel.of(slow(30), RIGHT)
    agent = make_agent(reasoner=model, writes=[NOTHING])
    before = await other_tasks()
    solving = asyncio.create_task(agent.asolve(PROBLEM, thread_id="t"))
    await until(lambda: bool(model.calls))
    solving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await solving
    assert await other_tasks() == before
    assert (await agent.aresult("t")).status == "running"
    assert (await agent.aresume("t")).answer == "25"


async def test_a_reader_that_leaves_the_stream_leaves_no_task(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])
    before = await other_tasks()
    stream = agent.astream(PROBLEM, thread_id="t", stream_mode="custom")
    assert (await anext(stream))["event"] == "recalled"
    await stream.aclose()  # type: ignore[attr-defined]
    assert await other_tasks() == before
    assert (await agent.aresume("t")).answer == "25"


async def test_a_reader_cancelled_while_the_model_answers(make_agent: MakeAgent) -> None:
    model = ScriptedChatModel.of(slow(30), RIGHT)
    agent = make_agent(reasoner=model, writes=[NOTHING])
    before = await other_tasks()

    async def read() -> None:
        async for _ in agent.astream(PROBLEM, thread_id="t", stream_mode="custom"):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: bool(model.calls))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await other_tasks() == before
    assert (await agent.aresume("t")).answer == "25"


async def test_a_timed_out_run_can_be_resumed(make_agent: MakeAgent) -> None:
    agent = make_agent(slow(30), RIGHT, writes=[LESSON])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await agent.asolve(PROBLEM, thread_id="t")
    assert (await agent.aresume("t")).answer == "25"
    assert len(agent.memory.list()) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("wrapped", ["retry", "fallback", "both"])
async def test_retries_and_fallbacks_of_langchain(
    make_agent: MakeAgent, wrapped: str, asynchronous: bool
) -> None:
    """Each role's first call fails: reasoner and judge are one model here, the writer another."""
    models: dict[str, tuple[list[Any], list[Any]]] = {
        "solver": ([DIES, RIGHT, DIES, JUDGED_RIGHT], [RIGHT, JUDGED_RIGHT]),
        "writer": ([DIES, LESSON], [LESSON]),
    }
    made = {name: robust(wrapped, *replies) for name, replies in models.items()}
    agent = make_agent(reasoner=made["solver"], rmm=made["writer"], feedback="judge",
                       judge_pass_precision=0.9)  # fmt: skip
    result = await agent.asolve(PROBLEM) if asynchronous else agent.solve(PROBLEM)
    assert (result.answer, result.status) == ("25", "passed")
    assert result.written[0]["operations"][0]["kind"] == "added"
    assert result.attempts[0].model == "scripted"


def robust(kind: str, replies: list[Any], others: list[Any]) -> Runnable[Any, Any]:
    """A model that fails now and then, wrapped by LangChain's own means."""
    model = ScriptedChatModel.of(*replies)
    if kind == "retry":
        return model.with_retry(
            retry_if_exception_type=(ModelServerError,), wait_exponential_jitter=False
        )
    dead = ScriptedChatModel.of(*[DIES] * 10)
    if kind == "fallback":
        return dead.with_fallbacks([ScriptedChatModel.of(*others)])
    again = model.with_retry(
        retry_if_exception_type=(ModelServerError,), wait_exponential_jitter=False
    )
    return dead.with_fallbacks([again])


async def test_when_every_attempt_fails_the_run_can_be_resumed(make_agent: MakeAgent) -> None:
    model = ScriptedChatModel.of(DIES, DIES, RIGHT)
    twice = model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    agent = make_agent(reasoner=twice, writes=[NOTHING])
    with pytest.raises(ModelServerError):
        await agent.asolve(PROBLEM, thread_id="t")
    assert (await agent.aresume("t")).answer == "25"


async def test_rate_limits_of_langchain(make_agent: MakeAgent) -> None:
    limiter = InMemoryRateLimiter(
        requests_per_second=5, check_every_n_seconds=0.01, max_bucket_size=1
    )
    model = ScriptedChatModel(replies=ScriptedChatModel.of(*[RIGHT] * 4).replies,
                              rate_limiter=limiter)  # fmt: skip
    agent = make_agent(reasoner=model, writes=[NOTHING] * 4)
    start = time.perf_counter()
    results = await agent.abatch([PROBLEM] * 4)
    assert time.perf_counter() - start > 0.5
    assert [result.answer for result in results] == ["25"] * 4


async def test_runs_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """30 runs of three calls of a second each: in threads or in turn they would take longer."""
    agent = open_slow_agent(tmp_path)
    measured = await solve_many(agent, 30)
    assert all(result.passed for result in measured.results)
    assert all(result.written[0]["operations"] for result in measured.results)
    assert measured.seconds < 45  # half of what they take in turn
    for number in (0, 29):
        own = agent.memory.with_namespace(("bench", f"u{number}"))  # type: ignore[union-attr]
        (entry,) = own.list()
        assert entry.provenance.run == measured.results[number].thread_id


@pytest.mark.slow
async def test_two_hundred_runs_at_once(tmp_path: Path) -> None:
    """The figures are those of ``docs/performance.md``; this bound is for a busy machine."""
    agent = open_slow_agent(tmp_path)
    await solve_many(agent, 2)
    settle()
    try:
        measured = await solve_many(agent, 200)
    finally:
        gc.unfreeze()
    assert all(result.passed for result in measured.results)
    assert measured.seconds < 20
    assert measured.busy < 0.1


async def test_cancelling_some_of_many_runs_leaves_the_others(make_agent: MakeAgent) -> None:
    model = ScriptedChatModel.of(*[slow(0.5)] * 20)
    agent = make_agent(reasoner=model, writes=[NOTHING] * 20)
    tasks = [asyncio.create_task(agent.asolve(PROBLEM)) for _ in range(20)]
    await until(lambda: len(model.calls) == 20)
    for task in tasks[::2]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, asyncio.CancelledError) for end in ended] == [True, False] * 10
    assert await other_tasks() == set()


def test_a_killed_process_resumes_in_another(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([WRONG, {"content": RIGHT, "delay": 60}]), encoding="utf-8")
    program = f"""
import asyncio
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.verifiers.function import Function
agent = ReasoningAgent.open(
    reasoner="scripted:{script}", memory="off",
    feedback=[Function(lambda problem, attempt: attempt.answer == "25", name="is_25")],
)
async def main():
    async for event in agent.astream({PROBLEM!r}, thread_id="t", stream_mode="custom"):
        print(event["iteration"], event["event"], flush=True)
asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    for line in lines_of(process):
        if line == "2 recalled":
            break
    process.send_signal(signal.SIGKILL)
    process.wait(10)

    script.write_text(json.dumps([RIGHT]), encoding="utf-8")
    from vitarmm_agent.verifiers.function import Function

    agent = ReasoningAgent.open(
        reasoner=f"scripted:{script}",
        memory="off",
        feedback=[Function(lambda problem, attempt: attempt.answer == "25", name="is_25")],
    )
    result = agent.resume("t")
    assert [attempt.answer for attempt in result.attempts] == ["20", "25"]
    assert result.passed


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()


async def until(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
