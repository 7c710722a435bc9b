"""A caller that is cancelled gives back the lock it was given, even if it never heard of it."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

from tests.memory_store.conftest import WordEmbeddings
from vitarmm_agent.effects import Call, Flow, arun
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.store.locks import Turn


class Cancels:
    """A lock that has its taker cancelled as soon as it is taken."""

    def __init__(self) -> None:
        self.real = threading.Lock()

    def acquire(self, blocking: bool = True) -> bool:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)
        return self.real.acquire(blocking)

    def release(self) -> None:
        self.real.release()


def test_a_lock_that_came_with_the_cancellation_is_given_back() -> None:
    lock = Cancels()

    def flow() -> Flow[None]:
        turn = Turn(lock)
        try:
            yield from turn.take()
            yield from Call(lambda: None, lambda: asyncio.sleep(0))
        finally:
            turn.give_back()

    def busy() -> Flow[None]:
        for _ in range(20):
            yield from Call(lambda: None, lambda: asyncio.sleep(0))

    async def all_of_them() -> list[object]:
        flows = [flow(), *(busy() for _ in range(5))]
        return await asyncio.gather(*map(arun, flows), return_exceptions=True)  # type: ignore[arg-type]

    first, *_ = asyncio.run(all_of_them())
    assert isinstance(first, asyncio.CancelledError) and not lock.real.locked()


class AwaitedEmbeddings(WordEmbeddings):
    """Awaited, so that writes are too, and can be cancelled at each step."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        await asyncio.sleep(0)
        return self.embed_query(text)


def test_writes_with_a_time_limit_leave_the_folder_open(tmp_path: Path) -> None:
    index = {"embed": AwaitedEmbeddings(), "dims": 256, "fields": ["index_text"]}
    store = ChromaStore(tmp_path / "m", index=index, embedder="words")  # type: ignore[arg-type]
    memory = ReasoningMemory(store, ("team", "a"), journal=Journal(tmp_path / "m/journal.sqlite"))
    chance = random.Random(7)

    async def write(number: int) -> bool:
        entry = MemoryEntry(entry_type="fact", content=f"fact w{number}", applies_when=f"w{number}")
        own = memory.with_namespace(("other", str(number % 5)))
        writing = own.awrite([Operation(kind="add", entry=entry)], run=f"r{number}", attempt=1)
        try:
            await asyncio.wait_for(writing, chance.uniform(0, 0.3))
        except TimeoutError:
            return False
        return True

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*map(write, range(60)))

    done = asyncio.run(all_of_them())
    assert not all(done), "some were cancelled"
    entry = MemoryEntry(entry_type="fact", content="the last", applies_when="last")
    memory.write([Operation(kind="add", entry=entry)], run="last", attempt=1)
    assert [found.content for found in memory.list()] == ["the last"]
    memory.close()
