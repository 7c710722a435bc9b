"""Parts of the integration tests: a memory on real Chroma, agents with scripted models."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

from vitarmm_agent import ReasoningAgent
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.verifiers.function import Function

DIMS = 128
PROBLEM = "A square has a side of 5 cm. What is its area in square centimetres?"
RIGHT = "1. The area is 5 * 5 = 25.\nAnswer: 25"
WRONG = "1. The area is 4 * 5 = 20.\nAnswer: 20"
LESSON = {
    "structured": {
        "operations": [
            {
                "kind": "add",
                "title": "Area of a square",
                "applies_when": "the area of a square is asked from its side",
                "content": "Multiply the side by itself, not by four.",
                "entry_type": "correction",
                "confidence": 0.9,
            }
        ]
    }
}
NOTHING = {"structured": {"operations": [{"kind": "none"}]}}


class WordEmbeddings(Embeddings):
    """Texts that share words are near: each word is hashed into a few dimensions."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        vector = [1e-6] * DIMS
        for word in re.findall(r"\w+", text.lower()):
            vector[int(hashlib.md5(word.encode()).hexdigest(), 16) % DIMS] += 1.0
        length = math.sqrt(sum(value * value for value in vector))
        return [value / length for value in vector]


def is_25(problem: Problem, attempt: Attempt) -> bool:
    return attempt.answer == "25"


def store_at(folder: Path | None) -> ChromaStore:
    index: Any = {"embed": WordEmbeddings(), "dims": DIMS, "fields": ["index_text"]}
    return ChromaStore(path=folder, index=index)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChromaStore]:
    with store_at(tmp_path / "memory") as opened:
        yield opened


@pytest.fixture
def memory(store: ChromaStore) -> ReasoningMemory:
    return ReasoningMemory(store, namespace=("team", "agent"))


MakeAgent = Callable[..., ReasoningAgent]


@pytest.fixture
def make_agent(memory: ReasoningMemory) -> MakeAgent:
    """An agent whose reasoner and writer follow scripts; its verifier knows that 25 is right."""

    def make(*replies: Any, writes: Any = (), **options: Any) -> ReasoningAgent:
        given = {
            "feedback": [Function(is_25, name="is_25")],
            "memory": memory,
            "reasoner": ScriptedChatModel.of(*replies),
            "rmm": ScriptedChatModel.of(*writes),
        }
        return ReasoningAgent.open(**(given | options))

    return make
