"""What remembering costs a problem: ``python -m vitarmm_agent.evals.speed.embedding``.

Each problem goes once round the whole loop: recall, an answer, its check, a lesson, which is compared
with those that are like it and stored; the models are scripted and answer at once. Three memories are
taught in turn, each with all-MiniLM-L6-v2: embedded by sentence-transformers whenever a vector is
asked for, by llama.cpp whenever one is, and by llama.cpp once for each text, as ``load_embeddings``
does it. Then what the first vector of a process takes, imports included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable
from pydantic import Field

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.evals.speed.measure import Row, interleaved, medians, print_table
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.embedding import TorchEmbeddings, load_embeddings
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.store.embedded_once import EmbeddedOnce, innermost
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.models.streaming import StreamedChatModel
from vitarmm_agent.models.structured import json_schema_of, structured
from vitarmm_agent.settings import Settings
from vitarmm_agent.weights import resolve

NAME = "all-minilm-l6-v2"
WARM_UP = 2
SHAPES = "square triangle hexagon octagon pentagon heptagon nonagon decagon".split()
THINGS = "garden field plot carpet table window roof stamp tile poster".split()
FIRST = (
    "from pathlib import Path; from vitarmm_agent.memory_store.embedding import {kind};"
    "from vitarmm_agent.settings import Settings; {make}.embed_query('a square')"
)


class Counting(Embeddings):
    """Counts the texts that are embedded."""

    def __init__(self, inner: Embeddings) -> None:
        """Ask ``inner``."""
        self.inner = inner
        self.texts = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts."""
        self.texts += len(texts)
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return self.embed_documents([text])[0]


class Teacher(StreamedChatModel):
    """Writes another lesson each time, in the form that it is asked for."""

    numbers: Any = Field(default_factory=count)

    @property
    def _llm_type(self) -> str:
        return "teacher"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        links: dict[str, Any] = {"target": None, "related_to": []} if kwargs["linked"] else {}
        reply = json.dumps({"operations": [lesson(next(self.numbers)) | links]})
        yield ChatGenerationChunk(message=AIMessageChunk(content=reply, chunk_position="last"))

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Answer with links where the schema has them."""
        linked = "target" in json.dumps(json_schema_of(schema))
        return structured(self.bind(linked=linked), schema, include_raw=include_raw)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=25, help="problems for each memory")
    problems = parser.parse_args().problems
    settings = Settings.load()
    llama = innermost(load_embeddings(f"local:{NAME}", settings))
    torch = TorchEmbeddings(resolve(NAME, settings.home))
    counted = [Counting(torch), Counting(llama), Counting(llama)]
    asked: list[Embeddings] = [*counted[:2], EmbeddedOnce(counted[2], one_kind=True)]
    with tempfile.TemporaryDirectory() as folder:
        arms = [
            taught(Path(folder) / f"{number}", embed, problems)
            for number, embed in enumerate(asked)
        ]
        before, plain, once = medians(interleaved(*arms, repeat=problems, warm_up=WARM_UP))
    rows = [
        Row("a problem, llama.cpp", plain * 1e3, before * 1e3, "ms", "sentence-transformers"),
        Row("a problem, each text once", once * 1e3, plain * 1e3, "ms", "llama.cpp, each time"),
        Row("a problem, both", once * 1e3, before * 1e3, "ms", "sentence-transformers"),
    ]
    ours, theirs = first_vectors(settings)
    rows += [
        Row("texts embedded", counted[2].texts, counted[0].texts, "", "whenever asked for"),
        Row("first vector of a process", ours, theirs, "s", "sentence-transformers"),
    ]
    print_table("Embedding", rows)


def taught(folder: Path, embed: Embeddings, problems: int) -> Callable[[], object]:
    """Solves the next problem with a memory of its own."""
    index: Any = {"embed": embed, "dims": 384, "fields": ["index_text"]}
    memory = ReasoningMemory(
        ChromaStore(folder / "memory", index=index),
        journal=Journal(folder / "memory" / "journal.sqlite"),
        config=RecallConfig(floor=0.45),
    )
    reply = "1. 20 / 4 = 5\n2. 5 * 5 = 25\nAnswer: 25"
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*[reply] * (problems + WARM_UP)),
        rmm=Teacher(),
        feedback="arithmetic,reference",
        oracle=True,
        memory=memory,
        max_iterations=1,
        data_dir=folder,
    )
    following = count()

    def solve() -> object:
        text = f"The {what(number := next(following))} has sides of 20 cm in all. What is its area?"
        return agent.solve({"text": text, "id": f"p{number}", "reference": "25"})

    return solve


def lesson(number: int) -> dict[str, Any]:
    """What the writer says after a problem."""
    return {
        "kind": "add",
        "title": f"Sides of a {what(number)}",
        "applies_when": f"the area of a {what(number)} is asked, given the sum of its sides",
        "content": f"Divide the sum by the number of sides of the {what(number)} first.",
        "entry_type": "insight",
        "confidence": 0.8,
    }


def what(number: int) -> str:
    """A thing that no other of 80 numbers names."""
    return f"{SHAPES[number % len(SHAPES)]} {THINGS[number // len(SHAPES) % len(THINGS)]}"


def first_vectors(settings: Settings) -> Sequence[float]:
    """Seconds from the start of a process to its first vector, ours and sentence-transformers'."""
    makers = (
        ("load_embeddings", f"load_embeddings('local:{NAME}', Settings.load())"),
        ("TorchEmbeddings", f"TorchEmbeddings(Path({str(resolve(NAME, settings.home))!r}))"),
    )
    commands = [[sys.executable, "-c", FIRST.format(kind=k, make=make)] for k, make in makers]
    runs = [partial(subprocess.run, command, check=True) for command in commands]
    return medians(interleaved(*runs, repeat=3))


if __name__ == "__main__":
    main()
