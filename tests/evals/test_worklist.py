from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.evals.worklist import ALONE, Job, WorkList, read_rows
from vitarmm_agent.models import ScriptedChatModel
from vitarmm_agent.models.calls import ask
from vitarmm_agent.models.scripted import ScriptedReply


class Line(BaseModel):
    name: str
    value: int = 0
    crash: str | None = None

    @property
    def key(self) -> str:
        return self.name


class StatusError(Exception):
    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


def crashed(job: Job, error: Exception) -> Line:
    return Line(name=job.key, crash=f"{type(error).__name__}: {error}")


def lanes(count: int, length: int = 1) -> list[list[Job]]:
    return [[Job(f"{lane}/{n}", 10 * lane + n) for n in range(length)] for lane in range(count)]


async def doubled(job: Job) -> Line:
    await asyncio.sleep(0)
    return Line(name=job.key, value=2 * job.payload)


async def test_jobs_are_done_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "out" / "rows.jsonl"
    first = WorkList(path, Line)
    assert await first.run(lanes(5, 3), doubled, workers=4, crashed=crashed) is None
    seen: list[str] = []

    async def once(job: Job) -> Line:
        seen.append(job.key)
        return await doubled(job)

    again = WorkList(path, Line)
    assert again.done == first.done and len(again.done) == 15
    await again.run(lanes(6, 3), once, workers=4, crashed=crashed)
    assert seen == ["5/0", "5/1", "5/2"]
    rows = read_rows(path, Line)
    assert {row.key: row.value for row in rows}["5/2"] == 104
    path.write_bytes(path.read_bytes() * 2)  # put together from two copies
    assert read_rows(path, Line) == rows


async def test_a_lane_keeps_its_order_and_lanes_go_side_by_side(tmp_path: Path) -> None:
    running, most, order = 0, 0, list[str]()

    async def slow(job: Job) -> Line:
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(job.key)
        await asyncio.sleep(random.random() / 100)
        running -= 1
        return Line(name=job.key)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    await work.run(lanes(6, 4), slow, workers=3, crashed=crashed)
    assert most == 3
    for lane in range(6):
        assert [k for k in order if k.startswith(f"{lane}/")] == [f"{lane}/{n}" for n in range(4)]


@pytest.mark.parametrize("end", [b'{"name": "torn', b'{"name": "torn"}', b"\0\0\0\n", b"\n"])
async def test_a_torn_last_line_is_dropped(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"name": "0/0", "value": 7}\n' + end)
    work = WorkList(path, Line)
    assert list(work.done) == ["0/0"] and path.read_bytes().endswith(end)  # reading changes nothing
    await work.run(lanes(2), doubled, workers=1, crashed=crashed)
    assert [row.key for row in read_rows(path, Line)] == ["0/0", "1/0"]
    assert read_rows(path, Line)[0].value == 7


@pytest.mark.parametrize("line", ["{nothing}", '{"value": 3}'])
def test_another_broken_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"name": "a"}}\n{line}\n{{"name": "b"}}\n')
    with pytest.raises(InputError, match="line 2 is no Line"):
        WorkList(path, Line)


async def test_a_crash_is_a_row_and_the_lane_goes_on(tmp_path: Path) -> None:
    async def breaks(job: Job) -> Line:
        if job.key == "0/1":
            raise ZeroDivisionError("by nothing")
        if job.key == "0/2":
            await asyncio.sleep(60)
        if job.key == "0/3":
            raise TimeoutError("its own")
        return await doubled(job)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    await work.run(lanes(1, 5), breaks, workers=2, crashed=crashed, time_limit=0.05)
    assert [work.done[f"0/{n}"].crash for n in range(5)] == [
        None,
        "ZeroDivisionError: by nothing",
        "TimeoutError: it was not done within 0.05 s",
        "TimeoutError: its own",
        None,
    ]


def server_error(status: int | None) -> ModelServerError:
    error = ModelServerError("the server failed")
    if status is None:
        error.__cause__ = error  # as `raise error from error` leaves it
        return error
    error.__cause__ = StatusError(status)
    return error


@pytest.mark.parametrize("status", [None, 500, 503, 429])
async def test_a_server_that_comes_back_is_asked_again(tmp_path: Path, status: int | None) -> None:
    tries: Counter[str] = Counter()

    async def flaky(job: Job) -> Line:
        tries[job.key] += 1
        if tries[job.key] < 4:
            raise server_error(status)
        return await doubled(job)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    why = await work.run(lanes(3), flaky, workers=2, crashed=crashed, first_wait=0.001)
    assert why is None and all(row.crash is None for row in work.done.values())
    assert tries == {"0/0": 4, "1/0": 4, "2/0": 4}


