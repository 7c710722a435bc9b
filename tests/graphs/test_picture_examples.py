"""Worked examples of problems with images: shown with them where they are there and fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.store.memory import InMemoryStore
from PIL import Image

from tests.memory_store.conftest import index_config
from tests.scripts import nothing
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.schema import MAX_EXAMPLE_IMAGES
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Problem

QUESTION = "How many rings are there in the figure, counting the broken ones twice?"
SOLUTION = "1. There are 3 whole rings and 1 broken one.\n2. 3 + 2 * 1 = 5.\nAnswer: 5"


@pytest.fixture
def memory(tmp_path: Path) -> ReasoningMemory:
    store, journal = InMemoryStore(index=index_config()), Journal(tmp_path / "journal.sqlite")
    return ReasoningMemory(store, ("team", "agent"), journal=journal)


@pytest.fixture
def model() -> ScriptedChatModel:
    return ScriptedChatModel.of(*[SOLUTION] * 9)


@pytest.fixture
def agent(memory: ReasoningMemory, model: ScriptedChatModel) -> ReasoningAgent:
    return ReasoningAgent.open(
        reasoner=model,
        rmm=ScriptedChatModel.of(*[nothing()] * 9),
        memory=memory,
        feedback="arithmetic",
        max_iterations=1,
    )


def figure(colour: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def asks(*colours: str, text: str = QUESTION) -> Problem:
    return Problem.parse({"text": text, "images": [figure(colour) for colour in colours]})


def pictures(messages: Sequence[BaseMessage]) -> list[list[Any]]:
    """The images of each turn of a person, as the model was given them."""
    blocks = [
        m.content if isinstance(m.content, list) else [] for m in messages if m.type == "human"
    ]
    return [[b["base64"] for b in turn if b["type"] == "image"] for turn in blocks]


def drawn(*colours: str) -> list[str]:
    return [figure(colour).partition(",")[2] for colour in colours]


def teach(agent: ReasoningAgent, problem: Problem, thread: str = "first") -> None:
    agent.solve(problem, thread_id=thread)
    agent.teach(thread, SOLUTION)


def test_an_example_is_shown_with_its_images(
    agent: ReasoningAgent, model: ScriptedChatModel
) -> None:
    teach(agent, asks("red"))
    result = agent.solve(asks("blue"))
    assert len(result.attempts[0].recalled) == 1
    assert pictures(model.calls[-1].messages) == [drawn("red"), drawn("blue")]


def test_one_whose_image_is_missing_or_damaged_is_shown_as_text(
    agent: ReasoningAgent, model: ScriptedChatModel
) -> None:
    teach(agent, asks("red"))
    media = MediaStore(agent.settings.media_dir)
    (sha256,) = agent.memory.list()[0].example.images  # type: ignore[union-attr]
    path = media.find(sha256)
    assert path is not None
    path.write_bytes(path.read_bytes()[:-5])
    agent.solve(asks("blue"))
    assert pictures(model.calls[-1].messages) == [[], drawn("blue")]
    path.unlink()
    result = agent.solve(asks("green"))
    assert pictures(model.calls[-1].messages) == [[], drawn("green")]
    assert len(result.attempts[0].recalled) == 1 and result.status == "abstained"


def test_a_problem_without_images_is_shown_none(
    agent: ReasoningAgent, model: ScriptedChatModel
) -> None:
    """Its model may read text only."""
    teach(agent, asks("red"))
    result = agent.solve(QUESTION)
    assert result.attempts[0].recalled and pictures(model.calls[-1].messages) == [[], []]


def test_two_figures_that_are_asked_the_same_keep_their_own_solutions(
    agent: ReasoningAgent, model: ScriptedChatModel
) -> None:
    teach(agent, asks("red"))
    agent.solve(asks("blue"), thread_id="second")
    other = "1. There are 4 whole rings and 1 broken one.\n2. 4 + 2 * 1 = 6.\nAnswer: 6"
    taught = agent.teach("second", other)
    assert [done["kind"] for done in taught.operations] == ["added"]
    agent.solve(asks("green"))
    assert len(pictures(model.calls[-1].messages)) == 3


def test_only_as_many_images_are_shown_as_fit(
    agent: ReasoningAgent, model: ScriptedChatModel
) -> None:
    teach(agent, asks(*["red", "blue", "green"]))
    teach(agent, asks(*["pink", "black"]), "second")
    agent.solve(asks("white"))
    shown = [len(turn) for turn in pictures(model.calls[-1].messages)]
    assert sum(shown[:-1]) in (2, 3) and 0 in shown, "one whole example, the other as text"


def test_a_problem_with_many_images_is_kept_as_text(agent: ReasoningAgent) -> None:
    teach(agent, asks(*["red"] * (MAX_EXAMPLE_IMAGES + 1)))
    (entry,) = agent.memory.list()
    assert entry.example is not None and entry.example.images == ()
