from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitarmm_agent.effects import Flow, arun, calls, run

ROOT = Path(__file__).parent.parent


class Store:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def get(self, key: str) -> str:
        self.calls.append(f"sync {key}")
        if key == "bad":
            raise KeyError(key)
        return key.upper()

    async def aget(self, key: str) -> str:
        await asyncio.sleep(0)
        self.calls.append(f"async {key}")
        if key == "bad":
            raise KeyError(key)
        return key.upper()


def both(store: Store, *keys: str) -> Flow[list[str]]:
    found = []
    for key in keys:
        try:
            found.append((yield from calls(store.get, store.aget, key)))
        except KeyError:
            found.append("missing")
    return found


def test_one_body_serves_sync_and_async() -> None:
    store = Store()
    assert run(both(store, "a", "b")) == ["A", "B"]
    assert asyncio.run(arun(both(store, "a", "b"))) == ["A", "B"]
    assert store.calls == ["sync a", "sync b", "async a", "async b"]


def test_errors_are_raised_inside_the_body() -> None:
    store = Store()
    assert run(both(store, "a", "bad", "c")) == ["A", "missing", "C"]
    assert asyncio.run(arun(both(store, "bad"))) == ["missing"]


def test_an_error_the_body_does_not_handle_reaches_the_caller() -> None:
    def body() -> Flow[str]:
        store = Store()
        return (yield from calls(store.get, store.aget, "bad"))

    with pytest.raises(KeyError):
        run(body())
    with pytest.raises(KeyError):
        asyncio.run(arun(body()))


def test_cancellation_runs_the_bodys_cleanup() -> None:
    cleaned = []

    class Slow:
        def get(self) -> None:
            time.sleep(60)

        async def aget(self) -> None:
            await asyncio.sleep(60)

    def body() -> Flow[None]:
        try:
            slow = Slow()
            yield from calls(slow.get, slow.aget)
        finally:
            cleaned.append(True)

    async def cancel() -> None:
        task = asyncio.create_task(arun(body()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert cleaned == [True]


SNIPPET = """
from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.memory_store.memory import ReasoningMemory

def asks(memory: ReasoningMemory) -> Flow[None]:
    reveal_type((yield from calls(memory.recall, memory.arecall, "text", k=3)))
    yield from calls(memory.recall, memory.arecall, "text", nonsense=1)
    yield from calls(memory.recall, memory.arecall, 5)
"""


def test_mypy_knows_what_a_call_gives_and_refuses_a_wrong_keyword(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    known = ("effects.py", "memory_store/memory.py", "memory_store/operations.py")
    options = ("--config-file=", "--follow-imports=skip", f"--cache-dir={tmp_path / 'cache'}")
    files = (str(snippet), *(f"vitarmm_agent/{name}" for name in known))
    shown = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], cwd=ROOT, capture_output=True, text=True
    )
    said = [line.partition("snippet.py:")[2] for line in shown.stdout.splitlines()]
    told = [line for line in said if line and "defined in" not in line]
    assert told[0].startswith("6: note: Revealed type is") and "operations.Recall" in told[0]
    assert told[1].startswith('7: error: Unexpected keyword argument "nonsense"')
    assert told[2].startswith("8: error: Argument 3")
    assert len(told) == 3
