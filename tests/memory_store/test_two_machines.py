"""One Chroma server, two machines: each has a data folder, and so a journal, of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import chromadb
import pytest
from langgraph.store.base import IndexConfig, Item, PutOp

from tests.memory_store.conftest import (
    DIMS,
    ChromaServer,
    SmallEmbedder,
    WordEmbeddings,
    index_config,
)
from tests.memory_store.tiny_bert import tiny_bert
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.reindex import Reindexed, reindex
from vitarmm_agent.settings import Settings

Machine = Callable[..., Settings]


@pytest.fixture
def machine(
    chroma_server: ChromaServer, small_embedder: SmallEmbedder, root: str, tmp_path: Path
) -> Machine:
    """Settings of a machine, by its name; all share one server and, if not told otherwise, one memory."""

    def settings(
        name: str, tenant: str = "agent", embedder: Path = small_embedder.folder
    ) -> Settings:
        return Settings.load(
            memory=chroma_server.url,
            embedder=f"local:{embedder}",
            home=small_embedder.home,
            data_dir=tmp_path / name,
            namespace=(root, tenant),
        )

    return settings


def opened(settings: Settings) -> ReasoningMemory:
    memory = open_memory(settings)
    assert memory is not None
    return memory


def learn(memory: ReasoningMemory, machine: str, *conditions: str) -> list[MemoryEntry]:
    entries = [
        MemoryEntry(
            id=f"{machine}-{n}", entry_type="fact", applies_when=text, content=f"On {text}."
        )
        for n, text in enumerate(conditions)
    ]
    operations = [Operation(kind="add", entry=entry) for entry in entries]
    return [w.entry for w in memory.write(operations, run=machine, attempt=1) if w.entry]


def by_id(memory: ReasoningMemory) -> dict[str, MemoryEntry]:
    return {entry.id: entry for entry in memory.list()}


def left(done: Reindexed, memory: ReasoningMemory) -> dict[tuple[str, ...], int]:
    """What was left alone under the root of a test; all tests share the server."""
    return {name: n for name, n in done.left.items() if name[0] == memory.namespace[0]}


def make_again(machine: Machine, memory: ReasoningMemory, how: str) -> Reindexed | int:
    return reindex(machine("one")) if how == "reindex" else memory.rebuild()


@pytest.mark.parametrize("how", ["reindex", "rebuild"])
def test_what_another_machine_wrote_stays(
    machine: Machine, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its entries, what it changed of ours, another tenant's; only what our journal knows is made again."""
    one, two, theirs = (opened(machine(*m)) for m in (("one",), ("two",), ("two", "other")))
    ours = learn(one, "one", "a square", "a train", "a triangle")
    learn(two, "two", "a city", "the speed")
    learn(theirs, "theirs", "the history")
    two.edit("one-1", {"content": "Trains are late."})
    one.credit(["two-0"], "pass", run="one", attempt=2)
    two.credit(["two-1"], "pass", run="two", attempt=2)
    wanted = by_id(two)
    for lost in ("one-0", "two-0"):  # as if the server had lost what our journal knows
        one.store.delete(one.entry_store.entries, lost)
    with caplog.at_level(logging.WARNING):
        done = make_again(machine, one, how)
    assert by_id(two) == by_id(one) == wanted
    assert one.recall("a city").entries[0].entry.id == "two-0"
    assert two.recall(ours[0].applies_when).entries[0].entry.id == "one-0"
    assert list(by_id(theirs)) == ["theirs-0"]
    assert "2 entries" in caplog.text and "stay as they are" in caplog.text
    if isinstance(done, Reindexed):
        assert done.entries == {one.namespace: 3}
        assert left(done, one) == {one.namespace: 2, theirs.namespace: 1}
    learn(two, "again", "the history")  # who had it open goes on
    assert len(by_id(one)) == 6
    for memory in (one, two, theirs):
        memory.close()


def test_what_this_machine_forgot_goes(machine: Machine) -> None:
    one = opened(machine("one"))
    learn(one, "one", "a square", "a train")
    kept = one.get("one-0")
    one.forget("one-0")
    assert kept is not None
    one.store.put(one.entry_store.entries, "one-0", kept.model_dump(mode="json"))
    assert one.rebuild() == 1
    assert list(by_id(one)) == ["one-1"]
    one.close()


