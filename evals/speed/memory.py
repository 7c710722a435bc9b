"""Memory against its parts and its peers: ``python -m vitarmm_agent.evals.speed.memory``.

Every store holds the same entries with the same vectors (384 dimensions, in clusters, as embedded
text is), and embedding costs nothing here: vectors are looked up. Compared in one run, in turn:
recall (shortlist of 32 with their documents, fused and ranked) and bulk writes, against a bare
Chroma collection; the same shortlist from LangGraph's ``SqliteStore`` and ``InMemoryStore``, and
from langchain-chroma with a filter by tenant. Then, in a process of its own, how long a memory
takes to open and to answer first, and how much memory that takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore

from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.entry_store import ENTRIES, entry_value
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.namespaces import encode_namespace
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.schema import MemoryEntry

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

DIMS = 384
CLUSTERS = 400
SHORTLIST = 32
BATCH = 100
NAMESPACE = ("bench", "agent")
FOLDED = encode_namespace(NAMESPACE, ENTRIES)


class LookedUp(Embeddings):
    """Vectors by the number that a text starts with; queries are near the vector they name."""

    def __init__(self, count: int) -> None:
        """Make ``count`` vectors around :data:`CLUSTERS` centres."""
        dice = np.random.default_rng(0)
        centres = dice.normal(size=(CLUSTERS, DIMS))
        picked = centres[dice.integers(CLUSTERS, size=count)]
        vectors = picked + 0.7 * dice.normal(size=(count, DIMS))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")
        self._dice = dice

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of entries."""
        return self.vectors[[_number(text) for text in texts]].tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        """A vector a little off the one that the text names."""
        vector = self.vectors[_number(text)] + 0.02 * self._dice.normal(size=DIMS)
        return (vector / np.linalg.norm(vector)).tolist()  # type: ignore[no-any-return]


@dataclass
class Timing:
    """Seconds of repeated calls."""

    seconds: list[float]

    def at(self, share: float) -> float:
        """A percentile, in milliseconds."""
        return float(np.percentile(self.seconds, share * 100)) * 1e3


def entry(number: int) -> MemoryEntry:
    """Entry ``number``, of a usual length."""
    return MemoryEntry(
        id=f"m-{number:08d}",
        entry_type="insight",
        title="Add before you divide",
        applies_when=f"{number} things are shared and some of them are bought later",
        content=f"{number} is the number of things. Add what was bought to what was there, then divide the sum by the number of "
        "people who share it; do not divide first.",
    )


