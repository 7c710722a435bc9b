"""Actors on a Ray cluster of this machine, which all tests of this file share."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, chdir, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.evals.cluster.served import actors, pupil, rays, served_plan
from tests.evals.pupil import TEXTS, Pupil, benchmark_of, models_of, problems_of, timeless
from vitarmm_agent.errors import InputError, InternalError, OutputError
from vitarmm_agent.evals.cluster.actor import Errand
from vitarmm_agent.evals.cluster.actors import Actors
from vitarmm_agent.evals.cluster.session import Cluster, Session
from vitarmm_agent.evals.run.runner import evaluate
from vitarmm_agent.settings import Settings

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)
TWO = Cluster(actors=2)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that came with someone else's repository."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("vitarmm_agent", "multiprocessing", "psutil", "yaml"):
        (folder / f"{name}.py").write_text(
            f"open({str(folder / 'ran')!r}, 'w'); raise SystemExit(9)"
        )
    return folder


@pytest.fixture(scope="module", autouse=True)
def session(clone: Path) -> Iterator[Session]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors have no tests
    with chdir(clone):
        session = Session(TWO)
    yield session
    session.close()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Odd:
    """A worker that does what a test asks for."""

    def __init__(self, settings: Settings) -> None:
        self.data_dir = settings.data_dir

    async def answer(self, value: Any) -> Any:
        await asyncio.sleep(0.3)
        return value

    async def fail(self) -> None:
        error = OutputError("no JSON")
        error.__cause__ = ConnectionError("reset")
        raise error

    async def die(self) -> None:
        os._exit(3)

    async def hang(self, told: Path) -> None:
        told.write_text("begun")
        try:
            await asyncio.sleep(100)
        finally:
            told.write_text("cancelled")

    async def read(self, name: str) -> bytes:
        return (self.data_dir / name).read_bytes()

    def close(self) -> None:
        pass


@asynccontextmanager
async def odd(folder: Path) -> AsyncIterator[Actors]:
    settings = Settings.load(data_dir=folder)
    opened = await Actors.open(Session(TWO), settings, Odd, runs=4)
    try:
        yield opened
    finally:
        opened.close()


async def seen(told: Path, text: str) -> None:
    async with asyncio.timeout(30):
        while not told.exists() or told.read_text() != text:
            await asyncio.sleep(0.05)


@pytest.mark.thorough
async def test_what_actors_answer_and_what_befalls_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One pair of actors for all of it: to begin them takes seconds."""
    told = tmp_path / "told"
    async with odd(tmp_path / "data") as both:
        (tmp_path / "data" / "media").mkdir()
        (tmp_path / "data" / "media" / "a.png").write_bytes(b"image")
        read = Errand(Odd.read, ("media/a.png",), files=("media/a.png",))
        assert await both.send(read) == b"image"
        with pytest.raises(OutputError, match="^no JSON$"):
            await both.send(Errand(Odd.fail, ()))
        hanging = asyncio.create_task(both.send(Errand(Odd.hang, (told,))))
        await seen(told, "begun")
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await seen(told, "cancelled")
        errands = [Errand(Odd.die, ()), *(Errand(Odd.answer, (n,)) for n in range(6))]
        ends = await asyncio.gather(*map(both.send, errands), return_exceptions=True)
        assert ends[1:] == [*range(6)]  # those beside it in its actor were done again
        assert isinstance(ends[0], InternalError) and "each of 3 actors" in str(ends[0])
        assert both.broken() is None
        assert await both.send(read) == b"image"  # sent anew to a new actor
    assert "(raylet)" not in "".join(capfd.readouterr())


@pytest.mark.slow
async def test_an_evaluation_loses_nothing_with_an_actor(tmp_path: Path) -> None:
    few: dict[str, Any] = {"arms": "within,online", "orders": 1}
    few["benchmarks"] = (benchmark_of(problems_of(TEXTS[:2])),)
    with served_plan(tmp_path / "alone", **few) as plan:
        alone = await evaluate(plan)
    killed = list[int]()
    left = iter(range(6))

    def reply(request: dict[str, Any]) -> str:
        if next(left, None) == 5:
            victim = actors()[0]
            killed.append(victim.pid)
            victim.kill()
        return pupil(request)

    with served_plan(tmp_path / "spread", reply=reply, cluster=TWO, **few) as plan:
        spread = await evaluate(plan)
    assert killed and spread.stopped is None
    assert timeless(spread.samples) == timeless(alone.samples)
    lines = plan.folder.samples_path.read_text().splitlines()
    assert len(lines) == sum(plan.expected().values()) == len({s.key for s in spread.samples})
    assert memories(tmp_path / "spread") == memories(tmp_path / "alone") != {}
    assert threads(tmp_path / "spread") == threads(tmp_path / "alone")


def memories(folder: Path) -> dict[str, Any]:
    """What each memory holds, without what the clock decides."""
    from vitarmm_agent.memory_store.journal import Journal

    found = {}
    for path in sorted((folder / "data" / "memories").glob("*/journal.sqlite")):
        journal = Journal(path)
        for space in journal.namespaces():
            entries = [
                e.model_dump(exclude={"created_at", "updated_at"}) for e in journal.entries(space)
            ]
            found[f"{path.parent.name} {space}"] = entries
        assert not any(map(journal.pending, journal.namespaces()))
        journal.close()
    return found


def threads(folder: Path) -> dict[str, int]:
    """How many checkpoints each run has."""
    from vitarmm_agent.graphs.checkpoints import read_checkpoints

    checkpoints = read_checkpoints(folder / "data" / "traces.sqlite")
    rows = checkpoints.conn.execute("SELECT thread_id, count(*) FROM checkpoints GROUP BY 1")
    found = dict(rows.fetchall())
    checkpoints.close()
    return found


async def test_what_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    with served_plan(tmp_path / "out", "single", cluster=Cluster(actors=3)) as plan:
        with pytest.raises(InputError, match=r"3 actors need 3 CPUs .* of 2 CPUs free"):
            await evaluate(plan)
    with served_plan(tmp_path / "gpu", "single", cluster=Cluster(gpus_per_actor=0.5)) as plan:
        with pytest.raises(InputError, match=r"and 1 GPUs, .* 0 of 0 GPUs free on 1 node;"):
            await evaluate(plan)
    with served_plan(tmp_path / "loaded", "single", cluster=TWO) as plan:
        with pytest.raises(InputError, match="cannot be used on a cluster"):
            await evaluate(plan, models=models_of(Pupil()))


def of_rays(ask: Callable[[Any], list[Any]]) -> list[Any]:
    """What Ray's processes say, but those that have just ended."""
    said: list[Any] = []
    for process in rays():
        with suppress(psutil.NoSuchProcess):
            said += ask(process)
    return said


def test_nobody_else_can_reach_it() -> None:
    listening = of_rays(lambda process: process.net_connections("inet"))
    ports = [c for c in listening if c.status == "LISTEN"]
    assert ports and {c.laddr.ip.removeprefix("::ffff:") for c in ports} <= {"127.0.0.1", "::1"}
    said = " ".join(of_rays(lambda process: process.cmdline()))
    folders = {Path(found) for found in re.findall(r"/[^ =]*vitarmm-ray-[^/ ]+", said)}
    assert folders and all(f.stat().st_mode & 0o077 == 0 for f in folders)


def test_nothing_that_lay_in_the_working_directory_ran(clone: Path) -> None:
    assert not (clone / "ran").exists()


Weights = Callable[[str], Path]


@pytest.fixture(autouse=True)
def embedder(weights: Weights) -> None:
    weights("all-minilm-l6-v2")
