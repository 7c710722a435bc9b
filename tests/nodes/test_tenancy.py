"""Whose memory a template means, and what says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.conftest import LESSON, PROBLEM, RIGHT, is_25, store_at
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.nodes.tenancy import fill_namespace
from vitarmm_agent.verifiers.function import Function

TEMPLATE = ("team", "{user_id}")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[ReasoningMemory]:
    with store_at(tmp_path / "memory") as store:
        yield ReasoningMemory(store)


def test_a_namespace_beside_a_memory_is_used(memory: ReasoningMemory) -> None:
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(RIGHT, RIGHT),
        rmm=ScriptedChatModel.of(LESSON, LESSON),
        feedback=[Function(is_25, name="is_25")],
        memory=memory,
        namespace=TEMPLATE,
    )
    for user in ("ada", "bob"):
        agent.solve(PROBLEM, configurable={"user_id": user})
        assert len(memory.with_namespace(("team", user)).list()) == 1
    assert memory.list() == []


def test_settings_that_name_another_tenancy_than_the_memory(memory: ReasoningMemory) -> None:
    """A template says that users are kept apart; a memory of one place would not."""
    settings = Settings.load(namespace=TEMPLATE)
    with pytest.raises(InputError, match=r"with_namespace\(\('team', '{user_id}'\)\)"):
        build_reasoning_graph(
            reasoner=ScriptedChatModel.of(), memory=memory, settings=settings, verifiers=[]
        )
    same = memory.with_namespace(TEMPLATE)
    build_reasoning_graph(
        reasoner=ScriptedChatModel.of(), memory=same, settings=settings, verifiers=[]
    )


@pytest.mark.parametrize(
    "template", ["{org}-{user}", "{org}é{user}", "x{org}2{user}", "{org}%{user}"]
)
def test_two_variables_of_a_label_are_kept_apart(template: str) -> None:
    """No two pairs of values fill one label alike."""
    values = (
        "a",
        "b",
        "a-b",
        "b-c",
        "c",
        "-",
        "--",
        "a2",
        "2",
        "22",
        "%",
        "%2D",
        "%25",
        "a%",
        "ab",
        "é",
    )
    filled = {
        fill_namespace(("t", template), {"org": org, "user": user})
        for org in values
        for user in values
    }
    assert len(filled) == len(values) ** 2


def test_values_without_a_separator_fill_a_label_as_they_are() -> None:
    values = {"org": "acme", "user": "ada.l@example.org"}
    assert fill_namespace(("{org}-{user}",), values) == ("acme-ada.l@example.org",)
    assert fill_namespace(("u-{user}",), {"user": "a-b%"}) == ("u-a-b%",)


def test_variables_side_by_side_are_refused() -> None:
    with pytest.raises(InputError, match="two labels"):
        fill_namespace(("{org}{user}",), {"org": "a", "user": "b"})


def test_text_is_no_template() -> None:
    with pytest.raises(InputError, match="labels such as"):
        fill_namespace("team", {})
