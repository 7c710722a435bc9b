"""Several processes on one memory, and processes that are killed while they write."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.memory_store.conftest import ChromaServer
from tests.memory_store.worker import NAMESPACE, TENANTS, lesson, open_memory, work
from vitarmm_agent.memory_store.operations import Operation

_begun = multiprocessing.get_context("forkserver")  # imports once what each of them needs
_begun.set_forkserver_preload(
    ["chromadb", "tests.memory_store.worker", "vitarmm_agent.memory_store.store.chroma_index"]
)


def start(role: str, place: str, name: str, count: int, folder: Path) -> BaseProcess:
    given = (role, place, name, count, folder / f"{name}.ack")
    process = _begun.Process(target=work, args=given, daemon=True)
    process.start()
    return process


def finished(process: BaseProcess, folder: Path) -> None:
    process.join(900)
    assert process.exitcode == 0, [error.read_text() for error in folder.glob("*.error")]


def check(place: str, folder: Path, names: list[str], count: int) -> None:
    """Everything is there once, recalled by its text, and the journal agrees."""
    memory = open_memory(place, folder / "journal.sqlite")
    entries = memory.list()
    wanted = sorted(f"{name}-{number}" for name in names for number in range(count))
    assert sorted(entry.id for entry in entries) == wanted
    for name in names:
        for number in random.Random(name).sample(range(count), min(count, 25)):
            one = lesson(name, number)
            found = memory.recall(one.applies_when, k=2).entries
            assert [r.entry.id for r in found] == [one.id]
    assert memory.journal is not None
    events = memory.journal.events(NAMESPACE)
    assert sorted(event.entry_id for event in events) == wanted
    assert memory.journal.pending(NAMESPACE) == []
    memory.close()


def work_together(place: str, folder: Path, writers: int, count: int) -> None:
    names = [f"w{n}" for n in range(writers)]
    processes = [start("write", place, name, count, folder) for name in names]
    readers = [start("read", place, f"r{n}", 900, folder) for n in range(2)]
    for process in processes:
        finished(process, folder)
    (folder / "stop").touch()
    for process in readers:
        finished(process, folder)
    check(place, folder, names, count)


def survive_kills(place: str, folder: Path, kills: int, count: int) -> None:
    """Kill a writer again and again at any moment; each time its work goes on."""
    dice = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(kills):
        process = start("write", place, "w", count, folder)
        _wait_for_lines(folder / "w.ack", len(acknowledged) + 1, process)
        time.sleep(dice.uniform(0, 0.4))
        process.kill()
        process.join()
        memory = open_memory(place, folder / "journal.sqlite")
        acknowledged = (folder / "w.ack").read_text().splitlines()
        for entry_id in dict.fromkeys(acknowledged):
            assert memory.get(entry_id) is not None, f"{entry_id} was acknowledged and is lost"
        one = lesson("w", int(acknowledged[-1].partition("-")[2]))
        assert memory.recall(one.applies_when, k=1).entries[0].entry.id == one.id
        memory.close()
    finished(start("write", place, "w", count, folder), folder)
    check(place, folder, ["w"], count)


def _wait_for_lines(file: Path, count: int, process: BaseProcess) -> None:
    deadline = time.time() + 60
    while time.time() < deadline and process.exitcode is None:
        if file.exists() and len(file.read_text().splitlines()) >= count:
            return
        time.sleep(0.02)
    assert process.exitcode in (None, 0)


def test_threads_share_a_memory(tmp_path: Path) -> None:
    memory = open_memory(str(tmp_path / "memory"), tmp_path / "journal.sqlite")

    def work(name: str) -> None:
        for number in range(20):
            one = lesson(name, number)
            memory.write([Operation(kind="add", entry=one)], run=f"{name}-{number}", attempt=1)
            assert memory.recall(one.applies_when, k=1).entries[0].entry.id == one.id

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [f"t{n}" for n in range(8)]))
    memory.close()
    check(str(tmp_path / "memory"), tmp_path, [f"t{n}" for n in range(8)], 20)


async def test_tasks_share_a_memory(tmp_path: Path) -> None:
    memory = open_memory(str(tmp_path / "memory"), tmp_path / "journal.sqlite")
    counted = lesson("counted", 0)
    await memory.awrite([Operation(kind="add", entry=counted)], run="counted", attempt=1)
    await asyncio.gather(
        *(memory.acredit([counted.id], "pass", run=f"r{n}", attempt=1) for n in range(40))
    )
    now = await memory.aget(counted.id)
    assert now is not None and (now.used, now.helpful) == (40, 40)
    memory.close()


def test_processes_share_a_folder(tmp_path: Path) -> None:
    work_together(str(tmp_path / "memory"), tmp_path, writers=3, count=30)


def test_a_killed_writer_loses_nothing(tmp_path: Path) -> None:
    survive_kills(str(tmp_path / "memory"), tmp_path, kills=2, count=200)


def test_a_killed_group_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for _ in range(3):
        process = start("tenants", str(tmp_path / "memory"), "g", 30, tmp_path)
        _wait_for_lines(tmp_path / "g.ack", len(acknowledged) + 20, process)
        process.kill()
        process.join()
        memory = open_memory(str(tmp_path / "memory"), tmp_path / "journal.sqlite")
        acknowledged = (tmp_path / "g.ack").read_text().splitlines()
        for entry_id in dict.fromkeys(acknowledged):
            own = memory.with_namespace(("team", entry_id.partition("-")[0]))
            assert own.get(entry_id) is not None, f"{entry_id} was acknowledged and is lost"
        memory.close()
    finished(start("tenants", str(tmp_path / "memory"), "g", 30, tmp_path), tmp_path)
    memory = open_memory(str(tmp_path / "memory"), tmp_path / "journal.sqlite")
    assert memory.journal is not None
    for tenant in (f"t{n}" for n in range(TENANTS)):
        own = memory.with_namespace(("team", tenant))
        wanted = sorted(f"{tenant}-{number}" for number in range(30))
        assert sorted(entry.id for entry in own.list()) == wanted
        assert sorted(e.entry_id for e in memory.journal.events(own.namespace)) == wanted
        assert memory.journal.pending(own.namespace) == []
    memory.close()


def test_processes_share_a_server(tmp_path: Path, chroma_server: ChromaServer) -> None:
    work_together(chroma_server.url, tmp_path, writers=2, count=8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_write_500_each(tmp_path: Path) -> None:
    work_together(str(tmp_path / "memory"), tmp_path, writers=8, count=500)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills(tmp_path: Path) -> None:
    survive_kills(str(tmp_path / "memory"), tmp_path, kills=10, count=1000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_through_a_server(tmp_path: Path) -> None:
    server = ChromaServer(tmp_path / "server")
    try:
        work_together(server.url, tmp_path, writers=8, count=500)
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_through_a_server(tmp_path: Path) -> None:
    server = ChromaServer(tmp_path / "server")
    try:
        survive_kills(server.url, tmp_path, kills=10, count=400)
    finally:
        server.stop()
