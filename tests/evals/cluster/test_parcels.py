"""What travels between driver and actors, without any: the files of one folder brought to another."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import vitarmm_agent
from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, nothing, operations, script
from vitarmm_agent import Problem, ReasoningAgent, Settings
from vitarmm_agent.errors import InputError, InternalError, MemoryStoreError, ModelServerError
from vitarmm_agent.evals.cluster.actor import code_sha256, differences, facts, portable
from vitarmm_agent.evals.cluster.parcels import Arrivals, Freight, Parcel, Place
from vitarmm_agent.evals.worklist import http_status

HALVED = "1. The side is 20 / 2 = 10.\n2. The area is 10 * 10 = 100.\nAnswer: 100"
PLACE = Place("memory", ("default", "agent"))


@pytest.fixture(autouse=True)
def embedder(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")


def settings(folder: Path, **options: object) -> Settings:
    return Settings.load(data_dir=folder, feedback="arithmetic", **options)


@contextmanager
def freight(folder: Path) -> Iterator[Freight]:
    opened = Freight(settings(folder))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def packed(tmp_path: Path) -> Parcel:
    """What a run left that failed, was right, and learned something."""
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "solver.json", HALVED, RIGHT),
        rmm=script(tmp_path / "writer.json", operations(LESSON), nothing()),
        settings=settings(tmp_path / "actor", oracle=True),
    )
    problem = Problem(text=QUESTION, reference="25")
    assert agent.solve(problem, thread_id="run").status == "passed"
    assert agent.memory is not None
    agent.memory.close()
    with freight(tmp_path / "actor") as there:
        batches, mark = there.batches(PLACE, 0)
        assert there.batches(PLACE, mark) == ([], mark)
        return Parcel(there.runs(["run", "no run"]), ["memory", ["default", "agent"]], batches)


def test_a_run_and_what_it_learned_arrive_whole(tmp_path: Path, packed: Parcel) -> None:
    with freight(tmp_path / "driver") as here:
        here.take_in(packed)
        here.take_in(packed)
        again = here.batches(PLACE, 0)[0]
        assert here.runs(["run"]) == packed.runs and again == packed.batches
    mute = script(tmp_path / "mute.json")
    theirs = ReasoningAgent.open(settings=settings(tmp_path / "actor"), reasoner=mute)
    ours = ReasoningAgent.open(settings=settings(tmp_path / "driver"), reasoner=mute)
    assert ours.memory is not None and theirs.memory is not None
    try:
        assert ours.result("run") == theirs.result("run")
        assert ours.memory.list() == theirs.memory.list() != []
        found = ours.memory.recall(RELATED_QUESTION)
        assert found == theirs.memory.recall(RELATED_QUESTION) and found.entries
    finally:
        ours.memory.close()
        theirs.memory.close()


def test_a_parcel_is_taken_in_whole_by_whoever_comes_after_a_kill(
    tmp_path: Path, packed: Parcel
) -> None:
    """A memory that cannot be written stops the driver between the two files of a parcel."""
    folder = tmp_path / "driver"
    with freight(folder) as here:
        arrivals = Arrivals(here)
        (folder / "memory").write_text("in the way")
        with pytest.raises(MemoryStoreError):
            arrivals.take_in(packed)
        assert here.runs(["run"]) == {}
        (folder / "memory").unlink()
    with freight(folder) as here:
        Arrivals(here)
        assert here.runs(["run"]) == packed.runs and here.batches(PLACE, 0)[0] == packed.batches
    assert [*(folder / "arrivals").iterdir()] == []


def test_a_driver_takes_no_files_of_an_actor(tmp_path: Path, packed: Parcel) -> None:
    with freight(tmp_path / "driver") as here:
        Arrivals(here).take_in(Parcel(packed.runs, files={"../taken": b"x", "in": b"x"}))
    assert not (tmp_path / "taken").exists() and not (tmp_path / "driver" / "in").exists()


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


def test_other_code_is_told_from_the_same(tmp_path: Path) -> None:
    package = Path(vitarmm_agent.__file__).parent
    copy = tmp_path / "vitarmm_agent"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("speed", "__pycache__"))
    ours = facts()
    theirs = ours | {"code": code_sha256(copy)}
    assert differences(ours, theirs) == ""  # an installation lacks the benchmarks
    (copy / "prompts" / "solve.md").write_text("Solve it.")
    assert "with other code" in differences(ours, ours | {"code": code_sha256(copy)})
    old = ours | {"vitarmm-agent": "0.0.1", "Python": "3.9.2"}
    told = differences(ours, old)
    assert "Python '3.9.2' instead of" in told and "vitarmm-agent '0.0.1' instead of" in told


def test_no_parcel_of_an_unknown_kind_is_read(tmp_path: Path) -> None:
    with freight(tmp_path) as here:
        (tmp_path / "arrivals").mkdir()
        (tmp_path / "arrivals" / "x.parcel").write_bytes(b"pickle\n" + pickle.dumps({}))
        with pytest.raises(InputError, match="kind 'pickle'"):
            Arrivals(here)
