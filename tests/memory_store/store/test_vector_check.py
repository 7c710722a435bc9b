"""The name of an embedder stands for exact vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.store.base import IndexConfig

from tests.memory_store.conftest import DIMS, ChromaServer, WordEmbeddings
from tests.memory_store.tiny_bert import tiny_bert
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.bert_gguf import BertFolder
from vitarmm_agent.memory_store.embedding import LlamaEmbeddings
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.open import journal_path, open_memory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.reindex import reindex
from vitarmm_agent.settings import Settings

TEXT = "the perimeter of a square"
Open = Callable[..., ChromaStore]


class Turned(WordEmbeddings):
    """The same dimensions, other directions; ``share`` of the first model is left in them."""

    def __init__(self, share: float = 0.0) -> None:
        self.share = share

    def embed_query(self, text: str) -> list[float]:
        vector = np.asarray(super().embed_query(text))
        turned = np.roll(vector, 1)
        return (self.share * vector + (1 - self.share) * turned).tolist()  # type: ignore[no-any-return]


class Counted(WordEmbeddings):
    """Counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls += 1
        return [self.embed_query(text) for text in texts]


@pytest.fixture(params=["folder", "server"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same place each time."""
    server: ChromaServer | None = None
    if request.param == "server":
        server = request.getfixturevalue("chroma_server")

    def open_(embed: Any, dims: int = DIMS) -> ChromaStore:
        index: IndexConfig = {"embed": embed, "dims": dims, "fields": ["text"]}
        if server is not None:
            return ChromaStore(url=server.url, index=index, embedder="words")
        return ChromaStore(tmp_path / "memory", index=index, embedder="words")

    return open_


def test_another_model_under_the_same_name(reopened: Open, root: str) -> None:
    with reopened(WordEmbeddings()) as store:
        store.put((root, "a"), "1", {"text": TEXT})
    with reopened(Turned()) as store:
        assert store.get((root, "a"), "1") is not None  # nothing is compared
        with pytest.raises(MemoryStoreError, match=r"cosine .* vitarmm memory reindex"):
            store.search((root, "a"), query=TEXT)
        with pytest.raises(MemoryStoreError, match="another model"):
            store.put((root, "a"), "2", {"text": "a train"})
        assert store.get((root, "a"), "2") is None
        store.put((root, "b"), "1", {"text": "a train"})  # holds nothing to differ from
    with reopened(WordEmbeddings()) as store:
        assert [item.key for item in store.search((root, "a"), query=TEXT)] == ["1"]


async def test_on_an_event_loop(reopened: Open, root: str) -> None:
    with reopened(WordEmbeddings()) as store:
        await store.aput((root,), "1", {"text": TEXT})
    with reopened(Turned()) as store:
        with pytest.raises(MemoryStoreError, match="another model"):
            await store.asearch((root,), query="something else")


def test_a_model_that_gives_nearly_the_same(reopened: Open, root: str) -> None:
    """Servers of one model, and llama.cpp and torch, differ in the last places."""
    with reopened(WordEmbeddings()) as store:
        store.put((root,), "1", {"text": TEXT})
    with reopened(Turned(share=0.99)) as store:
        assert store.search((root,), query=TEXT)[0].score == pytest.approx(1, abs=1e-3)
    with reopened(Turned(share=0.9)) as store, pytest.raises(MemoryStoreError):
        store.search((root,), query=TEXT)


def test_a_namespace_is_checked_once(reopened: Open, root: str) -> None:
    with reopened(WordEmbeddings()) as store:
        store.put((root,), "1", {"text": TEXT})
    counted = Counted()
    with reopened(counted) as store:
        for _ in range(3):
            store.search((root,), query=TEXT)
        assert counted.calls == 1
        store.put((root,), "2", {"text": "a train"})
        assert counted.calls == 2


def test_texts_that_are_not_known_any_more(reopened: Open, root: str) -> None:
    """A put may name other fields: what was embedded then cannot be embedded again."""
    with reopened(WordEmbeddings()) as store:
        store.put((root,), "1", {"text": TEXT, "other": "a train"}, index=["other"])
    with reopened(WordEmbeddings()) as store:
        assert [item.key for item in store.search((root,), query="a train")] == ["1"]


def test_a_memory_whose_embedder_folder_was_replaced(tmp_path: Path) -> None:
    """Refused, with what to do; and whole again when that is done."""
    now, then = tiny_bert(tmp_path / "now"), tiny_bert(tmp_path / "then", seed=5)
    settings = Settings.load(
        memory=str(tmp_path / "memory"), embedder=f"local:{now}", home=tmp_path / "home"
    )
    lesson = MemoryEntry(entry_type="fact", applies_when=TEXT, content="It has four sides.")
    bert = BertFolder.of(then, settings.home)
    assert bert is not None
    index: IndexConfig = {"embed": LlamaEmbeddings(bert), "dims": 16, "fields": ["index_text"]}
    store = ChromaStore(tmp_path / "memory", index=index, embedder=settings.embedder)
    made = ReasoningMemory(store, settings.namespace, journal=Journal(journal_path(settings)))
    made.write([Operation(kind="add", entry=lesson)], run="r", attempt=1)
    made.close()

    memory = open_memory(settings)
    assert memory is not None
    assert [entry.id for entry in memory.list()] == [lesson.id]
    with pytest.raises(MemoryStoreError, match="vitarmm memory reindex"):
        memory.recall(TEXT)
    other = lesson.model_copy(update={"id": "m-2", "applies_when": "the speed of a train"})
    with pytest.raises(MemoryStoreError, match="vitarmm memory reindex"):
        memory.write([Operation(kind="add", entry=other)], run="s", attempt=1)
    memory.close()
    reindex(settings)
    memory = open_memory(settings)
    assert memory is not None
    assert [found.entry.id for found in memory.recall(TEXT).entries] == [lesson.id]
    memory.close()