def test_another_embedder_on_a_server(machine: Machine, tmp_path: Path) -> None:
    """All of a memory's vectors are made with it, whoever wrote the entries; clients of the old one are told."""
    new = tiny_bert(tmp_path / "wider", dims=24)
    one, two = opened(machine("one")), opened(machine("two"))
    learn(one, "one", "a square", "a train")
    learn(two, "two", "a city")
    theirs = opened(machine("two", "other"))
    learn(theirs, "theirs", "the history")
    wanted = by_id(two)
    done = reindex(machine("one", embedder=new))
    assert left(done, one) == {one.namespace: 1, theirs.namespace: 1}
    after = opened(machine("two", embedder=new))
    assert by_id(after) == wanted
    assert {found.entry.id for text in ("a city", "a train") for found in
            after.recall(text, k=1).entries} == {"two-0", "one-1"}  # fmt: skip
    for told in (lambda: learn(two, "late", "the speed"), lambda: opened(machine("one")).list()):
        with pytest.raises(MemoryStoreError, match="vitarmm memory reindex"):
            told()
    assert by_id(after) == wanted
    assert theirs.recall("the history").entries  # another's memory keeps its embedder
    for memory in (one, two, after, theirs):
        memory.close()


class Interrupted(WordEmbeddings):
    """Something happens while it embeds."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self.happens = happens

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.happens()
        return super().embed_documents(texts)


def as_put(item: Item) -> PutOp:
    return PutOp(item.namespace, item.key, item.value)


def test_vectors_are_renewed_under_a_client_that_writes(
    chroma_server: ChromaServer, root: str
) -> None:
    """A failure leaves all as it was; what was acknowledged meanwhile is found by its new vector."""
    place, numbers = (root,), iter(range(100))

    def store(embed: WordEmbeddings) -> ChromaStore:
        index: IndexConfig = {"embed": embed, "dims": DIMS, "fields": ["text"]}
        return ChromaStore(url=chroma_server.url, index=index, embedder="words")

    def fail() -> None:
        raise RuntimeError("401")

    client = store(WordEmbeddings())
    client.put(place, "first", {"text": "first words"})
    before = client.search(place)
    with store(Interrupted(fail)) as broken, pytest.raises(RuntimeError):
        broken.renew_vectors(place, as_put)
    assert client.search(place) == before
    assert client.search(place, query="first words")[0].key == "first"

    def write() -> None:
        number = next(numbers)
        client.put(place, f"new{number}", {"text": f"meanwhile{number} thing{number}"})

    with store(Interrupted(write)) as renewing:
        assert renewing.renew_vectors(place, as_put) >= 2
    client.put(place, "after", {"text": "after all"})
    for query, key in (("first words", "first"), ("meanwhile0 thing0", "new0"),
                       ("meanwhile1 thing1", "new1"), ("after all", "after")):  # fmt: skip
        (found,) = client.search(place, query=query, limit=1)
        assert found.key == key and found.score == pytest.approx(1, abs=1e-3)
    client.close()


def test_vectors_that_are_lost_are_missed(chroma_server: ChromaServer, root: str) -> None:
    """As after a kill in the middle of renewing; done again, all is there."""
    with ChromaStore(url=chroma_server.url, index=index_config(["text"])) as store:
        store.put((root,), "k", {"text": "some words"})
        store.put((root, "plain"), "k", {"text": "some words"}, index=False)
        raw = chromadb.HttpClient(port=chroma_server.port)
        for collection in raw.list_collections():
            if (collection.metadata or {}).get("namespace") == json.dumps([root]):
                if collection.name.endswith("-vectors"):
                    raw.delete_collection(collection.name)
        with pytest.raises(MemoryStoreError, match="vitarmm memory reindex"):
            store.search((root,), query="some words")
        assert store.search((root, "plain"), query="some words") == []
        assert store.renew_vectors((root,), as_put) == 1
        assert store.search((root,), query="some words", limit=1)[0].key == "k"


def test_a_lost_journal(machine: Machine) -> None:
    """Entries that no journal knows are found as before, and nothing is taken from another machine."""
    one = opened(machine("one"))
    learn(one, "one", "a square")
    done = reindex(machine("new"))
    assert done.entries == {} and left(done, one) == {one.namespace: 1}
    assert one.recall("a square").entries[0].entry.id == "one-0"
    with pytest.raises(InputError, match="neither"):
        reindex(machine("new", "nobody's"))
    one.close()


def test_opening_says_where_the_history_is(
    machine: Machine, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.WARNING):
        opened(machine("one")).close()
    (record,) = (r for r in caplog.records if "this machine" in r.message)
    assert str(tmp_path / "one" / "journals") in record.message
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        opened(machine("one").model_copy(update={"memory": str(tmp_path / "folder")})).close()
    assert not caplog.records
