"""Verdicts through MCP: asked for by elicitation, in both protocols, and given after the fact."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs the extra `mcp`")

from mcp import Client
from mcp_types import ElicitResult

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, MakeAgent
from tests.integrations.test_mcp import answer_of, text_of
from vitarmm_agent.integrations import build_mcp_server
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.verifiers.human import Human


class Person:
    """Someone at a client that shows forms."""

    def __init__(self, *replies: dict[str, Any] | str) -> None:
        self.replies, self.asked = list(replies), list[str]()

    async def __call__(self, context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        assert set(params.requested_schema["properties"]) == {"verdict", "message", "step"}
        reply = self.replies.pop(0)
        if isinstance(reply, str):
            return ElicitResult(action=reply)  # type: ignore[arg-type]
        return ElicitResult(action="accept", content=reply)


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_person_is_asked_while_the_run_waits(make_agent: MakeAgent, mode: str) -> None:
    agent = make_agent(WRONG, RIGHT, writes=[NOTHING, NOTHING], feedback=[Human()])
    person = Person({"verdict": "fail", "message": "It has one side only.", "step": 1},
                    {"verdict": "pass"})  # fmt: skip
    async with Client(build_mcp_server(agent), mode=mode, elicitation_callback=person) as client:
        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
    assert (solved["answer"], solved["status"], solved["attempts"]) == ("25", "passed", 2)
    assert PROBLEM in person.asked[0] and WRONG in person.asked[0] and RIGHT in person.asked[1]
    result = agent.result(solved["thread"])
    assert result.feedback[0].message == "It has one side only."


async def test_who_declines_leaves_the_run_waiting(make_agent: MakeAgent, mode: str) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING], feedback=[Human()])
    person = Person("decline", "cancel", {"verdict": "pass"})
    async with Client(build_mcp_server(agent), mode=mode, elicitation_callback=person) as client:
        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        assert solved["status"] == "interrupted"
        again = answer_of(await client.call_tool("resume", {"thread": solved["thread"]}))
        assert again["status"] == "interrupted"
        resumed = answer_of(await client.call_tool("resume", {"thread": solved["thread"]}))
    assert (resumed["answer"], resumed["status"]) == ("25", "passed")


async def test_a_form_that_is_filled_in_wrongly_is_told(make_agent: MakeAgent, mode: str) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING], feedback=[Human()])
    person = Person({"verdict": "perhaps"})
    async with Client(build_mcp_server(agent), mode=mode, elicitation_callback=person) as client:
        told = await client.call_tool("solve", {"problem": PROBLEM})
    assert told.is_error and "verdict cannot be read" in text_of(told)


async def test_a_verdict_when_the_run_is_over(
    make_agent: MakeAgent, memory: ReasoningMemory, mode: str
) -> None:
    agent = make_agent(RIGHT, writes=[LESSON], feedback="arithmetic")
    async with Client(build_mcp_server(agent), mode=mode) as client:
        solved = answer_of(await client.call_tool("solve", {"problem": PROBLEM}))
        late = await client.call_tool("resume", {"thread": solved["thread"], "verdict": "pass"})
        assert late.is_error and "vitarmm judge" in text_of(late)
        given = {"thread": solved["thread"], "verdict": "fail", "comment": "Read again."}
        judged = answer_of(await client.call_tool("judge", given))
        assert (judged["status"], len(judged["written"])) == ("failed", 1)
        assert answer_of(await client.call_tool("judge", given)) == judged
        taught = await client.call_tool("teach", {"thread": solved["thread"], "solution": RIGHT})
        assert not taught.is_error, text_of(taught)
        for arguments, words in (
            ({"solution": RIGHT}, "one of the two"),
            ({"thread": "x", "solution": RIGHT}, "no run 'x'"),
            ({"thread": solved["thread"], "solution": "Multiply."}, "must end in its answer"),
        ):
            refused = await client.call_tool("teach", arguments)
            assert refused.is_error and words in text_of(refused)
        missing = await client.call_tool("judge", {"thread": "x", "verdict": "pass"})
        assert missing.is_error and "no run 'x'" in text_of(missing)
    lesson, example = sorted(memory.list(), key=lambda entry: entry.example is not None)
    assert example.example is not None and example.example.verified_by == "person MCP client"
    assert lesson.provenance.verifier == "human"


async def test_another_tenants_run_cannot_be_judged(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    template = memory.with_namespace(("team", "{user_id}"))
    agent = make_agent(RIGHT, memory=template, feedback="arithmetic")
    run = agent.solve(PROBLEM, configurable={"user_id": "ada"})
    async with Client(build_mcp_server(agent, configurable={"user_id": "eve"})) as client:
        for tool, more in (("judge", {"verdict": "pass"}), ("teach", {"solution": RIGHT})):
            refused = await client.call_tool(tool, {"thread": run.thread_id, **more})
            assert refused.is_error and "there is no run" in text_of(refused)
    assert agent.result(run.thread_id).judged == ()
