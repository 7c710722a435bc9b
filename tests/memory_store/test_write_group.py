"""Writes that wait at the same time: together in one transaction, each with its own outcome."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.memory_store.conftest import DIMS, WordEmbeddings
from tests.memory_store.helpers import add, entry
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation, Written
from vitarmm_agent.memory_store.schema import MemoryEntry


class Fragile(WordEmbeddings):
    """Fails on one word when it is stored, as an embedding server may, until it is mended."""

    broken = True

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.broken and any("poison" in text for text in texts):
            raise ConnectionError("the embedder is down")
        return super().embed_documents(texts)


@pytest.fixture
def embedder() -> Fragile:
    return Fragile()


@pytest.fixture
def memory(tmp_path: Path, embedder: Fragile) -> ReasoningMemory:
    store = ChromaStore(
        tmp_path / "memory", index={"embed": embedder, "dims": DIMS, "fields": ["index_text"]}
    )
    return ReasoningMemory(store, ("t", "0"), journal=Journal(tmp_path / "journal.sqlite"))


def tenant(memory: ReasoningMemory, number: int) -> ReasoningMemory:
    return memory.with_namespace(("t", str(number)))


def lesson(number: int, words: str = "topic") -> list[Operation]:
    return add(entry(f"About {words} {number}.", id=f"e{number}", applies_when=f"{words} {number}"))


async def write_all(memory: ReasoningMemory, count: int) -> list[list[Written] | BaseException]:
    return await asyncio.gather(
        *(
            tenant(memory, n).awrite(
                lesson(n, "poison" if n == 3 else "topic"), run=f"r{n}", attempt=1
            )
            for n in range(count)
        ),
        return_exceptions=True,
    )


async def test_waiting_writes_share_transactions(
    memory: ReasoningMemory, embedder: Fragile
) -> None:
    embedder.broken = False
    assert memory.journal is not None
    commits: list[str] = []
    memory.journal._rows.connection.set_trace_callback(
        lambda statement: commits.append(statement) if statement == "COMMIT" else None
    )
    written = await write_all(memory, 40)
    memory.journal._rows.connection.set_trace_callback(None)
    assert len(commits) <= 20  # 80 if each write had two of its own
    for number, some in enumerate(written):
        assert isinstance(some, list)
        assert [w.kind for w in some] == ["added"]
        assert [e.id for e in tenant(memory, number).list()] == [f"e{number}"]
        assert memory.journal.pending(("t", str(number))) == []


async def test_an_error_is_only_its_own(memory: ReasoningMemory, embedder: Fragile) -> None:
    written = await write_all(memory, 12)
    failed = [n for n, some in enumerate(written) if isinstance(some, BaseException)]
    assert failed == [3]
    assert str(written[3]) == "the embedder is down"
    for number in {*range(12)} - {3}:
        assert [e.id for e in tenant(memory, number).list()] == [f"e{number}"]
    assert tenant(memory, 3).list() == []
    embedder.broken = False
    again = await tenant(memory, 3).awrite(lesson(3, "poison"), run="r3", attempt=1)
    assert [w.kind for w in again] == ["added"]
    assert [e.id for e in tenant(memory, 3).list()] == ["e3"]
    assert memory.journal is not None
    assert len(memory.journal.events(("t", "3"))) == 1


async def test_the_same_write_at_the_same_time_is_one(
    memory: ReasoningMemory, embedder: Fragile
) -> None:
    answers = await asyncio.gather(
        *(memory.awrite(lesson(1), run="r", attempt=1) for _ in range(8))
    )
    assert all(answer == answers[0] for answer in answers)
    assert memory.journal is not None
    assert len(memory.journal.events(("t", "0"))) == 1


async def test_writes_of_one_memory_see_each_other(memory: ReasoningMemory) -> None:
    same: list[MemoryEntry] = [entry("Add the two speeds.", id=f"s{n}") for n in range(6)]
    written = await asyncio.gather(
        *(memory.awrite(add(one), run=f"r{n}", attempt=1) for n, one in enumerate(same))
    )
    assert [some[0].kind for some in written] == ["added"] + ["skipped"] * 5
    assert [e.id for e in memory.list()] == ["s0"]


def test_threads_form_groups_too(memory: ReasoningMemory, embedder: Fragile) -> None:
    def work(number: int) -> str:
        words = "poison" if number == 5 else "topic"
        try:
            tenant(memory, number).write(lesson(number, words), run="r", attempt=1)
        except ConnectionError as error:
            return str(error)
        return tenant(memory, number).list()[0].id

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(work, range(16)))
    wanted = [f"e{n}" for n in range(16)]
    wanted[5] = "the embedder is down"
    assert ended == wanted


async def test_a_cancelled_write_leaves_the_others(
    memory: ReasoningMemory, embedder: Fragile
) -> None:
    tasks = [
        asyncio.create_task(tenant(memory, n).awrite(lesson(n), run="r", attempt=1))
        for n in range(10)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(ended[n], list) for n in range(1, 10, 2))
    for number in range(10):  # the cancelled ones may be written again, to no effect
        await tenant(memory, number).awrite(lesson(number), run="r", attempt=1)
        assert [e.id for e in tenant(memory, number).list()] == [f"e{number}"]


def test_what_is_counted_while_a_person_edits_is_counted(memory: ReasoningMemory) -> None:
    """Both change the same entry; neither writes what it had read before the other wrote."""
    memory.write(lesson(0), run="r", attempt=1)
    with ThreadPoolExecutor(2) as pool:
        edits = [pool.submit(memory.edit, "e0", {"title": f"Edit {n}"}) for n in range(10)]
        credits = [
            pool.submit(memory.credit, ["e0"], "pass", run=f"c{n}", attempt=1) for n in range(10)
        ]
        for done in [*edits, *credits]:
            done.result()
    for n in range(10):  # one of each at a time
        with ThreadPoolExecutor(2) as pool:
            pool.submit(memory.edit, "e0", {"title": f"Later {n}"})
            pool.submit(memory.credit, ["e0"], "pass", run=f"d{n}", attempt=1)
    left = memory.get("e0")
    assert left is not None and (left.title, left.helpful) == ("Later 9", 20)