def main() -> None:
    """Run the sizes that the command line names and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--open", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open:
        print(json.dumps(opening(Path(arguments.open[0]), int(arguments.open[1]))))
        return
    first = None
    for size in arguments.sizes:
        rows, p50 = compare(size, arguments.queries)
        first = first or p50
        rows.append(
            Row("recall p50 against the smallest size", p50, first, "ms", "smallest", "≤ 2")
        )
        print_table(f"Memory of {size:,} entries", rows)


def compare(size: int, queries: int) -> tuple[list[Row], float]:
    """All comparisons at one size, and the median recall in milliseconds."""
    embed = LookedUp(size)
    entries = [entry(number) for number in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "ours", embed)
        memory = open_memory(store, Path(folder) / "ours")
        client, bare = bare_chroma(Path(folder) / "bare")
        ours_rate, bare_rate = fill(store, bare, entries, embed)
        peers = other_stores(entries, Path(folder), client)
        asked = np.random.default_rng(1).integers(size, size=queries).tolist()
        recall = in_turn(
            asked,
            [
                lambda n: memory.recall(f"{n} things", k=3),
                lambda n: store.search(FOLDED, query=f"{n} things", limit=SHORTLIST),
                lambda n: bare_search(bare, embed.embed_query(f"{n}")),
            ],
        )
        ours, search, base = recall
        rows = [
            Row("recall p50", ours.at(0.5), base.at(0.5), "ms", "bare Chroma", "≤ 1.5"),
            Row("recall p99", ours.at(0.99), base.at(0.99), "ms", "bare Chroma"),
            Row("store.search p50", search.at(0.5), base.at(0.5), "ms", "bare Chroma"),
        ]
        for name, ask, most in peers:
            (peer,) = in_turn(asked[:most], [ask])
            rows.append(Row("recall p50", ours.at(0.5), peer.at(0.5), "ms", name))
        rows.append(Row("bulk write", ours_rate, bare_rate, "entries/s", "bare Chroma", "≥ 0.7"))
        rows.append(attempts(memory, size, embed))
        memory.close()
        rows += opened(Path(folder) / "ours", size)
        return rows, ours.at(0.5)


def open_store(folder: Path, embed: Embeddings) -> ChromaStore:
    """Our store in a folder."""
    index: Any = {"embed": embed, "dims": DIMS, "fields": ["index_text"]}
    return ChromaStore(folder, index=index)


def open_memory(store: BaseStore, folder: Path) -> ReasoningMemory:
    """A memory on a store, with its journal."""
    config = RecallConfig(floor=0.3, shortlist=SHORTLIST)
    return ReasoningMemory(
        store, NAMESPACE, journal=Journal(folder / "journal.sqlite"), config=config
    )


def bare_chroma(folder: Path) -> tuple[ClientAPI, Collection]:
    """A Chroma client and collection, used as its documentation says."""
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
    collection = client.create_collection("bench", configuration={"hnsw": {"space": "cosine"}})
    return client, collection


def fill(
    store: ChromaStore, bare: Collection, entries: Sequence[MemoryEntry], embed: LookedUp
) -> tuple[float, float]:
    """Write all entries into both in turn, :data:`BATCH` at a time; entries per second of each."""
    ours = theirs = 0.0
    for start in range(0, len(entries), BATCH):
        part = entries[start : start + BATCH]
        values = [entry_value(one) for one in part]
        begun = time.perf_counter()
        store.batch([PutOp(FOLDED, one.id, value) for one, value in zip(part, values, strict=True)])
        ours += time.perf_counter() - begun
        begun = time.perf_counter()
        bare.upsert(
            ids=[one.id for one in part],
            embeddings=embed.vectors[start : start + len(part)],
            documents=[json.dumps(value) for value in values],
            metadatas=[{"tenant": "bench"} for _ in part],
        )
        theirs += time.perf_counter() - begun
    begun = time.perf_counter()
    store.flush()
    ours += time.perf_counter() - begun
    return len(entries) / ours, len(entries) / theirs


Peer = tuple[str, Callable[[int], object], int]


def other_stores(entries: Sequence[MemoryEntry], folder: Path, client: ClientAPI) -> list[Peer]:
    """Peers with the same entries: a name, a search, and how many queries to spend on it."""
    embed = LookedUp(len(entries))
    index: Any = {"embed": embed, "dims": DIMS, "fields": ["index_text"],
                  "text_fields": ["index_text"]}  # fmt: skip
    stores: dict[str, BaseStore] = {"InMemoryStore": InMemoryStore(index=index)}
    sqlite = sqlite_store(folder / "sqlite.db", index)
    if sqlite is not None:
        stores["SqliteStore"] = sqlite
    for store in stores.values():
        for start in range(0, len(entries), BATCH):
            part = entries[start : start + BATCH]
            store.batch([PutOp(FOLDED, one.id, entry_value(one)) for one in part])
    few = max(2, min(50, 200_000 // len(entries)))
    peers: list[Peer] = [(name, _searching(store), few) for name, store in stores.items()]
    return [*peers, ("langchain-chroma, tenant filter", _langchain(client, embed), few)]


def sqlite_store(path: Path, index: Any) -> BaseStore | None:
    """LangGraph's ``SqliteStore``, where Python's SQLite can load extensions."""
    import sqlite3

    from langgraph.store.sqlite import SqliteStore

    connect: Any = sqlite3.connect
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        try:
            import pysqlite3  # type: ignore[import-untyped]
        except ImportError:
            return None
        connect = pysqlite3.connect
    store = SqliteStore(
        connect(str(path), check_same_thread=False, isolation_level=None), index=index
    )
    store.setup()
    return store


def _searching(store: BaseStore) -> Callable[[int], object]:
    return lambda n: store.search(FOLDED, query=f"{n} things", limit=SHORTLIST)


def _langchain(client: ClientAPI, embed: LookedUp) -> Callable[[int], object]:
    from langchain_chroma import Chroma

    store = Chroma(collection_name="bench", client=client, embedding_function=embed)
    return lambda n: store.similarity_search_with_score(
        f"{n} things", k=SHORTLIST, filter={"tenant": "bench"}
    )


def bare_search(bare: Collection, vector: list[float]) -> object:
    """What a memory needs of Chroma: the nearest documents."""
    return bare.query(
        query_embeddings=vector, n_results=SHORTLIST, include=["documents", "distances"]
    )


def in_turn(asked: Sequence[int], calls: Sequence[Callable[[int], object]]) -> list[Timing]:
    """Time calls for each query in turn, so that a noisy machine hits all alike."""
    timings = [Timing([]) for _ in calls]
    for warm in (True, False):
        for number in asked[:3] if warm else asked:
            for call, timing in zip(calls, timings, strict=True):
                begun = time.perf_counter()
                call(number)
                if not warm:
                    timing.seconds.append(time.perf_counter() - begun)
    return timings


def attempts(memory: ReasoningMemory, size: int, embed: LookedUp) -> Row:
    """Attempts of three new entries each: consolidated, journalled, durable."""
    dice = np.random.default_rng(2)
    fresh = dice.normal(size=(60, DIMS)).astype("float32")
    embed.vectors = np.concatenate([embed.vectors, fresh])
    begun = time.perf_counter()
    for attempt in range(20):
        numbers = [size + attempt * 3 + i for i in range(3)]
        operations = [Operation(kind="add", entry=entry(number)) for number in numbers]
        memory.write(operations, run=f"attempt-{attempt}", attempt=1)
    taken = (time.perf_counter() - begun) / 20 * 1e3
    return Row("attempt of 3 entries", taken, taken, "ms", "itself")


def opened(folder: Path, size: int) -> list[Row]:
    """Open the memory in a new process."""
    command = [sys.executable, "-m", "vitarmm_agent.evals.speed.memory"]
    done = subprocess.run(
        [*command, "--open", str(folder), str(size)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    raw = size * DIMS * 4 / 2**20
    return [
        Row("open and first recall", found["seconds"], 2.0, "s", "the aim", "≤ 1"),
        Row("memory of the process above its imports", found["mib"], raw, "MiB", "raw vectors"),
    ]


def opening(folder: Path, size: int) -> dict[str, float]:
    """Seconds from opening to the first recall, and what it adds to the process, in MiB."""
    import chromadb  # noqa: F401  (its import is not what is measured)

    embed = LookedUp(size)
    before = resident()
    begun = time.perf_counter()
    memory = open_memory(open_store(folder, embed), folder)
    found = memory.recall("7 things")
    seconds = time.perf_counter() - begun
    if not found.entries:
        raise SystemExit("nothing was recalled")
    grown = resident() - before
    memory.close()
    return {"seconds": seconds, "mib": grown}


def resident() -> float:
    """Memory that this process occupies, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _number(text: str) -> int:
    return int(text.split()[0])


if __name__ == "__main__":
    main()
