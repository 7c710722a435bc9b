"""A text is embedded once."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings

from tests.memory_store.conftest import DIMS, WordEmbeddings
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.store.embedded_once import EmbeddedOnce, awaits
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.verifiers import FeedbackPolicy, Function


class Counted(WordEmbeddings):
    """Counts how often each text was asked for."""

    def __init__(self) -> None:
        self.documents: Counter[str] = Counter()
        self.queries: Counter[str] = Counter()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents.update(texts)
        return [super(Counted, self).embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries[text] += 1
        return super().embed_query(text)


class Hosted(Counted):
    """Natively asynchronous."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)


def test_the_same_vectors_each_time() -> None:
    inner = Counted()
    once = EmbeddedOnce(inner)
    texts = ["a cat", "", "\ud800 \x00", "a cat"]
    first = once.embed_documents(texts)
    assert first == WordEmbeddings().embed_documents(texts)
    first[0][0] = 7.0  # what a caller does to a vector is its own affair
    assert once.embed_documents(texts) == WordEmbeddings().embed_documents(texts)
    assert set(inner.documents.values()) == {1}
    assert once.embed_documents([]) == []


def test_a_query_may_have_a_vector_of_its_own() -> None:
    apart, alike = Counted(), Counted()
    for inner, one_kind in ((apart, False), (alike, True)):
        once = EmbeddedOnce(inner, one_kind=one_kind)
        once.embed_query("a cat")
        once.embed_query("a cat")
        once.embed_documents(["a cat"])
    assert apart.queries == apart.documents == Counter({"a cat": 1})
    assert alike.queries == Counter() and alike.documents == Counter({"a cat": 1})


def test_the_newest_are_kept() -> None:
    inner = Counted()
    once = EmbeddedOnce(inner, most=2)
    assert len(once.embed_documents(["a", "b", "c"])) == 3
    once.embed_documents(["b"])
    once.embed_documents(["d"])  # c was used longest ago
    once.embed_documents(["b", "d", "c"])
    assert inner.documents == Counter({"c": 2, "a": 1, "b": 1, "d": 1})


async def test_the_asynchronous_forms() -> None:
    inner = Hosted()
    once = EmbeddedOnce(inner)
    assert await once.aembed_query("a cat") == once.embed_query("a cat")
    assert await once.aembed_documents(["a dog"]) == once.embed_documents(["a dog"])
    assert inner.queries == Counter({"a cat": 1}) and inner.documents == Counter({"a dog": 1})


@pytest.mark.parametrize(("inner", "native"), [(Counted(), False), (Hosted(), True)])
def test_a_store_waits_for_it_as_for_the_embedder_itself(inner: Embeddings, native: bool) -> None:
    assert awaits(EmbeddedOnce(inner)) is awaits(inner) is native
    index = {"embed": EmbeddedOnce(inner), "dims": DIMS}
    with ChromaStore(index=index) as store:  # type: ignore[arg-type]
        assert store.blocks_briefly is not native


def test_many_threads() -> None:
    once = EmbeddedOnce(Counted(), most=5)
    texts = [f"text {n}" for n in range(20)]
    wrong: list[str] = []

    def ask() -> None:
        for text in texts * 5:
            if once.embed_query(text) != WordEmbeddings().embed_query(text):
                wrong.append(text)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def know_something(memory: ReasoningMemory, inner: Counted) -> None:
    """Put an entry into the memory: with an empty one nothing is compared."""
    known = MemoryEntry(entry_type="fact", applies_when="a cat is asked for", content="Cats purr.")
    memory.write([Operation(kind="add", entry=known)], run="before", attempt=1)
    inner.documents.clear()
    inner.queries.clear()


def test_an_empty_memory_embeds_no_query(tmp_path: Path) -> None:
    inner = Counted()
    with ChromaStore(tmp_path, index={"embed": inner, "dims": DIMS}) as store:
        assert store.search(("team",), query="a cat") == []
        assert inner.queries == Counter()
        store.put(("team", "ada"), "1", {"text": "a cat"})
        assert [found.key for found in store.search(("team",), query="a cat")] == ["1"]
        assert store.search(("other",), query="a dog") == []
        assert inner.queries == Counter(["a cat"])


def test_a_problem_that_teaches_embeds_each_of_its_texts_once(tmp_path: Path) -> None:
    """One attempt asks for its problem's vector once, and four times for that of its lesson."""
    inner = Counted()
    index = {"embed": EmbeddedOnce(inner, one_kind=True), "dims": DIMS, "fields": ["index_text"]}
    store = ChromaStore(tmp_path / "memory", index=index)  # type: ignore[arg-type]
    memory = ReasoningMemory(
        store, journal=Journal(tmp_path / "journal.sqlite"), config=RecallConfig(floor=-1.0)
    )
    know_something(memory, inner)
    lesson = {
        "kind": "add", "title": "Divide first", "entry_type": "insight", "confidence": 0.8,
        "applies_when": "the area of a square is asked for, given its perimeter",
        "content": "Divide the perimeter by four before you square the side.",
    }  # fmt: skip
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of("1. 20 / 4 = 5\n2. 5 * 5 = 25\nAnswer: 25"),
        rmm=ScriptedChatModel.of({"structured": {"operations": [lesson]}}),
        feedback="arithmetic,reference",
        oracle=True,
        memory=memory,
        max_iterations=1,
        data_dir=tmp_path / "data",
    )
    result = agent.solve(
        {"text": "A square has a perimeter of 20 cm. Its area?", "reference": "25"}
    )
    memory.close()
    assert len(result.written[0]["operations"]) == 1
    assert len(inner.documents) == 2, "the problem, and the lesson"
    assert set(inner.documents.values()) == {1}
    assert inner.queries == Counter()


def test_a_run_of_three_attempts_embeds_its_problem_once(tmp_path: Path) -> None:
    """Recall asks for the same vectors in each attempt, as text and as the problem of an example."""
    inner = Counted()
    index = {"embed": EmbeddedOnce(inner), "dims": DIMS, "fields": ["index_text"]}
    store = ChromaStore(tmp_path / "memory", index=index)  # type: ignore[arg-type]
    memory = ReasoningMemory(store, journal=Journal(tmp_path / "journal.sqlite"))
    know_something(memory, inner)
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*["1. 5 * 5 = 25\nAnswer: 25"] * 3),
        rmm=ScriptedChatModel.of(*[{"structured": {"operations": []}}] * 3),
        feedback=FeedbackPolicy((Function(lambda problem, attempt: False),)),
        memory=memory, max_iterations=3, data_dir=tmp_path,
    )  # fmt: skip
    question = "A square has a side of 5 cm. What is its area?"
    assert len(agent.solve(question).attempts) == 3
    assert inner.queries[question] == 1 and set(inner.queries.values()) == {1}
    memory.close()
