"""An agent of LangChain's that learns: what it is shown, what is verified, written and tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from tests.integrations.conftest import LESSON, NOTHING, PROBLEM, RIGHT, WRONG, is_25
from tests.integrations.test_tool import calling
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.integrations import ReasoningMemoryMiddleware
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.result import Result

THREAD: Any = {"configurable": {"thread_id": "one"}}
ASKED: Any = {"messages": [("user", PROBLEM)]}


@tool
def times(a: int, b: int) -> str:
    """Multiply."""
    return f"{a} * {b} = {a * b}"


class Agent:
    """An agent with the middleware, sync or async, and what its model was sent."""

    def __init__(self, memory: Any, *replies: Any, writes: Any = (), **given: Any) -> None:
        options = {"verifiers": [is_25], "rmm": ScriptedChatModel.of(*writes)}
        middleware = given.pop("middleware", [])
        wanted = {name: given.pop(name) for name in ("checkpointer", "response_format", "store")
                  if name in given}  # fmt: skip
        self.model = ScriptedChatModel.of(*replies)
        self.own = ReasoningMemoryMiddleware(
            memory=memory, **({"model": self.model} | options | given)
        )
        wanted = {"checkpointer": InMemorySaver()} | wanted
        self.graph: Any = create_agent(
            self.model, tools=[times], middleware=[*middleware, self.own], **wanted
        )

    async def ask(self, asked: Any = None, config: Any = None, *, on_loop: bool = True) -> Any:
        asked, config = asked or ASKED, config or THREAD
        if on_loop:
            return await self.graph.ainvoke(asked, config)
        return await asyncio.to_thread(self.graph.invoke, asked, config)

    def sent(self, call: int = -1) -> tuple[BaseMessage, ...]:
        return self.model.calls[call].messages

    def result(self, config: Any = None) -> Result:
        found = self.own.result(self.graph.get_state(config or THREAD).values)
        assert found is not None
        return found


def texts(messages: Any) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in messages]


@pytest.mark.parametrize("on_loop", [True, False])
async def test_a_fail_goes_back_and_its_lesson_is_shown_in_the_next_thread(
    memory: ReasoningMemory, on_loop: bool
) -> None:
    agent = Agent(
        memory, calling("times", a=4, b=5), WRONG, RIGHT, RIGHT, writes=[LESSON, NOTHING, NOTHING]
    )
    state = await agent.ask(on_loop=on_loop)
    assert [m.type for m in state["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["messages"][-1].text == RIGHT and "reasoning" not in state
    again = texts(agent.sent())
    assert again[-1][0] == "human" and "does not hold" in again[-1][1]
    assert ("ai", WRONG) not in again and again[-2] == ("tool", "4 * 5 = 20")
    result = agent.result()
    assert (result.status, result.answer, len(result.attempts)) == ("passed", "25", 2)
    first = result.attempts[0]
    assert first.steps[0].text == 'called times({"a": 4, "b": 5}): 4 * 5 = 20'
    assert [step.number for step in first.steps] == list(range(1, len(first.steps) + 1))
    (entry,) = memory.list()
    assert entry.provenance.run.startswith("one~") and entry.provenance.verifier == "is_25"
    await agent.ask(config={"configurable": {"thread_id": "two"}}, on_loop=on_loop)
    shown = agent.sent()[-1].text
    assert shown.startswith(PROBLEM) and "not by four" in shown
    assert memory.list()[0].helpful >= 1


async def test_the_writer_is_told_of_the_tools(memory: ReasoningMemory) -> None:
    writer = ScriptedChatModel.of(NOTHING)
    agent = Agent(memory, calling("times", a=5, b=5), RIGHT, rmm=writer)
    await agent.ask()
    assert 'called times({"a": 5, "b": 5}): 5 * 5 = 25' in writer.calls[0].messages[-1].text


async def test_a_worked_example_is_an_earlier_turn(memory: ReasoningMemory) -> None:
    def teacher(problem: Problem) -> str:
        return "1. The area is 5 * 5 = 25.\nAnswer: 25"

    agent = Agent(
        memory, WRONG, RIGHT, writes=[NOTHING, NOTHING], teacher=teacher, max_iterations=1
    )
    await agent.ask()
    assert agent.result().taught is not None
    asked = PROBLEM.replace("5 cm", "7 cm")
    await agent.ask({"messages": [("user", asked)]}, {"configurable": {"thread_id": "two"}})
    assert texts(agent.sent())[:2] == [("human", PROBLEM), ("ai", RIGHT.replace("4 * 5 = 20", ""))]
    assert texts(agent.sent())[2][1].startswith(asked)


async def test_a_wrong_value_is_put_right_and_gone_on_from(memory: ReasoningMemory) -> None:
    slip = "1. The area is 5 * 5 = 26.\nAnswer: 26"
    agent = Agent(memory, slip, RIGHT, verifiers=["arithmetic", is_25], writes=[NOTHING])
    state = await agent.ask()
    assert "put right:\n1. The area is 5 * 5 = 25" in agent.sent()[-1].text
    assert texts(state["messages"]) == [("human", PROBLEM), ("ai", RIGHT)]


async def test_attempts_are_bounded_and_the_answer_that_stands_is_the_last_message(
    memory: ReasoningMemory,
) -> None:
    def decided(problem: Problem, attempt: Attempt) -> bool | None:
        return False if attempt.answer == "20" else None

    agent = Agent(memory, WRONG, WRONG, WRONG, verifiers=[decided], writes=[NOTHING] * 3)
    state = await agent.ask()
    assert texts(state["messages"]) == [("human", PROBLEM), ("ai", WRONG)]
    assert agent.result().stopped_because.startswith("all 3 attempts are used")
    votes = Agent(
        memory, WRONG, WRONG, "Answer: 21", verifiers=[lambda p, a: False], writes=[NOTHING] * 3
    )
    state = await votes.ask()
    assert state["messages"][-1].text == WRONG and votes.result().answer == "20"


async def test_a_replay_counts_nothing_twice(memory: ReasoningMemory) -> None:
    done = memory.add("Multiply the side by itself.", applies_when="the area of a square is asked")
    agent = Agent(memory, RIGHT, RIGHT, RIGHT, writes=[LESSON, LESSON, LESSON])
    await agent.ask()
    once = memory.get(done.entry_id)
    assert once is not None and once.helpful == 1
    history = list(agent.graph.get_state_history(THREAD))
    for node in ("ReasoningMemoryMiddleware.before_agent", "model"):
        place = next(s for s in history if s.next == (node,))
        await agent.graph.ainvoke(None, place.config)
    assert memory.get(done.entry_id) == once
    assert len(memory.list()) == 2


async def test_a_thread_holds_several_questions(memory: ReasoningMemory) -> None:
    agent = Agent(memory, RIGHT, RIGHT, writes=[NOTHING, NOTHING])
    await agent.ask()
    await agent.ask({"messages": [("user", "And once more: " + PROBLEM)]})
    kept = agent.graph.get_state(THREAD).values["reasoning"]
    assert kept["run"].startswith("one~") and kept["run"].endswith("#2")
    assert agent.result().problem.text == "And once more: " + PROBLEM


async def test_an_interrupt_for_a_tool_and_one_for_the_verdict(
    memory: ReasoningMemory, tmp_path: Path
) -> None:
    checkpoints = open_checkpoints(tmp_path / "c.sqlite")  # which keeps plain data only
    asks: Any = HumanInTheLoopMiddleware(interrupt_on={"times": True})
    agent = Agent(
        memory, calling("times", a=4, b=5), WRONG, RIGHT, writes=[LESSON, NOTHING],
        verifiers="human", middleware=[asks], checkpointer=checkpoints,
    )  # fmt: skip
    state = await agent.ask()
    assert state["__interrupt__"]
    state = await agent.ask(Command(resume={"decisions": [{"type": "approve"}]}))
    assert state["__interrupt__"][0].value["attempt"]["answer"] == "20"
    state = await agent.ask(Command(resume="No, the side is 5."))
    assert "the side is 5" in agent.sent()[-1].text
    state = await agent.ask(Command(resume="pass"))
    assert state["messages"][-1].text == RIGHT and agent.result().status == "passed"
    checkpoints.close()


async def test_it_streams_tokens_and_events(memory: ReasoningMemory) -> None:
    agent = Agent(memory, WRONG, RIGHT, writes=[LESSON, NOTHING])
    said, events = "", []
    async for mode, part in agent.graph.astream(ASKED, THREAD, stream_mode=["messages", "custom"]):
        if mode == "custom":
            events.append(part["event"])
        else:  # what the memory writer says is no part of the conversation
            said += part[0].text
    assert said == WRONG + RIGHT
    assert events == ["recalled", "verdict", "written", "recalled", "verdict", "written",
                      "stopped_because"]  # fmt: skip


async def test_agents_inside_agents_learn_apart(memory: ReasoningMemory) -> None:
    inner = Agent(memory, WRONG, RIGHT, writes=[LESSON, NOTHING], checkpointer=None)

    @tool
    async def solve(problem: str) -> str:
        """Solve."""
        state = await inner.graph.ainvoke({"messages": [("user", problem)]})
        return str(state["messages"][-1].text)

    own = ReasoningMemoryMiddleware(
        model=ScriptedChatModel.of(NOTHING), memory=memory, verifiers=[is_25]
    )
    outer = create_agent(
        ScriptedChatModel.of(calling("solve", problem=PROBLEM), RIGHT),
        tools=[solve], middleware=[own], checkpointer=InMemorySaver(),
    )  # fmt: skip
    await outer.ainvoke(ASKED, THREAD)
    result = own.result(outer.get_state(THREAD).values)
    assert result is not None and len(result.attempts) == 1
    (entry,) = memory.list()
    assert entry.provenance.run.startswith("one/tools:")


async def test_a_structured_response_is_the_attempt(memory: ReasoningMemory) -> None:
    class Area(BaseModel):
        area: int

    agent = Agent(memory, {"tool_calls": [{"name": "Area", "args": {"area": 25}, "id": "1"}]},
                  writes=[NOTHING], response_format=ToolStrategy(Area))  # fmt: skip
    state = await agent.ask()
    assert state["structured_response"] == Area(area=25)
    assert agent.result().attempts[0].text == "area: 25\nAnswer: 25"
    assert agent.result().status == "passed"


async def test_the_agent_s_own_store_holds_the_memory(store: ChromaStore) -> None:
    agent = Agent(None, WRONG, RIGHT, writes=[LESSON, NOTHING], store=store)
    await agent.ask()
    assert len(ReasoningMemory(store, ("default", "agent")).list()) == 1


class Broken(ReasoningMemory):
    def _recall(self, *_: Any, **__: Any) -> Any:
        raise MemoryStoreError("the disk is gone")

    _write = _credit = _recall  # type: ignore[assignment]


@pytest.mark.parametrize("on_loop", [True, False])
async def test_a_failing_memory_never_breaks_the_answer(
    store: ChromaStore, on_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(Broken(store), WRONG, rmm=ScriptedChatModel.of(NOTHING))
    state = await agent.ask(on_loop=on_loop)
    assert state["messages"][-1].text == WRONG
    assert "goes on without its reasoning memory" in caplog.text and "disk is gone" in caplog.text
    with pytest.raises(MemoryStoreError, match="disk is gone"):
        await Agent(Broken(store), WRONG, strict=True).ask(on_loop=on_loop)


async def test_a_failing_verifier_is_logged_or_raised(memory: ReasoningMemory) -> None:
    def crash(problem: Problem, attempt: Attempt) -> bool:
        raise ZeroDivisionError("mine")

    state = await Agent(memory, WRONG, verifiers=[crash]).ask()
    assert state["messages"][-1].text == WRONG
    with pytest.raises(ZeroDivisionError):
        await Agent(memory, WRONG, verifiers=[crash], strict=True).ask()


async def test_tenants_and_what_cannot_be_a_problem(memory: ReasoningMemory) -> None:
    tenants = memory.with_namespace(("team", "{user_id}"))
    agent = Agent(tenants, WRONG, RIGHT, RIGHT, RIGHT, namespace=("team", "{user_id}"),
                  writes=[LESSON, NOTHING, NOTHING])  # fmt: skip
    with pytest.raises(InputError, match="needs 'user_id'"):
        await agent.ask()
    mine: Any = {"configurable": {"thread_id": "one", "user_id": "ada"}}
    await agent.ask(config=mine)
    assert len(memory.with_namespace(("team", "ada")).list()) == 1
    await agent.ask({"messages": [HumanMessage("x" * 100_001)]}, mine)
    assert agent.own.result(agent.graph.get_state(mine).values) is None


@pytest.mark.parametrize("written", [7, {"problem": 3}, {"problem": {"text": "x"}, "iteration": 1,
                                     "attempts": [3], "recalls": "x"}])  # fmt: skip
async def test_state_that_someone_else_wrote(memory: ReasoningMemory, written: Any) -> None:
    agent = Agent(memory, RIGHT, RIGHT, writes=[NOTHING])
    agent.graph.update_state(THREAD, {"messages": [HumanMessage(PROBLEM)], "reasoning": written},
                             as_node="ReasoningMemoryMiddleware.before_agent")  # fmt: skip
    state = await agent.graph.ainvoke(None, THREAD)
    assert state["messages"][-1].text == RIGHT


def test_what_is_misspelt_is_told() -> None:
    given: dict[str, Any] = {"verifer": "arithmetic"}
    with pytest.raises(InputError, match="did you mean 'verifiers'"):
        ReasoningMemoryMiddleware(**given)
    with pytest.raises(InputError, match="verifier 'tests' is unknown"):
        ReasoningMemoryMiddleware(model=ScriptedChatModel.of(RIGHT), verifiers="tests")


def test_messages_of_other_kinds_are_read() -> None:
    """What the attempt holds of a tool that failed, and of a last message that is a tool's."""
    from vitarmm_agent.integrations.trajectory import attempt_of, with_calls

    call = {"name": "times", "args": {"a": 1}, "id": "1"}
    messages: Any = [
        HumanMessage(PROBLEM, id="q"),
        AIMessage("", tool_calls=[call, {**call, "id": "2"}]),
        ToolMessage("no b" * 400, tool_call_id="1", status="error"),
    ]
    state: Any = {"problem": {"text": PROBLEM}, "iteration": 1, "question": "q", "after": "q"}
    attempt = with_calls(attempt_of(state, messages))
    assert attempt.steps[0].text.startswith('called times({"a": 1}): error: no bno b')
    assert len(attempt.steps[0].text) < 700 and attempt.steps[1].text.endswith(": no result")
