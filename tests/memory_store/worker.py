"""What a process does that uses a memory until it is done or killed; begun by ``test_processes.py``.

A writer appends the id of each entry to the file ``acknowledged`` once its write has returned;
``tenants`` does so for many memories at once on an event loop; a reader checks that everything
acknowledged so far is there.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from pathlib import Path

from tests.memory_store.conftest import DIMS, WordEmbeddings
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig

NAMESPACE = ("team", "agent")
TENANTS = 16


def open_memory(place: str, journal: Path) -> ReasoningMemory:
    """The memory in a folder or on a server, as all workers see it."""
    store = ChromaStore(
        None if place.startswith("http") else place,
        url=place if place.startswith("http") else None,
        index={"embed": WordEmbeddings(), "dims": DIMS, "fields": ["index_text"]},
        index_batch=64,
    )
    config = RecallConfig(floor=0.95)
    return ReasoningMemory(store, NAMESPACE, journal=Journal(journal), config=config)


def lesson(name: str, number: int) -> MemoryEntry:
    """An entry that no other resembles."""
    words = f"{name}x{number} topic{name}y{number} case{name}z{number}"
    return MemoryEntry(
        id=f"{name}-{number}", entry_type="fact", applies_when=words, content=f"About {words}."
    )


def write(memory: ReasoningMemory, name: str, count: int, acknowledged: Path) -> None:
    """Write ``count`` entries; those that an earlier, killed process wrote are written again."""
    with acknowledged.open("a") as log:
        for number in range(count):
            one = lesson(name, number)
            memory.write([Operation(kind="add", entry=one)], run=f"{name}-{number}", attempt=1)
            log.write(f"{one.id}\n")
            log.flush()


async def write_for_tenants(memory: ReasoningMemory, count: int, acknowledged: Path) -> None:
    """Each of :data:`TENANTS` memories is written ``count`` entries, all memories at once."""
    with acknowledged.open("a") as log:

        async def one(tenant: str) -> None:
            own = memory.with_namespace(("team", tenant))
            for number in range(count):
                new = lesson(tenant, number)
                operation = Operation(kind="add", entry=new)
                await own.awrite([operation], run=f"{tenant}-{number}", attempt=1)
                log.write(f"{new.id}\n")
                log.flush()

        await asyncio.gather(*(one(f"t{n}") for n in range(TENANTS)))


def read(memory: ReasoningMemory, folder: Path, seconds: float) -> None:
    """Look up and search what writers have acknowledged, until a file named ``stop`` appears."""
    deadline = time.time() + seconds
    checked = 0
    while time.time() < deadline and not (folder / "stop").exists():
        for file in folder.glob("*.ack"):
            lines = file.read_text().split()
            if not lines:
                continue
            one = memory.get(lines[-1])
            assert one is not None, f"{lines[-1]} was acknowledged and is not there"
            best = memory.recall(one.applies_when, k=1).entries
            assert best and best[0].entry.id == one.id, f"{one.id} was acknowledged, not recalled"
            checked += 1
            time.sleep(0.01)
    assert checked, "nothing was read"


def work(role: str, place: str, name: str, count: int, acknowledged: Path) -> None:
    """Play a role; what goes wrong is left beside the file ``acknowledged``."""
    try:
        memory = open_memory(place, acknowledged.parent / "journal.sqlite")
        if role == "write":
            write(memory, name, count, acknowledged)
        elif role == "tenants":
            asyncio.run(write_for_tenants(memory, count, acknowledged))
        else:
            read(memory, acknowledged.parent, count)
        memory.close()
    except BaseException:
        acknowledged.with_suffix(".error").write_text(traceback.format_exc())
        raise
