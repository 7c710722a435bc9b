from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scripts import (
    LESSON,
    QUESTION,
    RELATED_QUESTION,
    RIGHT,
    WRONG,
    nothing,
    operations,
    script,
)
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import MemoryEntry
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.traces import Edit, fork_run, list_runs, read_trace


@pytest.fixture
def agent(tmp_path: Path) -> ReasoningAgent:
    """One failed and one passed attempt, with a lesson recalled by the second."""
    return ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", WRONG, RIGHT, *[RIGHT] * 4),
        rmm=script(tmp_path / "w.json", operations(LESSON), *[nothing()] * 8),
        feedback="arithmetic",
        checkpointer=None,
    )


def checkpoint(agent: ReasoningAgent, thread: str, node: str, nth: int = 0) -> str:
    trace = read_trace(agent.graph.checkpointer, thread)  # type: ignore[arg-type]
    return [m.checkpoint_id for m in trace.moments if m.node == node][nth]


def last_prompt(agent: ReasoningAgent, thread: str) -> str:
    return str(agent.result(thread).attempts[-1].prompt)


def test_a_fork_with_other_feedback_makes_another_attempt_for_that_reason(
    agent: ReasoningAgent,
) -> None:
    before = agent.solve(QUESTION, thread_id="original")
    at = checkpoint(agent, "original", "feedback", -1)
    edit = Edit(verdict="fail", message="Give the unit as well.", step=2)
    config = fork_run(agent.graph, "original", at, "forked", edit)
    agent.graph.invoke(None, config)
    forked = agent.result("forked")
    assert len(forked.attempts) == 3 and "Give the unit as well." in last_prompt(agent, "forked")
    assert forked.feedback[1].source == "human" and forked.feedback[1].errors[0].step == 2
    assert agent.result("original") == before
    trace = read_trace(agent.graph.checkpointer, "forked")  # type: ignore[arg-type]
    assert trace.forked_from == {"thread": "original", "checkpoint": at, "edit": "feedback"}
    assert [m.node for m in trace.moments[:3]] == ["fork", "remember", "recall"]
    runs = list_runs(agent.graph.checkpointer)  # type: ignore[arg-type]
    assert [run.thread_id for run in runs] == ["forked", "original"]
    assert runs[0].forked_from == "original"


def test_a_fork_can_edit_or_take_out_the_memory_that_the_model_sees(agent: ReasoningAgent) -> None:
    assert agent.memory is not None
    lesson = Operation(kind="add", entry=MemoryEntry(**LESSON))
    agent.memory.write([lesson], run="first", attempt=1)
    second = agent.solve(RELATED_QUESTION, thread_id="second")
    (entry,) = second.recalled[0]["entries"]
    assert LESSON["content"] in last_prompt(agent, "second")
    at = checkpoint(agent, "second", "recall")
    edits: dict[str, dict[str, str | None]] = {
        "edited": {entry["entry"]["id"]: "Halve the perimeter."},
        "without": {entry["entry"]["id"]: None},
    }
    for thread, memory in edits.items():
        agent.graph.invoke(None, fork_run(agent.graph, "second", at, thread, Edit(memory=memory)))
    assert "Halve the perimeter." in last_prompt(agent, "edited")
    assert LESSON["content"] not in last_prompt(agent, "edited")
    assert "no notes" in last_prompt(agent, "without")


def test_a_fork_may_begin_anywhere_but_at_the_end(agent: ReasoningAgent) -> None:
    agent.solve(QUESTION, thread_id="original")
    for node, thread in (("input", "a"), ("start", "b"), ("reason", "c")):
        at = checkpoint(agent, "original", node)
        agent.graph.invoke(None, fork_run(agent.graph, "original", at, thread))
        assert agent.result(thread).status == agent.result("original").status
    at = checkpoint(agent, "original", "remember", -1)
    with pytest.raises(InputError, match="nothing comes after"):
        fork_run(agent.graph, "original", at, "d")


@pytest.mark.parametrize(
    ("node", "edit", "words"),
    [
        ("reason", Edit(verdict="fail"), "feedback can be edited only"),
        ("feedback", Edit(memory={"m-1": "x"}), "memory can be edited only"),
        ("recall", Edit(memory={"m-unknown": "x"}), "were not recalled here: m-unknown"),
    ],
)
def test_an_edit_must_fit_its_checkpoint(
    agent: ReasoningAgent, node: str, edit: Edit, words: str
) -> None:
    agent.solve(QUESTION, thread_id="original")
    at = checkpoint(agent, "original", node)
    with pytest.raises(InputError, match=words):
        fork_run(agent.graph, "original", at, "fork", edit)


def test_a_fork_needs_a_known_checkpoint_and_a_new_thread(agent: ReasoningAgent) -> None:
    agent.solve(QUESTION, thread_id="original")
    at: Any = checkpoint(agent, "original", "recall")
    with pytest.raises(InputError, match="no checkpoint"):
        fork_run(agent.graph, "original", "1f000000-0000-6000-8000-000000000000", "fork")
    with pytest.raises(InputError, match="has a run already"):
        fork_run(agent.graph, "original", at, "original")
    with pytest.raises(InputError, match="no run 'nowhere'"):
        fork_run(agent.graph, "nowhere", at, "fork")
