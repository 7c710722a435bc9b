"""A person's feedback: asked for in one process, given in another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from tests.verifiers.helpers import SQUARE, WRONG, attempt
from vitarmm_agent.effects import arun, run
from vitarmm_agent.verifiers import Arithmetic, FeedbackPolicy, Human, build_policy

PROGRAM = """
import json, sys
from tests.verifiers.test_human import graph, open_saver
with open_saver(sys.argv[1]) as saver:
    built = graph(saver)
    from langgraph.types import Command
    reply = json.loads(sys.argv[2])
    state = built.invoke(Command(resume=reply) if reply else {}, {"configurable": {"thread_id": "t"}})
    waiting = [i.value for i in state.get("__interrupt__", [])]
    print(json.dumps({"feedback": state.get("feedback"), "waiting": waiting}))
"""


class State(TypedDict, total=False):
    feedback: dict[str, Any]


def open_saver(path: str) -> Any:
    return SqliteSaver.from_conn_string(path)


def graph(saver: Any) -> Any:
    policy = FeedbackPolicy((Arithmetic(), Human()))

    def judge(state: State) -> State:
        return {"feedback": run(policy.check(SQUARE, [attempt(WRONG)])).model_dump(mode="json")}

    builder = StateGraph(State)
    builder.add_node("judge", judge)
    builder.add_edge(START, "judge")
    builder.add_edge("judge", END)
    return builder.compile(checkpointer=saver)


def in_another_process(path: Path, reply: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), json.dumps(reply)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_a_run_interrupted_in_one_process_is_answered_in_another(tmp_path: Path) -> None:
    path = tmp_path / "traces.sqlite"
    asked = in_another_process(path, None)
    assert asked["feedback"] is None
    (request,) = asked["waiting"]
    assert request["problem"]["text"] == SQUARE.text
    assert "25" not in json.dumps(request["problem"])
    assert request["attempt"]["answer"] == "36" and request["attempt"]["steps"][0]["number"] == 1
    with open_saver(str(path)) as saver:  # and it can be found waiting
        assert graph(saver).get_state({"configurable": {"thread_id": "t"}}).interrupts
    reply = {"verdict": "fail", "message": "Divide 20 by 4 again.", "step": 1}
    answered = in_another_process(path, reply)
    assert answered["waiting"] == []
    assert answered["feedback"]["verdict"] == "fail" and answered["feedback"]["source"] == "human"
    assert answered["feedback"]["errors"][0]["message"] == "Divide 20 by 4 again."


@pytest.mark.parametrize("reply", ["pass", {"verdict": "pass"}])
def test_a_person_overrules_the_verifiers_before(reply: Any) -> None:
    built, config = graph(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    built.invoke({}, config)
    assert built.invoke(Command(resume=reply), config)["feedback"]["verdict"] == "pass"


def test_a_reply_that_cannot_be_read_is_asked_for_again() -> None:
    built, config = graph(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    built.invoke({}, config)
    state = built.invoke(Command(resume={"verdict": "perhaps"}), config)
    assert "perhaps" in state["__interrupt__"][0].value["fault"]
    state = built.invoke(Command(resume="abstain"), config)
    assert state["feedback"]["source"] == "arithmetic"  # what was known before stands
    assert state["feedback"]["parts"][-1]["verdict"] == "abstain"


def test_it_works_in_async_runs() -> None:
    policy = build_policy("human")

    async def judge(state: State) -> State:
        feedback = await arun(policy.check(SQUARE, [attempt(WRONG)]))
        return {"feedback": feedback.model_dump(mode="json")}

    async def both() -> dict[str, Any]:
        builder = StateGraph(State)
        builder.add_node("judge", judge)
        builder.add_edge(START, "judge")
        built = builder.compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "t"}}
        assert (await built.ainvoke({}, config))["__interrupt__"]
        return await built.ainvoke(Command(resume="pass"), config)

    assert asyncio.run(both())["feedback"]["verdict"] == "pass"
