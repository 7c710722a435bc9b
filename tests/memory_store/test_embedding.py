"""The local embedder, and a memory opened with it as the settings say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vitarmm_agent.errors import InputError, MissingExtraError, WeightsError
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings, local_dims
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.settings import Settings


@pytest.mark.weights
def test_minilm(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")
    settings = Settings.load()
    embed = load_embeddings("local:all-minilm-l6-v2", settings)
    assert load_embeddings("local:all-minilm-l6-v2", settings) is embed
    assert embedding_dims(embed) == 384
    texts = ["a cat", "a kitten", "stock markets fell", "\ud800 \x00", ""]
    vectors = embed.embed_documents(texts)
    assert [len(vector) for vector in vectors] == [384] * 5
    assert all(sum(x * x for x in vector) == pytest.approx(1, abs=1e-3) for vector in vectors)
    near, far = (sum(a * b for a, b in zip(vectors[0], v, strict=True)) for v in vectors[1:3])
    assert near > far + 0.3
    assert embed.embed_query("a cat") == pytest.approx(vectors[0], abs=1e-4)
    assert embed.embed_documents([]) == []
    results: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: results.append(embed.embed_query("a cat")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == pytest.approx(vectors[0], abs=1e-4) for result in results)


@pytest.mark.weights
def test_a_memory_as_the_settings_say(weights: Callable[[str], Path], tmp_path: Path) -> None:
    weights("all-minilm-l6-v2")
    settings = Settings.load(memory=str(tmp_path / "memory"), namespace=("team", "a"))
    lesson = MemoryEntry(
        entry_type="insight",
        applies_when="a problem gives the perimeter of a square and asks for its area",
        content="Divide the perimeter by 4 to get the side, then square the side.",
    )
    memory = open_memory(settings)
    assert memory is not None and memory.floor == 0.45
    memory.write([Operation(kind="add", entry=lesson)], run="r", attempt=1)
    reworded = lesson.model_copy(update={"id": "m-2", "content": lesson.content[:-1]})
    again = memory.write([Operation(kind="add", entry=reworded)], run="r", attempt=2)[0]
    assert again.kind == "skipped"
    opposite = "Divide the perimeter by 3 to get the side, then square the side."
    changed = lesson.model_copy(update={"id": "m-3", "content": opposite})
    against = memory.write([Operation(kind="add", entry=changed)], run="r", attempt=3)[0]
    assert against.kind == "superseded"
    memory.undo("r")
    memory.write([Operation(kind="add", entry=lesson)], run="r4", attempt=1)
    memory.close()
    memory = open_memory(settings)
    assert memory is not None
    found = memory.recall("A square has a perimeter of 36 cm. What is its area?")
    assert [r.entry.id for r in found.entries] == [lesson.id]
    assert memory.recall("Which amendment ended slavery in the United States?").entries == ()
    memory.close()


def test_memory_off() -> None:
    assert open_memory(Settings.load(memory="off")) is None


def test_embedders_that_cannot_be(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    for spec in ("minilm", "local:", "", "nobody:model"):
        with pytest.raises((InputError, MissingExtraError)):
            load_embeddings(spec, settings)
    with pytest.raises(WeightsError):
        load_embeddings("local:all-minilm-l6-v2", settings)
    with pytest.raises(WeightsError):
        local_dims(tmp_path)
