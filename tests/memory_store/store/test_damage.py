"""Folders that are damaged, half copied or of another embedder; servers that are down or slow."""

from __future__ import annotations

import logging
import random
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from langgraph.store.base import PutOp

from tests.memory_store.conftest import (
    DIMS,
    ChromaServer,
    WordEmbeddings,
    free_port,
    index_config,
)
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store import ChromaStore
from vitarmm_agent.memory_store.store import server_collections

NS = ("team",)
COUNT = 300


def fill(folder: Path, count: int = COUNT) -> None:
    with ChromaStore(folder, index=index_config(["text"]), index_batch=50) as store:
        store.batch([PutOp(NS, f"k{n}", {"text": f"word{n} thing{n}"}) for n in range(count)])
        for n in range(5):
            store.put(NS, f"late{n}", {"text": f"late{n} entry{n}"})


def check(folder: Path) -> None:
    with ChromaStore(folder, index=index_config(["text"]), index_batch=50) as store:
        assert store.count(NS) == COUNT + 5
        for n in random.Random(1).sample(range(COUNT), 30):
            assert store.search(NS, query=f"word{n} thing{n}", limit=1)[0].key == f"k{n}"
        assert store.search(NS, query="late3 entry3", limit=1)[0].key == "late3"
        store.put(NS, "new", {"text": "brand new"})
        assert store.search(NS, query="brand new", limit=1)[0].key == "new"
        store.delete(NS, "new")


def index_files(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "index").rglob("*") if p.is_file() and p.stat().st_size)


def test_what_is_written_is_in_chroma(tmp_path: Path) -> None:
    """The index is real: what was written is found by a bare Chroma client."""
    import chromadb

    fill(tmp_path)
    client = chromadb.PersistentClient(str(tmp_path / "index"))
    (collection,) = client.list_collections()
    assert collection.count() == COUNT + 5
    assert collection.configuration["hnsw"]["space"] == "cosine"
    client.close()
    check(tmp_path)


def test_every_kind_of_damage_to_the_index(tmp_path: Path) -> None:
    fill(tmp_path / "good")
    names = [p.relative_to(tmp_path / "good") for p in index_files(tmp_path / "good")]
    assert len(names) > 1
    for name in names:
        for number, harm in enumerate((b"", b"garbage" * 999, None)):
            folder = tmp_path / f"{name.name}-{number}"
            shutil.copytree(tmp_path / "good", folder)
            if harm is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(harm)
            check(folder)


def test_a_lost_index_is_made_again(tmp_path: Path) -> None:
    fill(tmp_path)
    shutil.rmtree(tmp_path / "index")
    check(tmp_path)
    assert index_files(tmp_path)


def test_half_copied_and_damaged_folders(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    (tmp_path / "a" / "items.sqlite").unlink()
    with pytest.raises(MemoryStoreError, match="half copied"):
        ChromaStore(tmp_path / "a", index=index_config())
    fill(tmp_path / "b")
    (tmp_path / "b" / "items.sqlite").write_bytes(b"x" * 10_000)
    with pytest.raises(MemoryStoreError, match="damaged"):
        ChromaStore(tmp_path / "b", index=index_config())


def test_another_embedder_or_dimension(tmp_path: Path) -> None:
    ChromaStore(tmp_path, index=index_config(), embedder="local:one").close()
    with pytest.raises(MemoryStoreError, match=r"local:one of \d+ .* local:two of \d+"):
        ChromaStore(tmp_path, index=index_config(), embedder="local:two")
    smaller = {"embed": WordEmbeddings(), "dims": 12}
    with pytest.raises(MemoryStoreError, match=f"{DIMS} dimensions.* 12"):
        ChromaStore(tmp_path, index=smaller)  # type: ignore[arg-type]
    ChromaStore(tmp_path, index=index_config(), embedder="local:one").close()
    with (
        ChromaStore(index={"embed": WordEmbeddings(), "dims": 12}) as store,
        pytest.raises(MemoryStoreError, match="12 dimensions"),
    ):
        store.put(NS, "k", {"text": "x"})


def test_another_embedder_on_a_server(chroma_server: ChromaServer, root: str) -> None:
    with ChromaStore(url=chroma_server.url, index=index_config(), embedder="local:one") as store:
        store.put((root,), "k", {"text": "x"})
    with (
        ChromaStore(url=chroma_server.url, index=index_config(), embedder="local:two") as store,
        pytest.raises(MemoryStoreError, match="local:one"),
    ):
        store.put((root,), "k2", {"text": "y"})


def test_values_that_cannot_be_stored(tmp_path: Path) -> None:
    with ChromaStore(tmp_path, index=index_config()) as store:
        for value in ({"x": object()}, {"x": "\ud800"}, {"x": {1, 2}}):
            with pytest.raises(InputError):
                store.put(NS, "k", value)
        with pytest.raises(InputError):
            store.put(NS, "\ud800", {"x": 1})
        store.put(NS, "k", {"x": "nul \x00", "y": "x" * 1_000_000})
        item = store.get(NS, "k")
        assert item is not None and len(item.value["y"]) == 1_000_000
        assert store.count(NS) == 1


def test_a_store_that_was_replaced_says_so(tmp_path: Path) -> None:
    with ChromaStore(tmp_path / "a", index=index_config()) as store:
        store.put(NS, "k", {"x": 1})
        (tmp_path / "a" / "items.sqlite").rename(tmp_path / "old")
        ChromaStore(tmp_path / "b", index=index_config()).close()
        (tmp_path / "b" / "items.sqlite").rename(tmp_path / "a" / "items.sqlite")
        with pytest.raises(MemoryStoreError, match="open the memory again"):
            store.put(NS, "k", {"x": 2})


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not both"):
        ChromaStore(tmp_path, url="http://localhost:1")
    with pytest.raises(InputError, match="http"):
        ChromaStore(url="ftp://localhost")
    with pytest.raises(InputError, match="dims"):
        ChromaStore(index={"embed": WordEmbeddings()})  # type: ignore[typeddict-item]


def test_a_server_that_is_down(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(MemoryStoreError, match="does not answer"):
        ChromaStore(url=f"http://127.0.0.1:{free_port()}", index=index_config())


def test_a_server_that_is_slow() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(MemoryStoreError, match="does not answer"):
        ChromaStore(url=f"http://127.0.0.1:{port}", index=index_config(), timeout=0.5)
    assert time.monotonic() - started < 5
    listener.close()


def test_something_else_than_chroma(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(MemoryStoreError, match="check the address"):
        ChromaStore(url=f"http://127.0.0.1:{server.server_port}", index=index_config())
    server.shutdown()


def test_a_server_that_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_collections, "PATIENCE", 60.0)  # it may be slow to start
    server = ChromaServer(tmp_path)
    try:
        with ChromaStore(url=server.url, index=index_config(["text"])) as store:
            store.put(NS, "before", {"text": "one"})
            server.stop()
            again = threading.Timer(0.3, server.start)
            again.start()
            store.put(NS, "during", {"text": "two"})  # waits for it
            again.join()
            assert {item.key for item in store.search(NS)} == {"before", "during"}
            server.stop()
            with monkeypatch.context() as hurried:
                hurried.setattr(server_collections, "PATIENCE", 1.0)
                with pytest.raises(MemoryStoreError, match="does not answer"):
                    store.put(NS, "after", {"text": "three"})
            server.start()
            store.put(NS, "after", {"text": "three"})
            assert store.search(NS, query="three", limit=1)[0].key == "after"
    finally:
        server.stop()
