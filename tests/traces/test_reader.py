from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, nothing, operations, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.problem import Problem
from vitarmm_agent.traces import RunFilter, RunIndex, list_runs, read_trace

NODES = ["recall", "reason", "feedback", "remember"]


def savers(folder: Path) -> dict[str, Any]:
    connection = sqlite3.connect(folder / "plain.sqlite", check_same_thread=False)
    return {
        "ours": open_checkpoints(folder / "ours.sqlite"),
        "sqlite": SqliteSaver(connection),
        "memory": InMemorySaver(),
    }


def solved(folder: Path, checkpointer: Any, thread: str, *replies: str, **more: Any) -> Any:
    agent = ReasoningAgent.open(
        reasoner=script(folder / f"{thread}.json", *replies),
        feedback="arithmetic",
        memory="off",
        checkpointer=checkpointer,
    )
    return agent.solve({"text": QUESTION, **more}, thread_id=thread)


@pytest.mark.parametrize("kind", ["ours", "sqlite", "memory"])
def test_a_run_is_read_back_with_the_node_of_each_checkpoint(tmp_path: Path, kind: str) -> None:
    checkpointer = savers(tmp_path)[kind]
    result = solved(tmp_path, checkpointer, "one", WRONG, RIGHT)
    trace = read_trace(checkpointer, "one")
    assert trace.result == result
    assert [m.node for m in trace.moments] == ["input", "start", *NODES, *NODES]
    assert trace.moments[3].next == ("feedback",)
    assert trace.moments[3].counts == {"recalls": 1, "attempts": 1, "feedback": 0, "written": 0}
    assert trace.moments[-1].next == () and trace.problems == ()


@pytest.mark.parametrize("kind", ["ours", "sqlite", "memory"])
def test_runs_are_listed_newest_first_filtered_and_paged(tmp_path: Path, kind: str) -> None:
    checkpointer = savers(tmp_path)[kind]
    for number in range(3):
        solved(tmp_path, checkpointer, f"fails-{number}", WRONG, WRONG, WRONG)
    solved(tmp_path, checkpointer, "passes", WRONG, RIGHT, metadata={"benchmark": "squares"})
    index = RunIndex(checkpointer)
    assert [run.thread_id for run in index.page(limit=2).runs] == ["passes", "fails-2"]
    assert [run.thread_id for run in index.page(limit=2, offset=2).runs] == ["fails-1", "fails-0"]
    failed = index.page(RunFilter(status="failed"), limit=2)
    assert failed.total == 3 and len(failed.runs) == 2
    assert index.page(RunFilter(benchmark="squares")).total == 1
    assert index.page(RunFilter(text="PERIMETER passes")).total == 1
    assert index.page(RunFilter(text="100%")).total == 0
    assert index.page(RunFilter(verdict="abstain")).total == 1
    assert index.page(RunFilter(memory="used")).total == 0
    assert index.page(RunFilter(until="2001-01-01")).total == 0
    assert index.benchmarks() == ["squares"]


def test_the_index_follows_new_changed_and_deleted_runs(tmp_path: Path) -> None:
    checkpointer = open_checkpoints(tmp_path / "traces.sqlite")
    index = RunIndex(checkpointer, tmp_path / "index.sqlite")
    assert index.page().total == 0
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", WRONG, RIGHT),
        feedback="arithmetic,human",
        memory="off",
        checkpointer=checkpointer,
    )
    agent.solve(QUESTION, thread_id="waits")
    assert index.page(RunFilter(status="interrupted")).total == 1
    agent.resume("waits", {"verdict": "fail", "message": "Divide again."})
    agent.resume("waits", "pass")
    (run,) = index.page().runs
    assert (run.status, run.verdicts) == ("passed", ("fail", "pass"))
    other = RunIndex(checkpointer, tmp_path / "index.sqlite")
    assert other.page(RunFilter(status="passed"), seconds=0).runs == [run]
    checkpointer.delete_thread("waits")
    assert index.page().total == 0 and index.page(RunFilter(text="square")).total == 0


def test_what_could_not_be_read_in_time_is_counted(tmp_path: Path) -> None:
    checkpointer = savers(tmp_path)["memory"]
    for number in range(3):
        solved(tmp_path, checkpointer, f"run-{number}", RIGHT)
    index = RunIndex(checkpointer)
    page = index.page(RunFilter(text="square"), seconds=-1)
    assert (page.total, page.unread) == (0, 3)
    assert index.refresh() == 0 and index.page(RunFilter(text="square"), seconds=-1).total == 3


