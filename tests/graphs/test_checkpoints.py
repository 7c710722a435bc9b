"""Checkpoints that wait at the same time share a transaction, each with its own outcome."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import SqliteCheckpoints, open_checkpoints


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[SqliteCheckpoints]:
    checkpoints = open_checkpoints(tmp_path / "traces.sqlite")
    yield checkpoints
    checkpoints.close()


def config(thread: int) -> RunnableConfig:
    return {"configurable": {"thread_id": f"t{thread}", "checkpoint_ns": ""}}


def checkpoint(value: Any) -> Checkpoint:
    return {**empty_checkpoint(), "channel_values": {"value": value}}


async def put(kept: SqliteCheckpoints, thread: int, value: Any) -> RunnableConfig:
    return await kept.aput(config(thread), checkpoint(value), {"step": 1}, {})


def value_in(file: Path, thread: int) -> Any:
    """As another process reads it."""
    other = open_checkpoints(file)
    found = other.get_tuple(config(thread))
    other.close()
    return None if found is None else found.checkpoint["channel_values"]["value"]


async def test_waiting_checkpoints_share_transactions(
    kept: SqliteCheckpoints, tmp_path: Path
) -> None:
    commits: list[str] = []
    kept.conn.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    await asyncio.gather(*(put(kept, n, n) for n in range(50)))
    kept.conn.set_trace_callback(None)
    assert len(commits) <= 10
    assert [value_in(tmp_path / "traces.sqlite", n) for n in (0, 25, 49)] == [0, 25, 49]


async def test_one_that_cannot_be_kept_fails_alone(kept: SqliteCheckpoints, tmp_path: Path) -> None:
    values = [threading.Lock() if n == 7 else n for n in range(20)]
    ended = await asyncio.gather(
        *(put(kept, n, value) for n, value in enumerate(values)), return_exceptions=True
    )
    assert [n for n, end in enumerate(ended) if isinstance(end, Exception)] == [7]
    found = [value_in(tmp_path / "traces.sqlite", n) for n in range(20)]
    assert found == [None if n == 7 else n for n in range(20)]


async def test_a_reader_sees_what_was_put_before(kept: SqliteCheckpoints) -> None:
    async def put_and_read(thread: int) -> Any:
        await put(kept, thread, thread)
        await kept.aput_writes(
            {"configurable": {**config(thread)["configurable"], "checkpoint_id": "1"}},
            [("value", thread)],
            "task",
        )
        found = await kept.aget_tuple(config(thread))
        return found and found.checkpoint["channel_values"]["value"]

    assert await asyncio.gather(*(put_and_read(n) for n in range(30))) == list(range(30))


async def test_a_failed_commit_is_told_to_all_and_leaves_nothing_half_done(
    kept: SqliteCheckpoints, tmp_path: Path
) -> None:
    kept.conn.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "traces.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ended = await asyncio.gather(*(put(kept, n, n) for n in range(4)), return_exceptions=True)
    assert all(isinstance(end, InputError) for end in ended)
    other.execute("ROLLBACK")
    other.close()
    await put(kept, 9, 9)
    assert [value_in(tmp_path / "traces.sqlite", n) for n in (0, 9)] == [None, 9]


async def test_a_cancelled_put_leaves_the_others(kept: SqliteCheckpoints, tmp_path: Path) -> None:
    tasks = [asyncio.create_task(put(kept, n, n)) for n in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [value_in(tmp_path / "traces.sqlite", n) for n in range(1, 10, 2)] == [1, 3, 5, 7, 9]


MANY = 60
OPEN_MANY = f"""
import sys, time
from pathlib import Path
from vitarmm_agent.graphs.checkpoints import open_checkpoints
print("ready", flush=True)
start = float(input())
for n in range({MANY}):
    while time.time() < start + n * 0.04:
        pass
    open_checkpoints(Path(sys.argv[1]) / f"{{n}}.sqlite").close()
"""


def test_processes_may_make_the_file_at_the_same_time(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_MANY, str(tmp_path)],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    start = f"{time.time() + 0.2}\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(start)
        process.stdin.flush()
    ends = [process.communicate(timeout=120)[1] for process in processes]
    assert [end[-300:] for end in ends] == [""] * 3
    assert len(list(tmp_path.glob("*.sqlite"))) == MANY


MANY_READERS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from langgraph.graph import MessagesState, StateGraph
from vitarmm_agent.graphs.open_checkpoints import open_checkpoints

says = StateGraph(MessagesState)
says.add_node("say", lambda state: {"messages": [("assistant", "a long word " * 2_000)]})
says.set_entry_point("say")
kept = open_checkpoints(Path(sys.argv[1]))
graph = says.compile(checkpointer=kept)
config = {"configurable": {"thread_id": "one"}}
graph.invoke({"messages": [("user", "many words " * 2_000)]}, config)
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda _: graph.get_state(config), range(400)))
kept.close()
"""


def test_many_threads_read_at_once_and_none_waits_for_ever(tmp_path: Path) -> None:
    """In a process of its own: what waits with the interpreter's lock in hand stops all threads."""
    command = [sys.executable, "-c", MANY_READERS, str(tmp_path / "traces.sqlite")]
    subprocess.run(command, check=True, timeout=60)
