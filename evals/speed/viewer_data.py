"""What the page is measured over: many runs, a large memory, two large evaluations.

A few runs go through the graph; their checkpoints are then copied under other names and times in the
SQLite file, which the server cannot tell from runs of their own. The memory's entries are imported, with
the default embedder's vectors; many share a text, which is embedded once.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.evals.report import write_report
from vitarmm_agent.evals.speed.reporting import made_up
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.open import open_journal
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.settings import Settings

STEPS, IMAGES = 30, 3
USES = 400
REPLY = "\n".join(f"{n}. Then {n} * 2 = {n * 2}." for n in range(1, STEPS + 1)) + "\nAnswer: 60"
COPY = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,
    metadata) SELECT ?1 || thread_id, checkpoint_ns,
    printf('%08x', ?2) || substr(checkpoint_id, 9),
    CASE WHEN parent_checkpoint_id IS NULL THEN NULL
    ELSE printf('%08x', ?2) || substr(parent_checkpoint_id, 9) END, type, checkpoint, metadata
FROM checkpoints WHERE thread_id = 'model-0'
"""
TEXTS = 300
"""How many different texts the entries have that are embedded."""


class _EmbeddedOnce(Embeddings):
    """An embedder that embeds no text twice."""

    def __init__(self, inner: Embeddings) -> None:
        self._inner = inner
        self._known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._inner.embed_documents(new) if new else [], strict=True))
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._inner.embed_query(text)


def fill_runs(settings: Settings, runs: int) -> int:
    """Runs, one of them long and with images; how many there are."""
    from PIL import Image

    agent = ReasoningAgent.open(
        reasoner=FakeListChatModel(responses=[REPLY]),
        feedback="arithmetic",
        memory="off",
        settings=settings,
    )
    images = []
    for number in range(IMAGES):
        path = settings.data_dir / f"{number}.png"
        Image.effect_noise((640, 480), 60 + number).save(path)
        images.append(str(path))
    agent.solve({"text": "How many, then?", "images": images}, thread_id="long")
    agent.solve("What comes then?", thread_id="model-0")
    kept = open_checkpoints(settings.checkpoints_path)
    newest = int(
        kept.conn.execute("SELECT max(checkpoint_id) FROM checkpoints").fetchone()[0][:8], 16
    )
    with kept.conn:
        for number in range(1, runs - 1):
            kept.conn.execute(COPY, (f"copy-{number}-", newest - number))
    count = "SELECT count(DISTINCT thread_id) FROM checkpoints"
    return int(kept.conn.execute(count).fetchone()[0])


def write_run(settings: Settings, number: int) -> None:
    """One more run, as another process writes it while the page is looked at."""
    kept = open_checkpoints(settings.checkpoints_path)
    newest = "SELECT max(checkpoint_id) FROM checkpoints"
    at = int(kept.conn.execute(newest).fetchone()[0][:8], 16) + 1
    with kept.conn:
        kept.conn.execute(COPY, (f"late-{number}-", at))
    kept.close()


def fill_memory(settings: Settings, entries: int) -> int:
    """A memory of so many entries, a few of which wait for review; how many there are."""
    embed = _EmbeddedOnce(load_embeddings(settings.embedder, settings))
    store = ChromaStore(
        settings.memory_location,
        index={"embed": embed, "dims": embedding_dims(embed), "fields": ["index_text"]},
        embedder=settings.embedder,
    )
    memory = ReasoningMemory(store, settings.namespace, journal=open_journal(settings))
    lines = io.StringIO("".join(_lines(entries)))
    memory.import_(lines, trust=True)
    use(memory, "m-00000000")
    count = sum(memory.namespaces().values())
    memory.close()
    return count


def use(memory: ReasoningMemory, entry_id: str) -> None:
    """An entry that was shown to many attempts."""
    for number in range(USES):
        memory.credit(
            [entry_id], "fail" if number % 3 == 0 else "pass", run=f"copy-{number + 1}-model-0",
            attempt=1,
        )  # fmt: skip


def _lines(entries: int) -> list[str]:
    kinds = ("insight", "correction", "fact")
    return [
        MemoryEntry.model_validate({
            "id": f"m-{n:08d}",
            "entry_type": kinds[n % 3],
            "title": "Add before you divide",
            "applies_when": f"{n % TEXTS} things are shared and some of them are bought later",
            "content": f"{n} is the number of things. Add what was bought to what was there, then "
            "divide the sum by the number of people who share it; do not divide first.",
            "quarantined": n % 1000 == 7,
            "superseded_by": f"m-{n - 1:08d}" if n % 100 == 9 else None,
        }).model_dump_json() + "\n"
        for n in range(entries)
    ]  # fmt: skip


def fill_evaluations(folder: Path, samples: int) -> int:
    """Two evaluations of the same problems, with their reports; samples of each."""
    for name in ("first", "second"):
        place = folder / name
        place.mkdir(parents=True)
        made = made_up(place, samples)
        if name == "second":  # some answers are other ones
            rows = made.samples_path.read_text().splitlines()
            made.samples_path.write_text("".join(map(_other, rows)))
        write_report(place)
    return len((folder / "first" / "samples.jsonl").read_text().splitlines())


def _other(row: str) -> str:
    data = json.loads(row)
    if data["position"] % 5 == 0:
        data["correct"] = not data["correct"]
    return json.dumps(data) + "\n"
