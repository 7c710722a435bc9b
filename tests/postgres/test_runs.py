from __future__ import annotations

from pathlib import Path

from tests.scripts import QUESTION, RIGHT, WRONG, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.traces import Edit, RunFilter, RunIndex, fork_run, read_trace


def test_runs_are_read_listed_and_forked_with_langgraphs_own_saver(
    database: str, tmp_path: Path
) -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    with PostgresSaver.from_conn_string(database) as checkpointer:
        checkpointer.setup()
        agent = ReasoningAgent.open(
            reasoner=script(tmp_path / "r.json", WRONG, RIGHT, RIGHT),
            feedback="arithmetic,human",
            memory="off",
            checkpointer=checkpointer,
        )
        index = RunIndex(checkpointer)
        agent.solve(QUESTION, thread_id="one")
        assert index.page(RunFilter(status="interrupted")).total == 1
        result = agent.resume("one", "fail")
        result = agent.resume("one", "pass")
        trace = read_trace(checkpointer, "one")
        assert trace.result == result and trace.problems == ()
        at = next(m.checkpoint_id for m in trace.moments if m.node == "feedback")
        edit = Edit(verdict="fail", message="Once more.")
        agent.graph.invoke(None, fork_run(agent.graph, "one", at, "two", edit))
        assert [run.thread_id for run in index.page().runs] == ["two", "one"]
        assert index.page(RunFilter(status="passed")).runs[0].verdicts == ("fail", "pass")
