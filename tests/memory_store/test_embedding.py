"""The local embedder, and a memory opened with it as the settings say."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.memory_store.tiny_bert import tiny_bert
from vitarmm_agent.errors import InputError, MissingExtraError, WeightsError
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.bert_gguf import BertFolder
from vitarmm_agent.memory_store.embedding import (
    LlamaEmbeddings,
    TorchEmbeddings,
    embedding_dims,
    load_embeddings,
    local_dims,
)
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.open import journal_path, open_memory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.settings import Settings

SENTENCES = (
    "A square has a perimeter of 20 cm. What is its area in square centimeters?",
    "Ein Quadrat hat einen Umfang von zwanzig Zentimetern. Wie groß ist seine Fläche?",
    "Un carré a un périmètre de 20 cm. Quelle est son aire ?",
    "Квадрат имеет периметр 20 см. Какова его площадь?",
    "正方形的周长是20厘米。它的面积是多少?",
    "正方形の周囲の長さは20cmです。面積を求めなさい。",
    "정사각형의 둘레는 20cm입니다. 넓이는 얼마입니까?",
    "مربع محيطه ٢٠ سم. ما مساحته؟",
    'ריבוע בעל היקף של 20 ס"מ. מה שטחו?',
    "एक वर्ग की परिधि 20 सेमी है। इसका क्षेत्रफल क्या है?",
    "สี่เหลี่ยมจัตุรัสมีเส้นรอบรูป 20 ซม. พื้นที่เท่าไร",
    "Hình vuông có chu vi 20 cm. Tính diện tích.",
    "Ένα τετράγωνο έχει περίμετρο 20 εκ. Ποιο είναι το εμβαδόν του;",
    "ქართული ენა · Հայերեն լեզու · தமிழ் மொழி · বাংলা ভাষা · ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ",
    "$\\frac{1}{2}x^2 + \\sqrt{3} \\le 5$",
    "def f(x): return x**2  # https://example.org/a?b=c&d=%20",
)
ODD = (
    "", " ", "\t\n\r", "\x00", "a\x00b", "\ud800 \x00", "lone \udfff surrogate", "\ufffe\uffff",
    "[SEP] hello [CLS] [MASK] [PAD] [UNK]", "word##ing ##ing", "\u2581hello", "\u00e9 vs e\u0301",
    "ﬁ Ⅷ ① ½", "İstanbul ıI ẞß", "👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈", "\u200b\u200c\ufeff\u00ad hidden",
    "x" * 99, "x" * 101, "x" * 5000, "a\u0301\u0302" * 30, "\ue000 \U000f0000",
)  # fmt: skip


def texts_of_all_kinds() -> list[str]:
    """Sentences, what breaks tokenizers, and mixtures up to and around the limit of 256 tokens."""
    choose = random.Random(0)
    words = " ".join(SENTENCES).split()
    english = SENTENCES[0].split()
    mixed = [" ".join(choose.choices(words, k=1 + n % 10)) for n in range(100)]
    around = [" ".join(choose.choices(english, k=n)) for n in range(224, 256, 4)]
    noise = [
        "".join(chr(choose.choice((choose.randrange(32, 0x3000), choose.randrange(0x110000))))
                for _ in range(n))
        for n in [*range(1, 16)] * 4
    ]  # fmt: skip
    beyond = [" ".join(choose.choices(words, k=n)) for n in (300, 2000)]
    return [*SENTENCES, *ODD, *mixed, *around, *noise, *beyond]


@contextmanager
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_llama(folder: Path, home: Path) -> LlamaEmbeddings:
    bert = BertFolder.of(folder, home)
    assert bert is not None
    return LlamaEmbeddings(bert)


@pytest.mark.thorough
@pytest.mark.weights
def test_the_vectors_are_those_of_sentence_transformers(weights: Callable[[str], Path]) -> None:
    pytest.importorskip("sentence_transformers")
    folder = weights("all-minilm-l6-v2")
    texts = texts_of_all_kinds()
    assert len(set(texts)) > 200
    ours = np.asarray(on_llama(folder, Settings.load().home).embed_documents(texts))
    with one_thread():  # torch's wait by spinning, and the machine may be busy
        theirs = np.asarray(TorchEmbeddings(folder).embed_documents(texts))
    cosines = (ours * theirs).sum(axis=1)
    worst = int(cosines.argmin())
    assert cosines[worst] >= 0.99999, (cosines[worst], texts[worst][:80])
    assert np.linalg.norm(ours, axis=1) == pytest.approx(1, abs=1e-5)


def test_other_random_weights_too(tmp_path: Path) -> None:
    """The conversion reads what the folder says, whatever the size."""
    pytest.importorskip("sentence_transformers")
    folder = tiny_bert(tmp_path / "model", dims=24, seed=3)
    texts = ["the sums of the angles", "a square divided by two", "[MASK] unknown", ""]
    ours = np.asarray(on_llama(folder, tmp_path).embed_documents(texts))
    theirs = np.asarray(TorchEmbeddings(folder).embed_documents(texts))
    assert (ours * theirs).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert all((one * other).sum() < 0.999 for one, other in pairwise(ours))


@pytest.mark.weights
def test_a_memory_made_with_sentence_transformers_is_opened_as_it_is(
    weights: Callable[[str], Path], tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    folder = weights("all-minilm-l6-v2")
    settings = Settings.load(memory=str(tmp_path / "memory"))
    store = ChromaStore(
        tmp_path / "memory",
        index={"embed": TorchEmbeddings(folder), "dims": 384, "fields": ["index_text"]},
        embedder="local:all-minilm-l6-v2",
    )
    before = ReasoningMemory(store, settings.namespace, journal=Journal(journal_path(settings)))
    lesson = MemoryEntry(
        entry_type="insight",
        applies_when="a problem gives the perimeter of a square and asks for its area",
        content="Divide the perimeter by 4 to get the side, then square the side.",
    )
    before.write([Operation(kind="add", entry=lesson)], run="r", attempt=1)
    question = "A square has a perimeter of 36 cm. What is its area?"
    found = before.recall(question).entries
    before.close()
    now = open_memory(settings)
    assert now is not None
    again = now.recall(question).entries
    now.close()
    assert [one.entry.id for one in again] == [one.entry.id for one in found] == [lesson.id]
    assert again[0].similarity == pytest.approx(found[0].similarity, abs=1e-3)


@pytest.mark.weights
def test_remembering_needs_no_torch(weights: Callable[[str], Path], tmp_path: Path) -> None:
    weights("all-minilm-l6-v2")
    code = (
        "import sys\n"
        "from vitarmm_agent import MemoryEntry, Settings\n"
        "from vitarmm_agent.memory_store.open import open_memory\n"
        "from vitarmm_agent.memory_store.operations import Operation\n"
        f"memory = open_memory(Settings.load(memory={str(tmp_path / 'memory')!r}))\n"
        "entry = MemoryEntry(entry_type='fact', applies_when='the area of a square', content='s*s')\n"
        "memory.write([Operation(kind='add', entry=entry)], run='r', attempt=1)\n"
        "found = memory.recall('What is the area of a square with side 3?').entries\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'onnxruntime', 'xllamacpp'}\n"
        "print(len(found), sorted(heavy & set(sys.modules)))\n"
        "memory.close()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("1 []\n", "")


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


def test_a_model_of_another_kind_needs_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_bert(tmp_path / "model", config={"model_type": "roberta"})
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    embed = load_embeddings(f"local:{folder}", Settings.load(home=tmp_path))
    assert embedding_dims(embed) == 16
    with pytest.raises(MissingExtraError, match=r"vitarmm-agent\[torch\]"):
        embed.embed_query("a square")


def test_embedders_that_cannot_be(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    for spec in ("minilm", "local:", "", "nobody:model"):
        with pytest.raises((InputError, MissingExtraError)):
            load_embeddings(spec, settings)
    with pytest.raises(WeightsError):
        load_embeddings("local:all-minilm-l6-v2", settings)
    with pytest.raises(WeightsError):
        local_dims(tmp_path)
