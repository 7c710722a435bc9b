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
from vitarmm_agent.errors import InputError
from vitarmm_agent.verifiers import Arithmetic, FeedbackPolicy, Human, build_policy
from vitarmm_agent.verifiers.person_reply import read_reply

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


def decided(**decision: Any) -> dict[str, Any]:
    return {"decisions": [decision]}


@pytest.mark.parametrize(
    ("reply", "verdict", "message"),
    [
        *(
            (word, "pass", "")
            for word in (
                "PASS",
                " Pass.\n",
                "yes",
                "Yes!",
                "OK",
                "**correct**",
                "y",
                "👍",
                "Thumbs up",
            )
        ),
        *(
            (word, "fail", "")
            for word in ("FAIL", "No.", "no", "wrong", "Incorrect.", "'false'", "👎")
        ),
        *((word, "abstain", "") for word in ("Abstain", "ignore", "skip.")),
        ("No, 20 / 4 is 5.", "fail", "20 / 4 is 5."),
        ("fail: divide again", "fail", "divide again"),
        ("Wrong - step 2", "fail", "step 2"),
        (True, "pass", ""),
        (False, "fail", ""),
        (["pass"], "pass", ""),
        ({"verdict": "PASS"}, "pass", ""),
        ({"verdict": "No.", "message": "why"}, "fail", "why"),
        ('{"verdict": "fail", "message": "why"}', "fail", "why"),
        ([{"type": "accept", "args": None}], "pass", ""),
        ({"type": "accept"}, "pass", ""),
        ([{"type": "ignore", "args": None}], "abstain", ""),
        ([{"type": "response", "args": "Divide by 4."}], "fail", "Divide by 4."),
        ([{"type": "response", "args": "pass"}], "pass", ""),
        ([{"type": "response", "args": "No, by 4."}], "fail", "by 4."),
        (
            [{"type": "edit", "args": {"action": "feedback", "args": {"verdict": "pass"}}}],
            "pass",
            "",
        ),
        (decided(type="approve"), "pass", ""),
        (decided(type="reject"), "fail", ""),
        (decided(type="reject", message="Divide by 4."), "fail", "Divide by 4."),
        (decided(type="respond", message="Divide by 4."), "fail", "Divide by 4."),
        (
            decided(type="edit", edited_action={"name": "x", "args": {"verdict": "fail"}}),
            "fail",
            "",
        ),
        ('{"decisions": [{"type": "approve"}]}', "pass", ""),
        ({"action": "Approve"}, "pass", ""),
        ({"approved": False, "message": "why"}, "fail", "why"),
    ],
)
def test_the_forms_of_people_and_clients_are_read(reply: Any, verdict: str, message: str) -> None:
    built, config = graph(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    built.invoke({}, config)
    state = built.invoke(Command(resume=reply), config)
    assert "__interrupt__" not in state, state["__interrupt__"][0].value["fault"]
    said = next(p for p in state["feedback"]["parts"] if p["source"] == "human")
    assert (said["verdict"], said["message"]) == (verdict, message)


def test_an_edited_attempt_is_a_right_solution() -> None:
    right = "1. 20 / 4 = 5\nAnswer: 25"
    for args in ({"action": "attempt", "args": {"text": right}}, {"solution": right}):
        read = read_reply([{"type": "edit", "args": args}])
        assert (read.verdict, read.solution) == ("fail", right)


@pytest.mark.parametrize(
    "reply",
    ["", "perhaps", "Yes, but step 2 is wrong", "No errors found", "pass or fail", "not right", None,
     0, 1, [], ["pass", "fail"], {}, {"type": "accept or not"}, decided(), {"decisions": []},
     {"decisions": [{"type": "approve"}, {"type": "reject"}]}, {"verdict": True}, {"verdict": None},
     {"verdict": "pass", "step": 0}, {"verdict": "fail", "mesage": "typo"},
     {"type": "response", "args": ""}, {"type": "response", "args": "Yes, but look at 2"},
     {"type": "edit", "args": None}, {"type": "edit", "args": {"args": {"other": 1}}},
     '{"verdict"', [[[[[["pass"]]]]]], {"approved": "perhaps"}],
)  # fmt: skip
def test_what_is_not_certain_is_asked_for_again(reply: Any) -> None:
    with pytest.raises(InputError, match="got|required|permitted|Input|valid"):
        read_reply(reply)


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


def test_the_request_has_the_forms_of_inboxes() -> None:
    """Agent Inbox shows what has its schema; LangChain's human review has types for its own."""
    from langchain.agents.middleware.human_in_the_loop import HITLRequest
    from pydantic import TypeAdapter

    built, config = graph(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    request = built.invoke({}, config)["__interrupt__"][0].value
    review = {name: request[name] for name in ("action_requests", "review_configs")}
    TypeAdapter(HITLRequest).validate_python(review, strict=True)
    allowed = {"allow_ignore", "allow_respond", "allow_edit", "allow_accept"}
    assert set(request["config"]) == allowed and all(request["config"].values())
    assert set(request["action_request"]) == {"action", "args"}
    assert request["description"]
    solution = "1. 20 / 4 = 5\n2. 5 * 5 = 25\nAnswer: 25"
    edited = {**request["action_request"], "args": {"solution": solution}}
    state = built.invoke(Command(resume=[{"type": "edit", "args": edited}]), config)
    said = next(p for p in state["feedback"]["parts"] if p["source"] == "human")
    assert (said["verdict"], said["solution"]) == ("fail", solution)
