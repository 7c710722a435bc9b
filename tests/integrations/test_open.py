"""Opening an agent in a few words, and closing it again."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tests.integrations.conftest import NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent, is_25
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.options import OpenOptions
from vitarmm_agent.problem import Problem
from vitarmm_agent.verifiers import FeedbackPolicy

JUDGED = {"structured": {
    "steps": [{"step": 1, "check": "5 * 5 is 25", "verdict": "right"}], "verdict": "right",
}}  # fmt: skip


def test_names_functions_and_a_judge_together(memory: ReasoningMemory) -> None:
    judge = ScriptedChatModel.of(JUDGED, JUDGED)
    with ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(WRONG, RIGHT),
        verifiers=["arithmetic", "judge", is_25],
        judge=judge,
        memory="off",
    ) as agent:
        result = agent.solve(PROBLEM)
    assert [part.source for part in result.feedback[0].parts] == ["arithmetic", "judge", "is_25"]
    assert result.answer == "25" and result.status == "passed" and len(judge.calls) == 2


def test_a_judge_by_spec(tmp_path: Path) -> None:
    script = tmp_path / "judge.json"
    script.write_text(json.dumps([JUDGED]))
    reasoner = ScriptedChatModel.of(RIGHT)
    named: dict[str, Any] = {"judge": f"scripted:{script}", "verifiers": "judge"}
    with ReasoningAgent.open(reasoner=reasoner, memory="off", **named) as agent:
        (part,) = agent.solve(PROBLEM).feedback[0].parts
    assert (part.source, part.verdict) == ("judge", "pass")


@pytest.mark.parametrize(
    ("option", "near"),
    [("reasonr", "reasoner"), ("verifers", "verifiers"), ("max_iteration", "max_iterations"),
     ("checkpoint", "checkpointer"), ("colour", "")],
)  # fmt: skip
def test_a_misspelt_option_is_told_with_its_neighbour(option: str, near: str) -> None:
    given: dict[str, Any] = {option: 2}
    with pytest.raises(InputError, match=f"option '{option}' is unknown") as raised:
        ReasoningAgent.open(**given)
    assert (f"did you mean {near!r}?" in str(raised.value)) == bool(near)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("reasoner", 7, "reasoner must be a chat model or its spec, got 7"),
        ("reasoner", ScriptedChatModel, "reasoner .* is a class; give an instance"),
        ("judge", 7, "judge must be a chat model"),
        ("rmm", lambda text: text, "rmm must be a chat model"),
        ("teacher", 7, "teacher must be a chat model, its spec, or a function"),
        ("memory", 7, "memory must be a folder, a URL, 'off' or a ReasoningMemory, got 7"),
        ("store", "folder", "store must be a LangGraph BaseStore, got 'folder'"),
        ("settings", {"seed": 1}, "settings must be a Settings, got .*; give options by name"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_before_the_first_run(
    memory: ReasoningMemory, option: str, value: Any, message: str
) -> None:
    given = {"reasoner": ScriptedChatModel.of(), "memory": None if option == "store" else memory}
    with pytest.raises(InputError, match=message):
        ReasoningAgent.open(**(given | {option: value}))


def test_a_policy_with_a_role_or_a_verdict_that_is_none() -> None:
    odd: Any = "decide"
    with pytest.raises(InputError, match="the role of 'is_25' must be one of full, .*got 'decide'"):
        FeedbackPolicy((), roles={"is_25": odd})
    with pytest.raises(
        InputError, match="abstain must be one of pass, fail, abstain; got 'decide'"
    ):
        FeedbackPolicy((), abstain=odd)


async def test_odd_calls_are_refused(make_agent: MakeAgent) -> None:
    agent = make_agent()
    odd: Any = "ada"
    for call, message in (
        (lambda: agent.solve(PROBLEM, configurable=odd), "configurable must be a mapping"),
        (lambda: agent.batch(odd), "problems must be a list"),
        (lambda: agent.batch([PROBLEM], max_concurrency=0), "max_concurrency must be 1 or more"),
        (lambda: list(agent.stream(PROBLEM, stream_mode="mesages")), "did you mean 'messages'"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    with pytest.raises(InputError, match="max_concurrency must be 1 or more"):
        await asyncio.wait_for(agent.abatch([PROBLEM], max_concurrency=0), 1)
    with pytest.raises(InputError, match="context must be a mapping or a RunContext, got 'ada'"):
        await agent.graph.ainvoke(
            {"problem": {"text": PROBLEM}}, {"configurable": {"thread_id": "t"}}, context=odd
        )


def test_a_teacher_that_gives_no_text_is_told_so(make_agent: MakeAgent) -> None:
    def odd(problem: Problem) -> str:
        return 42  # type: ignore[return-value]

    agent = make_agent(WRONG, writes=[NOTHING], teacher=functools.partial(odd), max_iterations=1)
    with pytest.raises(InputError, match="the teacher 'partial' returned 42; return the text"):
        agent.solve(PROBLEM)


def test_verifiers_and_feedback_are_not_both_given() -> None:
    with pytest.raises(InputError, match="are one thing"):
        ReasoningAgent.open(verifiers="arithmetic", feedback="choice")


def test_the_options_are_all_settings_with_their_types() -> None:
    own = set(inspect.signature(ReasoningAgent.open).parameters)
    hints, fields = get_type_hints(OpenOptions), get_type_hints(Settings)
    assert set(hints) == set(Settings.model_fields) - own
    for name, hint in hints.items():
        expected = str | Path if fields[name] is Path else fields[name]
        assert hint == expected | None, name


def test_an_agent_closes_what_it_opened_and_nothing_else(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    kept = open_checkpoints(tmp_path / "kept.sqlite")
    reasoner = ScriptedChatModel.of(RIGHT, RIGHT)
    given = ReasoningAgent.open(
        reasoner=reasoner, memory=memory, checkpointer=kept, verifiers=[is_25], rmm=reasoner
    )
    given.close()
    given.close()
    assert memory.list() == [] and list(kept.list(None)) == []
    kept.close()
    with ReasoningAgent.open(reasoner=reasoner, memory="off") as agent:
        agent.solve(PROBLEM, thread_id="one")
    for closed in (lambda: agent.solve(PROBLEM), lambda: agent.result("one")):
        with pytest.raises(InputError, match="this agent is closed"):
            closed()


async def test_an_agent_is_closed_on_an_event_loop() -> None:
    async with ReasoningAgent.open(reasoner=ScriptedChatModel.of(RIGHT), memory="off") as agent:
        assert (await agent.asolve(PROBLEM)).answer == "25"
    with pytest.raises(InputError, match="closed"):
        await agent.asolve(PROBLEM)


async def test_a_memory_is_added_to_and_searched_by_hand(memory: ReasoningMemory) -> None:
    done = memory.add("Multiply the side by itself.", applies_when="the area of a square is asked")
    again = await memory.aadd(
        "Add the speeds of the two trains.", title="Trains", entry_type="fact", writer="Ada"
    )
    assert (done.kind, again.kind) == ("added", "added")
    (found,) = memory.search("What is the area of a square?")
    assert found.id == done.entry_id and found.provenance.writer == "person"
    assert await memory.asearch("the speeds of two trains", k=1) == [memory.get(again.entry_id)]
    with pytest.raises(InputError, match="the entry cannot be used: confidence"):
        memory.add("Too sure.", confidence=2)
