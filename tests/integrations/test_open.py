"""Opening an agent in a few words, and closing it again."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tests.integrations.conftest import PROBLEM, RIGHT, WRONG, is_25
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.options import OpenOptions

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
