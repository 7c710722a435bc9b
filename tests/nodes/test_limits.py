"""A client's own limits: what they may be, and that they stay within the operator's on a server."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripts import QUESTION, WRONG
from vitarmm_agent.deps import Limits
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.models.scripted import ScriptedChatModel

CALL: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": 60}
ASKED = {"problem": {"text": QUESTION}}


def graph_of(*, limits_are_most: bool) -> Any:
    return build_reasoning_graph(
        reasoner=ScriptedChatModel.of(*[WRONG] * 9), verifiers="arithmetic", memory="off",
        checkpointer=InMemorySaver(), limits=Limits(max_iterations=2, max_tokens=10_000),
        limits_are_most=limits_are_most,
    )  # fmt: skip


def test_a_client_lowers_the_operators_limits_and_raises_none() -> None:
    graph = graph_of(limits_are_most=True)
    assert len(graph.invoke(ASKED, CALL, context={"max_iterations": 9})["attempts"]) == 2
    kept = graph.get_state(CALL).values["limits"]
    assert (kept["max_iterations"], kept["max_tokens"]) == (2, 10_000)
    assert len(graph.invoke(ASKED, CALL, context={"max_iterations": 1})["attempts"]) == 1


def test_nor_by_writing_its_state() -> None:
    graph = graph_of(limits_are_most=True)
    graph.invoke(ASKED, CALL, interrupt_before=["feedback"])
    graph.update_state(CALL, {"limits": {"max_iterations": 9}})
    assert len(graph.invoke(None, CALL)["attempts"]) == 2


def test_a_program_sets_what_it_likes() -> None:
    graph = graph_of(limits_are_most=False)
    assert len(graph.invoke(ASKED, CALL, context={"max_iterations": 4})["attempts"]) == 4


@pytest.mark.parametrize(
    "context",
    [{"max_iterations": 0}, {"max_iterations": "x"}, {"max_seconds": float("nan")},
     {"max_tokens": -1}, {"use_memory": [1]}],
)  # fmt: skip
def test_what_are_no_limits_is_said_at_once(context: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"limits of this run cannot be used.*{[*context][0]}: "):
        graph_of(limits_are_most=False).invoke(ASKED, CALL, context=context)
