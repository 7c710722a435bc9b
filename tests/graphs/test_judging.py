"""Verdicts on runs that are over: what was shown is credited, what is learned is written, once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from tests.memory_store.conftest import index_config
from tests.scripts import LESSON, QUESTION, RIGHT, WRONG
from vitarmm_agent import MemoryEntry, ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.traces import read_trace
from vitarmm_agent.verifiers import Human
from vitarmm_agent.verifiers.function import Function

ADDS = {"structured": {"operations": [{"kind": "add", **LESSON}]}}
OTHER = {"structured": {"operations": [{"kind": "add", **LESSON, "title": "Perimeters",
         "content": "Ask what a side is before you multiply anything."}]}}  # fmt: skip
NOTHING = {"structured": {"operations": [{"kind": "none"}]}}
SHOWN = MemoryEntry(entry_type="insight", title="Squares", applies_when=QUESTION, content="Take care.")  # fmt: skip


@pytest.fixture
def memory(tmp_path: Path, request: pytest.FixtureRequest) -> ReasoningMemory:
    """One entry, which each run is shown."""
    journal = None if "no history" in request.node.name else Journal(tmp_path / "journal.sqlite")
    store = InMemoryStore(index=index_config())
    made = ReasoningMemory(store, ("team", "{user_id}"), journal=journal)
    made.with_namespace(("team", "ada")).change({SHOWN.id: SHOWN}, kind="edit", reason="")
    return made


ADA: dict[str, Any] = {"configurable": {"user_id": "ada"}}


WITH_AND_WITHOUT = pytest.mark.parametrize("_", ["a history", "no history"])


def says(verdict: str) -> Function:
    def check(problem: Problem, attempt: Attempt) -> bool:
        return verdict == "pass"

    return Function(check, name="mine")


MakeAgent = Callable[..., ReasoningAgent]


@pytest.fixture
def make_agent(memory: ReasoningMemory) -> MakeAgent:
    def make(*replies: Any, writes: Any = (), **options: Any) -> ReasoningAgent:
        given: dict[str, Any] = {"feedback": "arithmetic", "max_iterations": 1, "memory": memory}
        models = {"reasoner": ScriptedChatModel.of(*replies), "rmm": ScriptedChatModel.of(*writes)}
        options.setdefault("namespace", ("team", "{user_id}"))
        return ReasoningAgent.open(**(given | models | options))

    return make


def counts(memory: ReasoningMemory) -> tuple[int, int, int]:
    entry = memory.with_namespace(("team", "ada")).get(SHOWN.id)
    assert entry is not None
    return entry.used, entry.helpful, entry.harmful


def titles(memory: ReasoningMemory) -> set[str]:
    return {entry.title for entry in memory.with_namespace(("team", "ada")).list()}


def solved(agent: ReasoningAgent) -> str:
    result = agent.solve(QUESTION, thread_id="t", **ADA)
    assert result.attempts[0].recalled == (SHOWN.id,)
    return result.thread_id


def test_a_verdict_the_day_after_is_credited_and_teaches(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    thread = solved(make_agent(RIGHT))
    assert counts(memory) == (0, 0, 0)
    judged = make_agent(writes=[ADDS]).judge(thread, "pass", by="ada", **ADA)  # in another process
    assert (judged.status, judged.passed, judged.answer) == ("passed", True, "25")
    assert counts(memory) == (1, 1, 0)
    assert titles(memory) == {"Squares", LESSON["title"]}
    (record,) = judged.judged
    assert (record["verdict"], record["by"], record["attempt"]) == ("pass", "ada", 1)
    assert record["credited"] == [SHOWN.id] and len(record["operations"]) == 1
    assert judged.feedback[0].source == "human"
    assert [part.source for part in judged.feedback[0].parts] == ["arithmetic", "human"]


def test_the_same_verdict_again_changes_nothing(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    agent = make_agent(RIGHT, writes=[ADDS])  # a second question to the writer would raise
    thread = solved(agent)
    first = agent.judge(thread, "fail", comment="It asks for the perimeter.", **ADA)
    assert counts(memory) == (1, 0, 1)
    for again in ("fail", "no", {"verdict": "fail", "message": "It asks for the perimeter."}):
        assert agent.judge(thread, again, by="someone else", **ADA) == first
    assert counts(memory) == (1, 0, 1)


@WITH_AND_WITHOUT
def test_a_changed_verdict_takes_the_earlier_one_back(
    make_agent: MakeAgent, memory: ReasoningMemory, _: str
) -> None:
    agent = make_agent(RIGHT, writes=[ADDS, OTHER, NOTHING, ADDS])
    thread = solved(agent)
    agent.judge(thread, "pass", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 1, 0), {"Squares", LESSON["title"]})
    changed = agent.judge(thread, "fail", comment="Read again.", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 0, 1), {"Squares", "Perimeters"})
    assert (changed.status, len(changed.judged)) == ("failed", 2)
    assert SHOWN.id in changed.judged[1]["taken_back"]
    agent.judge(thread, "pass", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 1, 0), {"Squares"})
    taken = agent.judge(thread, "abstain", **ADA)
    assert (counts(memory), taken.status) == ((0, 0, 0), "abstained")
    agent.judge(thread, "pass", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 1, 0), {"Squares", LESSON["title"]})


@WITH_AND_WITHOUT
def test_a_person_overrules_what_a_verifier_counted_and_wrote(
    make_agent: MakeAgent, memory: ReasoningMemory, _: str
) -> None:
    agent = make_agent(RIGHT, writes=[ADDS, OTHER], feedback=[says("pass")])
    thread = solved(agent)
    assert (counts(memory), titles(memory)) == ((1, 1, 0), {"Squares", LESSON["title"]})
    agent.judge(thread, "fail", comment="Read again.", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 0, 1), {"Squares", "Perimeters"})


@WITH_AND_WITHOUT
def test_a_person_agrees_with_a_verifier(
    make_agent: MakeAgent, memory: ReasoningMemory, _: str
) -> None:
    agent = make_agent(RIGHT, writes=[ADDS], feedback=[says("pass")])
    thread = solved(agent)
    agreed = agent.judge(thread, "pass", **ADA)
    assert counts(memory) == (1, 1, 0)  # counted once, and the writer was not asked again
    assert agreed.judged[0]["credited"] == [SHOWN.id]
    agent.judge(thread, "abstain", **ADA)
    assert (counts(memory), titles(memory)) == ((0, 0, 0), {"Squares"})


@WITH_AND_WITHOUT
def test_a_slip_was_not_counted_and_is_not_taken_back(
    make_agent: MakeAgent, memory: ReasoningMemory, _: str
) -> None:
    agent = make_agent(WRONG, writes=[ADDS])
    thread = solved(agent)
    assert counts(memory) == (0, 0, 0)
    agent.judge(thread, "pass", **ADA)
    assert counts(memory) == (1, 1, 0)


def test_what_passes_after_a_fail_is_a_worked_example(
    make_agent: MakeAgent, memory: ReasoningMemory
) -> None:
    agent = make_agent(
        WRONG, RIGHT, writes=[NOTHING] * 3, feedback=[says("fail")], max_iterations=2
    )
    thread = solved(agent)
    assert counts(memory) == (2, 0, 2)
    judged = agent.judge(thread, "pass", **ADA)
    assert counts(memory) == (2, 1, 1)  # the second attempt was right, the first stays wrong
    (added,) = judged.judged[0]["operations"]
    assert added["entry"]["example"]["answer"] == "25"


def test_a_solution_comes_with_the_verdict(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    agent = make_agent(WRONG, writes=[NOTHING])
    thread = solved(agent)
    with pytest.raises(InputError, match="the solution is wrong"):
        agent.judge(thread, "fail", solution=WRONG, **ADA)
    with pytest.raises(InputError, match="must end in its answer"):
        agent.judge(thread, "fail", solution="Divide by 4.", **ADA)
    assert agent.result(thread).judged == () and titles(memory) == {"Squares"}
    judged = agent.judge(thread, "fail", solution=RIGHT, by="ada", **ADA)
    (added,) = judged.judged[0]["operations"]
    assert added["entry"]["example"]["verified_by"] == "human ada"
    again = agent.judge(thread, "fail", solution=RIGHT, by="ada", **ADA)
    assert again == judged


def test_a_run_that_waits_for_a_verdict_gets_it(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING], feedback=[Human()])
    assert agent.solve(QUESTION, thread_id="t", **ADA).status == "interrupted"
    judged = agent.judge("t", "yes", **ADA)
    assert (judged.status, judged.judged) == ("passed", ())
    assert agent.judge("t", "pass", **ADA) == judged


def test_it_stands_in_the_trace(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, RIGHT, writes=[NOTHING])
    thread = solved(agent)
    agent.judge(thread, "pass", by="ada", **ADA)
    trace = read_trace(agent.graph.checkpointer, thread)  # type: ignore[arg-type]
    assert (trace.turns, trace.problems) == (1, ())
    assert [moment.node for moment in trace.moments][-3:] == ["verdict", "start", "judge"]
    assert trace.moments[-1].next == () and trace.result.judged[0]["by"] == "ada"
    config: Any = {"configurable": {"thread_id": thread, "user_id": "ada"}}
    agent.graph.invoke({"problem": {"text": QUESTION}}, config)  # the next problem of the thread
    trace = read_trace(agent.graph.checkpointer, thread)  # type: ignore[arg-type]
    assert (trace.turns, trace.result.judged, trace.result.status) == (2, (), "abstained")


def test_without_memory_the_verdict_stands_in_the_run(make_agent: MakeAgent) -> None:
    agent = make_agent(RIGHT, memory="off")
    judged = agent.judge(agent.solve(QUESTION).thread_id, "fail")
    assert (judged.status, judged.judged[0]["note"]) == ("failed", "memory is off")


def test_what_cannot_be_judged_is_refused(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    agent = make_agent(RIGHT, "", writes=[NOTHING])
    thread = solved(agent)
    with pytest.raises(InputError, match="no run 'none'"):
        agent.judge("none", "pass", **ADA)
    with pytest.raises(InputError, match="say pass, fail or abstain, got 'perhaps'"):
        agent.judge(thread, "perhaps", **ADA)
    with pytest.raises(InputError, match="message: .*4000"):
        agent.judge(thread, "fail", comment="x" * 5_000, **ADA)
    with pytest.raises(InputError, match="a run stays with whom it was begun for"):
        agent.judge(thread, "pass", configurable={"user_id": "bob"})
    with pytest.raises(InputError, match="waits for no reply.*vitarmm judge t pass"):
        agent.resume(thread, "pass", **ADA)
    silent = agent.solve(QUESTION, thread_id="silent", **ADA)
    with pytest.raises(InputError, match="attempt 1 cannot pass: the reply is empty"):
        agent.judge(silent.thread_id, "pass", **ADA)
    assert counts(memory) == (0, 0, 0)


def test_a_writer_that_died_is_asked_again(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    thread = solved(make_agent(RIGHT))
    with pytest.raises(Exception, match="script"):
        make_agent().judge(thread, "pass", **ADA)
    assert counts(memory) == (1, 1, 0)
    assert make_agent().result(thread).judged == ()
    make_agent(writes=[ADDS]).judge(thread, "pass", **ADA)
    assert (counts(memory), titles(memory)) == ((1, 1, 0), {"Squares", LESSON["title"]})


def test_two_at_once_count_once(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING] * 8)
    thread = solved(agent)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: agent.judge(thread, "pass", **ADA), range(8)))
    assert counts(memory) == (1, 1, 0)


async def test_on_an_event_loop(make_agent: MakeAgent, memory: ReasoningMemory) -> None:
    agent = make_agent(RIGHT, writes=[NOTHING])
    solved = await agent.asolve(QUESTION, **ADA)
    judged = await agent.ajudge(solved.thread_id, True, **ADA)
    assert (judged.status, counts(memory)) == ("passed", (1, 1, 0))
