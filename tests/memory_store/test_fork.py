"""A process that is forked after a memory was opened: told so at once, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.memory_store.conftest import index_config
from vitarmm_agent.errors import DatabaseError, MemoryStoreError
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

TOLD, WENT_ON = 3, 4


def opened(folder: Path) -> ReasoningMemory:
    store = ChromaStore(folder, index=index_config(["index_text"]), index_batch=4)
    return ReasoningMemory(store, journal=Journal(folder / "journal.sqlite"))


def write(memory: ReasoningMemory, number: int) -> object:
    text = f"word{number} thing{number}"
    entry = MemoryEntry(entry_type="fact", applies_when=text, content=f"All of {text}.")
    return memory.write([Operation(kind="add", entry=entry)], run=f"r{number}", attempt=1)


CALLS: dict[str, Callable[[ReasoningMemory], object]] = {
    "write": lambda memory: write(memory, 100),
    "recall": lambda memory: memory.recall("word1 thing1"),
    "list": lambda memory: memory.list(),
    "arecall": lambda memory: asyncio.run(memory.arecall("word1 thing1")),
}


def assert_told(calls: Mapping[str, Callable[[], object]]) -> None:
    """That each call is refused at once in a process that is forked now."""
    for name, call in calls.items():
        child = os.fork()
        if child == 0:
            try:
                call()
            except (MemoryStoreError, DatabaseError) as error:
                os._exit(TOLD if "forked" in str(error) else WENT_ON)
            finally:
                os._exit(WENT_ON)
        deadline = time.monotonic() + 30
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        if ended == (0, 0):
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert ended != (0, 0), f"{name} hangs"
        assert os.waitstatus_to_exitcode(ended[1]) == TOLD, name


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told(tmp_path: Path) -> None:
    memory = opened(tmp_path)
    for number in range(6):
        write(memory, number)
    assert memory.recall("word1 thing1").entries
    assert_told({name: partial(call, memory) for name, call in CALLS.items()})
    write(memory, 50)
    assert memory.recall("word50 thing50").entries and len(memory.list()) == 7
    memory.close()
