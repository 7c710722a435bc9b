"""Whether recall is slower while hosted models are waited for: ``python -m vitarmm_agent.evals.speed.beside``.

Queries that were never asked before are recalled from a memory on disk with the default embedder: alone,
and while eight requests to a server wait for their answers on an event loop of the same process.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import httpx

from vitarmm_agent.evals.speed.measure import Row, medians, print_table
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.settings import Settings

REQUESTS, ENTRIES, REPEAT = 8, 60, 40
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
_numbers = count()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A hosted model: it answers after a tenth of a second."""
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.1)
    writer.write(ANSWER)
    await writer.drain()
    writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The address of such a server."""
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask_until(stop: threading.Event) -> None:
    """Keep so many requests waiting."""
    async with served() as address, httpx.AsyncClient(trust_env=False) as client:

        async def one() -> None:
            while not stop.is_set():
                await client.get(address)

        await asyncio.gather(*(one() for _ in range(REQUESTS)))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        memory = open_memory(Settings.load(data_dir=Path(place), memory=str(Path(place) / "m")))
        assert memory is not None
        entries = [
            MemoryEntry(entry_type="fact", applies_when=f"case {n} of squares", content=f"Use {n}.")
            for n in range(ENTRIES)
        ]
        memory.change({e.id: e for e in entries}, kind="import", reason="")

        def recall() -> float:
            start = time.perf_counter()
            memory.recall(f"A square has a side of {next(_numbers)} cm. Which case is it?")
            return time.perf_counter() - start

        recall()
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(4):  # in turn, so that a noisy machine hits both alike
            alone += [recall() for _ in range(REPEAT // 4)]
            stop = threading.Event()
            asking = threading.Thread(target=lambda s=stop: asyncio.run(ask_until(s)))
            asking.start()
            time.sleep(0.3)
            beside += [recall() for _ in range(REPEAT // 4)]
            stop.set()
            asking.join()
        memory.close()
    with_them, without = medians([beside, alone])
    row = Row("recall beside eight requests", with_them * 1000, without * 1000, "ms", "alone")
    print_table("Recall beside hosted models", [row])


if __name__ == "__main__":
    main()
