"""Kill processes that write through Postgres and a Chroma server, and count what is lost or doubled.

``python -m tests.postgres.kills 200``: two writers at a time, as two machines, both killed at a random
moment, again and again. Each write adds an entry of its own and credits one that all share; a writer
that is started again goes on with the first one that was not acknowledged.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import chromadb.api.client  # noqa: F401  here, so that each writer need not
import chromadb.api.fastapi  # noqa: F401
import psycopg_pool  # noqa: F401

from tests.memory_store.conftest import DIMS, ChromaServer, WordEmbeddings
from tests.memory_store.worker import lesson
from tests.postgres.server import PostgresServer
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.journal.rows import PostgresRows
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.postgres.database import open_postgres
from vitarmm_agent.wilson import wilson_bounds

WRITERS = ("a", "b")
SHARED = lesson("shared", 0)
_fork = multiprocessing.get_context("fork")  # this process opens nothing, so that it may


@dataclass(frozen=True)
class Place:
    """Where the writers write, and where each notes what was acknowledged."""

    chroma: str
    database: str
    folder: Path

    def opened(self) -> ReasoningMemory:
        store = ChromaStore(
            url=self.chroma,
            index={"embed": WordEmbeddings(), "dims": DIMS, "fields": ["index_text"]},
        )
        journal = Journal(PostgresRows(open_postgres(self.database), "kills"))
        config = RecallConfig(floor=0.95)
        return ReasoningMemory(store, ("team", "kills"), journal=journal, config=config)

    def acknowledged(self, name: str) -> int:
        file = self.folder / name
        return len(file.read_text().split()) if file.exists() else 0


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    kills: int
    acknowledged: int
    lost: int
    doubled: int

    def __str__(self) -> str:
        high = wilson_bounds(self.lost + self.doubled, self.kills, 1.96)[1]
        return (
            f"{self.kills} kills, {self.acknowledged} acknowledged writes: {self.lost} lost, "
            f"{self.doubled} doubled (95 %: in 0 to {high:.1%} of kills)"
        )


def write(place: Place, name: str, last: bool) -> None:
    """Write until killed; or the first that was not acknowledged only."""
    memory = place.opened()
    number = place.acknowledged(name)
    log = os.open(place.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        one = lesson(name, number)
        memory.write([Operation(kind="add", entry=one)], run=f"{name}-{number}", attempt=1)
        memory.credit([SHARED.id], "pass", run=f"{name}-{number}", attempt=1)
        os.write(log, f"{number}\n".encode())
        number += 1
        if last:
            os._exit(0)


def begin(place: Place) -> None:
    place.opened().write([Operation(kind="add", entry=SHARED)], run="shared", attempt=1)
    os._exit(0)


def count(place: Place, kills: int, found: multiprocessing.SimpleQueue[Outcome]) -> None:
    """Compare what is there with what was acknowledged."""
    memory = place.opened()
    counts = {name: place.acknowledged(name) for name in WRITERS}
    wanted = {f"{name}-{n}" for name, many in counts.items() for n in range(many)} | {SHARED.id}
    entries = memory.list()
    assert memory.journal is not None
    added = Counter(e.entry_id for e in memory.journal.events(memory.namespace) if e.kind == "add")
    here = Counter(entry.id for entry in entries)
    used = next(entry.used for entry in entries if entry.id == SHARED.id)
    credits = sum(counts.values())
    lost = sum(here[i] < 1 or added[i] < 1 for i in wanted) + max(0, credits - used)
    doubled = sum(n > 1 for n in here.values()) + sum(n > 1 for n in added.values())
    doubled += max(0, used - credits) + len(here.keys() - wanted)
    doubled += len(memory.journal.pending(memory.namespace))
    found.put(Outcome(kills, 2 * credits, lost, doubled))
    os._exit(0)


def survive(place: Place, kills: int, seed: int = 7) -> Outcome:
    """So many kills, and what they did."""
    dice = random.Random(seed)
    done(_fork.Process(target=begin, args=(place,)))
    for number in range(kills // len(WRITERS)):
        before = {name: place.acknowledged(name) for name in WRITERS}
        writers = {n: _fork.Process(target=write, args=(place, n, False)) for n in WRITERS}
        for writer in writers.values():
            writer.start()
        moments = sorted((dice.uniform(0, 0.7), name) for name in WRITERS)
        deadline = time.monotonic() + 60
        while any(place.acknowledged(n) == before[n] for n in WRITERS):
            assert time.monotonic() < deadline, "a writer did not get on"
            time.sleep(0.005)
        start = time.monotonic()
        for moment, name in moments:
            time.sleep(max(0.0, start + moment - time.monotonic()))
            os.kill(writers[name].pid or 0, signal.SIGKILL)
            writers[name].join()
        if number % 10 == 9:
            sys.stderr.write(f"{2 * (number + 1)} kills\n")
    for name in WRITERS:
        done(_fork.Process(target=write, args=(place, name, True)))
    found: multiprocessing.SimpleQueue[Outcome] = _fork.SimpleQueue()
    done(_fork.Process(target=count, args=(place, kills, found)))
    return found.get()


def done(process: multiprocessing.process.BaseProcess) -> None:
    process.start()
    process.join(120)
    assert process.exitcode == 0, f"exit code {process.exitcode}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server, chroma = PostgresServer(), ChromaServer(Path(folder) / "chroma")
        try:
            place = Place(chroma.url, server.new("kills"), Path(folder))
            sys.stdout.write(f"{survive(place, int(sys.argv[1]))}\n")
        finally:
            chroma.stop()
            server.remove()


if __name__ == "__main__":
    main()
