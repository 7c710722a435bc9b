"""Stores to test: LangGraph's own, and ours in memory, in a folder and on a real Chroma server."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, IndexConfig, TTLConfig
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from tests.memory_store.tiny_bert import tiny_bert
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.ranking import RecallConfig

DIMS = 256
OpenStore = Callable[..., BaseStore]


class WordEmbeddings(Embeddings):
    """Each word is a random direction: texts are near when they share words. No model is needed."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vector = np.full(DIMS, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            vector += _direction(word)
        return (vector / np.linalg.norm(vector)).tolist()  # type: ignore[no-any-return]


@cache
def _direction(word: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    seed = hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed)).normal(size=DIMS) / DIMS**0.5


def index_config(fields: list[str] | None = None) -> IndexConfig:
    """Word embeddings of some fields (SqliteStore calls them ``text_fields``)."""
    config = {"embed": WordEmbeddings(), "dims": DIMS}
    if fields is not None:
        config |= {"fields": fields, "text_fields": fields}
    return config  # type: ignore[return-value]


def open_sqlite(path: str, index: Any = None, ttl: TTLConfig | None = None) -> SqliteStore:
    """LangGraph's store on SQLite; it wants a SQLite that loads extensions."""
    import sqlite3

    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        import pysqlite3 as sqlite3  # type: ignore[import-not-found,no-redef]
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    store = SqliteStore(connection, index=index, ttl=ttl)
    store.setup()
    return store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ChromaServer:
    """A ``chroma run`` process on a folder; it can be stopped and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        chroma = Path(sys.executable).with_name("chroma")
        self.process = subprocess.Popen(
            [str(chroma), "run", "--path", str(self.folder), "--host", "127.0.0.1",
             "--port", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/api/v2/heartbeat", timeout=1)
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError("chroma run did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    server = ChromaServer(tmp_path_factory.mktemp("chroma-server"))
    yield server
    server.stop()


@dataclass(frozen=True)
class SmallEmbedder:
    """One of random weights and the home where its copy for llama.cpp lies: started once for many tests."""

    folder: Path
    home: Path


@pytest.fixture(scope="session")
def small_embedder(tmp_path_factory: pytest.TempPathFactory) -> SmallEmbedder:
    folder = tmp_path_factory.mktemp("embedder")
    return SmallEmbedder(tiny_bert(folder / "bert"), folder / "home")


KINDS = ["in-memory", "sqlite", "chroma-memory", "chroma-folder", "chroma-tail", "chroma-server"]
OURS = KINDS[2:]


@pytest.fixture
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens a store of the kind that the test is run for; arguments: ``fields``, ``ttl``."""
    kind: str = request.param
    opened: list[object] = []

    def make(
        *, fields: list[str] | None = None, embed: bool = True, ttl: TTLConfig | None = None
    ) -> BaseStore:
        index = index_config(fields) if embed else None
        store: BaseStore
        if kind == "in-memory":
            store = InMemoryStore(index=index)
        elif kind == "sqlite":
            store = open_sqlite(":memory:", index, ttl)
        elif kind == "chroma-memory":
            store = ChromaStore(index=index, ttl=ttl, index_batch=1)
        elif kind == "chroma-folder":  # every vector goes through Chroma's index
            store = ChromaStore(tmp_path / "store", index=index, ttl=ttl, index_batch=1)
        elif kind == "chroma-tail":  # the newest are compared directly, as by default
            store = ChromaStore(tmp_path / "tail", index=index, ttl=ttl)
        else:
            server = request.getfixturevalue("chroma_server")
            store = ChromaStore(url=server.url, index=index, ttl=ttl)
        opened.append(store)
        return store

    yield make
    for store in opened:
        if isinstance(store, ChromaStore):
            store.close()


@pytest.fixture
def root() -> str:
    """A namespace root that no other test uses (all share the server)."""
    return f"test-{uuid.uuid4().hex[:12]}"


def stores(*kinds: str) -> pytest.MarkDecorator:
    """Run a test for each of these kinds of store; all when none is named."""
    return pytest.mark.parametrize("open_store", kinds or KINDS, indirect=True)


@pytest.fixture
def memory(open_store: OpenStore, root: str, tmp_path: Path) -> ReasoningMemory:
    return ReasoningMemory(
        open_store(),
        (root, "agent"),
        journal=Journal(tmp_path / "journal.sqlite"),
        config=RecallConfig(floor=0.3),
    )