def test_a_thread_with_several_problems_has_a_trace_of_each(tmp_path: Path) -> None:
    checkpointer = InMemorySaver()
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", RIGHT, RIGHT),
        feedback="arithmetic",
        memory="off",
        checkpointer=checkpointer,
    )
    config: Any = {"configurable": {"thread_id": "talk"}}
    for text in ("first?", "second?"):
        agent.graph.invoke({"problem": {"text": text}}, config)
    first, last = read_trace(checkpointer, "talk", turn=1), read_trace(checkpointer, "talk")
    assert (first.result.problem.text, first.turn, first.turns) == ("first?", 1, 2)
    assert (last.result.problem.text, len(last.moments)) == ("second?", 6)
    with pytest.raises(InputError, match="no run 3"):
        read_trace(checkpointer, "talk", turn=3)


def test_threads_of_other_graphs_are_not_runs(tmp_path: Path) -> None:
    checkpointer = InMemorySaver()
    solved(tmp_path, checkpointer, "ours", RIGHT)
    from langgraph.graph import START, MessagesState, StateGraph

    other = StateGraph(MessagesState)
    other.add_node("talk", lambda state: {"messages": []})
    other.add_edge(START, "talk")
    config: Any = {"configurable": {"thread_id": "theirs"}}
    other.compile(checkpointer=checkpointer).invoke({"messages": "hello"}, config)
    assert [run.thread_id for run in list_runs(checkpointer)] == ["ours"]
    with pytest.raises(InputError, match="no run 'theirs'"):
        read_trace(checkpointer, "theirs")


def test_a_damaged_checkpoint_leaves_the_others_readable(tmp_path: Path) -> None:
    checkpointer = open_checkpoints(tmp_path / "traces.sqlite")
    solved(tmp_path, checkpointer, "hurt", WRONG, RIGHT)
    ids = [m.checkpoint_id for m in read_trace(checkpointer, "hurt").moments]
    checkpointer.conn.execute(
        "UPDATE checkpoints SET checkpoint = x'c1c1' WHERE checkpoint_id = ?", (ids[4],)
    )
    trace = read_trace(checkpointer, "hurt")
    assert trace.result.answer == "25"
    assert [m.checkpoint_id for m in trace.moments] == [*ids[:4], *ids[5:]]
    assert any("1 checkpoints cannot be read" in problem for problem in trace.problems)
    checkpointer.conn.execute("UPDATE checkpoints SET checkpoint = x'c1c1'")
    with pytest.raises(InputError, match="run 'hurt' cannot be read"):
        read_trace(checkpointer, "hurt")
    (run,) = list_runs(checkpointer)
    assert run.unreadable


def test_records_of_another_version_are_shown_as_far_as_they_are_understood(tmp_path: Path) -> None:
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    checkpointer = open_checkpoints(tmp_path / "traces.sqlite")
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", WRONG, RIGHT),
        rmm=script(tmp_path / "w.json", operations(LESSON), nothing()),
        feedback="arithmetic,reference",
        oracle=True,
        checkpointer=checkpointer,
    )
    agent.solve(Problem(text=QUESTION, reference="25"), thread_id="newer")
    last = read_trace(checkpointer, "newer").moments[-1].checkpoint_id
    row = checkpointer.conn.execute(
        "SELECT type, checkpoint FROM checkpoints WHERE checkpoint_id = ?", (last,)
    ).fetchone()
    data, serde = checkpointer.serde.loads_typed(row), JsonPlusSerializer()
    channels = data["channel_values"]
    channels["attempts"][0]["mood"] = "calm"
    channels["feedback"][0] = {"number": 1, "verdict": "maybe"}
    channels["recalls"][1]["entries"][0]["entry"] |= {"schema_version": 9, "colour": "red"}
    checkpointer.conn.execute(
        "UPDATE checkpoints SET type = ?, checkpoint = ?, total = NULL WHERE checkpoint_id = ?",
        (*serde.dumps_typed(data), last),
    )
    trace = read_trace(checkpointer, "newer")
    assert trace.result.attempts[0].text == WRONG and len(trace.result.feedback) == 2
    assert trace.result.feedback[0].verdict == "abstain"
    assert trace.result.recalled[1]["entries"][0]["entry"]["content"] == LESSON["content"]
    told = json.dumps(trace.problems)
    assert "mood" in told and "schema version 9" in told and "colour" in told