async def test_a_server_that_stays_away_stops_the_work_and_costs_no_sample(tmp_path: Path) -> None:
    async def dies(job: Job) -> Line:
        if job.payload >= 20:
            raise server_error(None)
        return await doubled(job)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    options = {"workers": 1, "crashed": crashed, "patience": 0.05, "first_wait": 0.01}
    why = await work.run(lanes(9), dies, **options)  # type: ignore[arg-type]
    assert why is not None and "failed for 0.05 s: the server failed" in why
    assert list(work.done) == ["0/0", "1/0"]
    assert await work.run(lanes(9), doubled, **options) is None  # type: ignore[arg-type]
    assert len(read_rows(work.path, Line)) == 9


async def test_a_server_is_gone_only_when_it_answers_nobody(tmp_path: Path) -> None:
    """The first job waits longer in sum than there is patience, while the others are answered."""
    tries = 0

    async def busy(job: Job) -> Line:
        nonlocal tries
        if job.key == "0/0" and (tries := tries + 1) < 6:
            raise server_error(429)
        await asyncio.sleep(0.01)
        return await doubled(job)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    options = {"workers": 2, "crashed": crashed, "patience": 0.2, "first_wait": 0.02}
    assert await work.run(lanes(150), busy, **options) is None  # type: ignore[arg-type]
    assert tries == 6 and len(work.done) == 150


async def test_a_request_that_only_fails_while_others_are_answered_is_a_crash(
    tmp_path: Path,
) -> None:
    """Its own first call is answered at every try; that does not go on for ever."""
    replies = [ScriptedReply(content="once more")] * ALONE
    model = ScriptedChatModel(replies=replies)

    async def stuck(job: Job) -> Line:
        if job.key != "0/0":
            return await doubled(job)
        await arun(ask(model, [HumanMessage("?")]))
        raise server_error(500)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    options = {"workers": 1, "crashed": crashed, "first_wait": 0.0}
    assert await work.run(lanes(3), stuck, **options) is None  # type: ignore[arg-type]
    assert work.done["0/0"].crash == "ModelServerError: the server failed"
    assert len(work.done) == 3 and len(model.calls) == ALONE


async def test_a_refused_request_is_a_crash_but_a_wrong_key_ends_it(tmp_path: Path) -> None:
    async def refused(job: Job) -> Line:
        raise server_error(400 if job.key == "0/0" else 401)

    work = WorkList(tmp_path / "rows.jsonl", Line)
    with pytest.raises(ModelServerError):
        await work.run(lanes(3), refused, workers=1, crashed=crashed)
    assert [row.crash for row in work.done.values()] == ["ModelServerError: the server failed"]


async def test_stop_ends_before_the_next_job(tmp_path: Path) -> None:
    told: list[str] = []
    work = WorkList(tmp_path / "rows.jsonl", Line)
    why = await work.run(
        lanes(1, 9), doubled, workers=2, crashed=crashed,
        on_row=lambda row: told.append(row.key),
        stop=lambda: "enough" if len(told) == 4 else None,
    )  # fmt: skip
    assert why == "enough" and told == ["0/0", "0/1", "0/2", "0/3"]


async def test_cancelling_keeps_what_is_done(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def endless(job: Job) -> Line:
        if job.payload % 10 < 2:
            return await doubled(job)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(job.key)
            raise
        raise AssertionError

    work = WorkList(tmp_path / "rows.jsonl", Line)
    task = asyncio.create_task(work.run(lanes(3, 4), endless, workers=3, crashed=crashed))
    while len(work.done) < 6:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cancelled) == ["0/2", "1/2", "2/2"]
    assert len(read_rows(work.path, Line)) == 6
    assert (
        await WorkList(work.path, Line).run(lanes(3, 4), doubled, workers=1, crashed=crashed)
        is None
    )


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    async def meanwhile(job: Job) -> Line:
        with pytest.raises(InputError, match="another process works on"):
            await WorkList(path, Line).run(lanes(1), doubled, workers=1, crashed=crashed)
        return await doubled(job)

    await WorkList(path, Line).run(lanes(1), meanwhile, workers=1, crashed=crashed)
    with pytest.raises(InputError, match="workers must be 1 or more"):
        await WorkList(path, Line).run(lanes(1), doubled, workers=0, crashed=crashed)


async def test_no_row_counts_as_kept_when_the_ledger_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    work, told = WorkList(path, Line), list[Line]()

    async def breaks_it(job: Job) -> Line:
        path.mkdir(exist_ok=True)  # where the ledger should be
        return await doubled(job)

    with pytest.raises(InputError, match="cannot be written"):
        await work.run(lanes(20), breaks_it, workers=20, crashed=crashed, on_row=told.append)
    assert told == [] and work.done == {}
