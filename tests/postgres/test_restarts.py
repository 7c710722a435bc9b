"""Postgres goes away while runs are on, and comes back: an error that says so, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.memory_store.conftest import ChromaServer
from tests.memory_store.test_two_machines import by_id, learn, opened
from tests.postgres.conftest import Machine
from tests.postgres.server import PostgresServer
from tests.scripts import LESSON, QUESTION, RIGHT, operations, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import DatabaseError
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.postgres import database as database_module
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.traces import read_trace


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is given up sooner than by default."""
    monkeypatch.setattr(database_module, "PATIENCE", 1.0)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.remove()


class Switch:
    """A verifier during which something happens, once."""

    name = "switch"

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens: Callable[[], None] | None = happens

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return Feedback(verdict="pass", source=self.name)
        yield  # a flow that calls nothing outside


def test_a_run_is_gone_on_with_after_a_restart(
    machine: Machine, own_server: PostgresServer, impatient: None, tmp_path: Path
) -> None:
    settings = machine("one", database=own_server.new("team"))
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", RIGHT),
        feedback=[Switch(own_server.stop)],
        rmm=script(tmp_path / "w.json", operations(LESSON)),
        settings=settings,
    )
    with pytest.raises(DatabaseError, match="does not answer as asked.*can be resumed") as told:
        agent.solve(QUESTION, thread_id="t")
    assert "\n" not in str(told.value) and own_server.url().split(":")[2] not in str(told.value)
    own_server.start()
    ended = agent.resume("t")  # by the same process, whose connections are all broken
    assert ended.status == "passed" and len(ended.attempts) == 1
    memory = opened(settings)
    assert memory.journal is not None
    assert len(memory.journal.events(memory.namespace)) == len(memory.list()) == 1
    assert read_trace(open_traces(settings), "t").problems == ()


def test_a_short_restart_is_waited_for(machine: Machine, own_server: PostgresServer) -> None:
    memory = opened(machine("one", database=own_server.new("team")))
    learn(memory, "one", "a square")
    own_server.stop()
    back = threading.Timer(1.0, own_server.start)
    back.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            learn(memory, "two", "a train")
            break
        except DatabaseError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    back.join()
    assert set(by_id(memory)) == {"one-0", "two-0"}


def test_who_lost_the_lock_does_not_write(machine: Machine, database: str) -> None:
    """Its connection breaks between the plan and the journal, and another machine writes meanwhile."""
    one, two = opened(machine("one")), opened(machine("two"))
    learn(one, "one", "a square")
    plan = one.entry_store.get

    def cut_off(entry_ids: list[str]) -> object:
        found = yield from plan(entry_ids)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        one.entry_store.get = plan  # type: ignore[method-assign]
        two.credit(["one-0"], "pass", run="two", attempt=1)
        return found

    one.entry_store.get = cut_off  # type: ignore[method-assign, assignment]
    with pytest.raises(DatabaseError):
        one.credit(["one-0"], "pass", run="one", attempt=1)
    one.credit(["one-0"], "pass", run="one", attempt=1)  # done again, as a resumed run does
    entry = two.get("one-0")
    assert entry is not None and entry.used == 2


def test_kills(chroma_server: ChromaServer, database: str, tmp_path: Path) -> None:
    """The short form of ``python -m tests.postgres.kills 200``; a process of its own, which may fork."""
    code = (
        "import sys; from pathlib import Path; from tests.postgres.kills import Place, survive;"
        "found = survive(Place(sys.argv[1], sys.argv[2], Path(sys.argv[3])), 4);"
        "assert (found.lost, found.doubled) == (0, 0) and found.acknowledged >= 8, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, chroma_server.url, database, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
