from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from PIL import Image

from tests.memory_store.conftest import index_config
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
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import Example
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.verifiers import FeedbackPolicy, Function


class Verdicts:
    """A verifier that gives these verdicts in order."""

    name = "verdicts"

    def __init__(self, *verdicts: str) -> None:
        self.verdicts = iter(verdicts)
        self.seen: list[Problem] = []

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        yield from ()
        self.seen.append(problem)
        verdict: Any = next(self.verdicts)
        return Feedback(verdict=verdict, source=self.name, message="Look again.")


@pytest.fixture
def memory() -> ReasoningMemory:
    embed = DeterministicFakeEmbedding(size=32)
    store = InMemoryStore(index={"embed": embed, "dims": 32, "fields": ["index_text"]})
    return ReasoningMemory(store, namespace=("team", "agent"))


def open_agent(folder: Path, *replies: Any, **options: Any) -> ReasoningAgent:
    options = {"feedback": "arithmetic", "memory": "off"} | options
    return ReasoningAgent.open(reasoner=script(folder / "reasoner.json", *replies), **options)


def test_what_a_check_of_the_callers_says_is_told_and_the_model_tries_again(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, WRONG, RIGHT, feedback=[Verdicts("fail", "pass")])
    result = agent.solve(QUESTION)
    assert (result.answer, result.passed, result.status) == ("25", True, "passed")
    assert [attempt.answer for attempt in result.attempts] == ["36", "25"]
    second = result.attempts[1].prompt[1]["content"][-1]["text"]
    assert "Look again." in second and WRONG not in second
    assert result.attempts[0].prompt_hash != result.attempts[1].prompt_hash


def test_the_unchanging_part_of_the_prompt_comes_first(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, WRONG, RIGHT, feedback=[Verdicts("fail", "pass")])
    first, second = agent.solve(QUESTION).attempts
    assert first.prompt[0] == second.prompt[0]
    assert first.prompt[1]["content"][:-1] == second.prompt[1]["content"][:-1]


def test_arithmetic_feedback_names_the_step(tmp_path: Path) -> None:
    result = open_agent(tmp_path, WRONG, RIGHT, max_iterations=2).solve(QUESTION)
    error = result.feedback[0].errors[0]
    assert (result.feedback[0].verdict, error.step, error.kind) == ("fail", 1, "arithmetic")
    assert "5" in error.message


def test_a_reply_that_was_cut_off_has_no_answer_by_chance(tmp_path: Path) -> None:
    steps, committed = RIGHT.rpartition("\n")[0], f"{RIGHT}\nTo check, 5 *"
    agent = open_agent(
        tmp_path,
        {"content": steps, "finish_reason": "length"},
        {"content": committed, "finish_reason": "length"},
        RIGHT,
        feedback=[Verdicts("fail", "fail", "pass")],
    )
    attempts = agent.solve(QUESTION).attempts
    assert [attempt.answer for attempt in attempts] == [None, "25", "25"]
    assert [attempt.metadata.get("cut") for attempt in attempts] == [True, True, None]


def test_abstaining_keeps_the_first_answer(tmp_path: Path) -> None:
    result = open_agent(tmp_path, RIGHT).solve(QUESTION)
    assert (result.answer, result.status, len(result.attempts)) == ("25", "abstained", 1)
    assert "abstained" in result.stopped_because


def test_the_iteration_limit_holds(tmp_path: Path) -> None:
    verdicts = Verdicts("fail", "fail")
    agent = open_agent(tmp_path, WRONG, WRONG, feedback=[verdicts], max_iterations=2)
    result = agent.solve(QUESTION)
    assert (result.status, len(result.attempts)) == ("failed", 2)
    assert "2 attempts" in result.stopped_because


def test_a_run_may_set_its_own_limit(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, WRONG, feedback=[Verdicts("fail")])
    config: Any = {"configurable": {"thread_id": "t"}}
    agent.graph.invoke({"problem": {"text": QUESTION}}, config, context={"max_iterations": 1})
    assert agent.result("t").status == "failed"


def test_what_is_learned_is_recalled_and_credited(tmp_path: Path, memory: ReasoningMemory) -> None:
    writer = script(tmp_path / "rmm.json", operations(LESSON), nothing())
    agent = open_agent(
        tmp_path,
        WRONG,
        RIGHT,
        feedback=[Verdicts("fail", "pass")],
        memory=memory,
        rmm=writer,
    )
    result = agent.solve(QUESTION)
    (done,) = result.written[0]["operations"]
    assert done["kind"] == "added"
    entry = memory.get(done["entry_id"])
    assert entry is not None
    assert entry.provenance.run == result.thread_id
    assert entry.provenance.verifier == "verdicts"
    assert result.written[1]["note"] == "nothing worth remembering"


def test_a_worked_example_is_shown_as_an_earlier_turn(tmp_path: Path) -> None:
    store = InMemoryStore(index=index_config())
    memory = ReasoningMemory(store, ("team", "agent"))
    for side, title in ((20, "far"), (36, "near")):
        example = Example(
            problem=QUESTION.replace("20", str(side)) + (" Tell me." if title == "far" else ""),
            steps=(f"The side is {side} / 4 = {side // 4}.", "The ```area."),
            answer=str((side // 4) ** 2),
        )
        entry = MemoryEntry(entry_type="insight", content=title, id=f"m-{title}", example=example)
        memory.write([Operation(kind="add", entry=entry)], run=title, attempt=1)
    agent = open_agent(tmp_path, RIGHT, memory=memory)
    (attempt,) = agent.solve(Problem(text=QUESTION, answer_type="integer")).attempts
    assert attempt.recalled == ("m-near", "m-far")
    roles = [turn["role"] for turn in attempt.prompt]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    first, nearest = attempt.prompt[2]["content"], attempt.prompt[4]["content"]
    assert first.startswith("1. The side is 20 / 4 = 5.\n2. The '''area.")
    assert nearest.endswith("\nAnswer: 81"), "the most similar is the last"
    asked = [turn["content"] for turn in attempt.prompt if turn["role"] == "user"]
    assert len({user[1]["text"] for user in asked}) == 1, "in the form of the problem itself"
    assert all("The answer is a whole number." in user[0]["text"] for user in asked)
    assert "near" not in str(attempt.prompt), "its text is not shown besides"


def test_an_unusable_writer_is_recorded_not_silent(tmp_path: Path, memory: ReasoningMemory) -> None:
    writer = script(tmp_path / "rmm.json", "no json", "still none")
    agent = open_agent(tmp_path, RIGHT, feedback=[Verdicts("pass")], memory=memory, rmm=writer)
    result = agent.solve(QUESTION)
    assert result.passed and result.written[0]["failure"]
    assert memory.list() == []


def test_abstaining_teaches_nothing(tmp_path: Path, memory: ReasoningMemory) -> None:
    writer = script(tmp_path / "rmm.json", operations(LESSON))
    agent = open_agent(tmp_path, RIGHT, memory=memory, rmm=writer)
    result = agent.solve(QUESTION)
    assert result.written[0].operations == ()
    assert "no verdict" in result.written[0]["note"]


def test_the_reference_reaches_no_prompt_and_no_verifier(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    gold = "GOLD-98765"
    verifier = Verdicts("fail", "pass")
    writer = script(tmp_path / "rmm.json", operations(LESSON), nothing())
    agent = open_agent(tmp_path, WRONG, RIGHT, feedback=[verifier], memory=memory, rmm=writer)
    problem = Problem(text=QUESTION, reference=gold, metadata={"gold": gold})
    result = agent.solve(problem)
    assert result.problem.reference == gold
    assert gold not in str([attempt.prompt for attempt in result.attempts])
    assert all(seen.reference is None and gold not in str(seen) for seen in verifier.seen)
    assert gold not in str(memory.list())


def test_messages_in_a_message_out(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, RIGHT)
    config: Any = {"configurable": {"thread_id": "t"}}
    state = agent.graph.invoke({"messages": [HumanMessage(QUESTION)]}, config)
    last = state["messages"][-1]
    assert isinstance(last, AIMessage) and last.text == RIGHT
    assert last.additional_kwargs["answer"] == "25"
    assert state["problem"]["text"] == QUESTION


@pytest.mark.parametrize(
    "inputs",
    [{}, {"messages": []}, {"messages": [AIMessage("hi")]}, {"problem": {"text": " "}}],
)
def test_input_without_a_problem_is_refused(tmp_path: Path, inputs: Any) -> None:
    agent = open_agent(tmp_path, RIGHT)
    with pytest.raises(InputError):
        agent.graph.invoke(inputs, {"configurable": {"thread_id": "t"}})


def test_async_runs_share_the_body(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, WRONG, RIGHT, feedback=[Verdicts("fail", "pass")])
    result = asyncio.run(agent.asolve(QUESTION))
    assert (result.answer, len(result.attempts)) == ("25", 2)


def test_streaming_shows_each_node(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, RIGHT)
    nodes = [node for update in agent.stream(QUESTION) for node in update]
    assert nodes == ["recall", "reason", "feedback", "remember"]


def test_no_image_bytes_reach_a_checkpoint(tmp_path: Path, own_data_dir: Path) -> None:
    picture = tmp_path / "noise.png"
    Image.effect_noise((128, 128), 90).save(picture)
    agent = open_agent(tmp_path, RIGHT)
    result = agent.solve(Problem.parse({"text": QUESTION, "images": [str(picture)]}))
    assert result.problem.images[0].sha256
    assert result.attempts[0].prompt[1]["content"][0] == {
        "type": "image",
        "sha256": result.problem.images[0].sha256,
        "mime": "image/png",
    }
    stored = sum(
        len(blob)
        for (blob,) in sqlite3.connect(own_data_dir / "traces.sqlite").execute(
            "select checkpoint from checkpoints"
        )
    )
    assert picture.stat().st_size > 10_000
    assert picture.read_bytes()[200:400] not in (own_data_dir / "traces.sqlite").read_bytes()
    assert stored < 60_000


def test_a_failed_call_is_resumed_where_it_stopped(tmp_path: Path, memory: ReasoningMemory) -> None:
    replies = [WRONG, {"error": "die"}]
    writer = script(tmp_path / "rmm.json", operations(LESSON), nothing())
    options = {"feedback": [Verdicts("fail")], "memory": memory, "rmm": writer}
    agent = open_agent(tmp_path, *replies, **options)
    with pytest.raises(Exception, match="."):
        agent.solve(QUESTION, thread_id="t")
    again = open_agent(tmp_path, RIGHT, **options | {"feedback": [Verdicts("pass")]})
    result = again.resume("t")
    assert (result.answer, result.passed, len(result.attempts)) == ("25", True, 2)
    assert len(memory.list()) == 1


def test_a_thread_is_used_once(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, RIGHT, RIGHT)
    agent.solve(QUESTION, thread_id="t")
    with pytest.raises(InputError, match="resume"):
        agent.solve(RELATED_QUESTION, thread_id="t")


def test_resuming_a_finished_run_returns_it(tmp_path: Path) -> None:
    agent = open_agent(tmp_path, RIGHT)
    assert agent.solve(QUESTION, thread_id="t") == agent.resume("t")


def test_an_unknown_run_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trace list"):
        open_agent(tmp_path, RIGHT).resume("nowhere")


@pytest.mark.parametrize("value", [0, -1])
def test_max_iterations_must_be_positive(tmp_path: Path, value: int) -> None:
    with pytest.raises(InputError, match="max_iterations"):
        open_agent(tmp_path, RIGHT, max_iterations=value)


def test_the_graph_takes_objects(tmp_path: Path, memory: ReasoningMemory) -> None:
    from vitarmm_agent.models import load_chat_model

    model = load_chat_model(script(tmp_path / "r.json", RIGHT))
    graph = build_reasoning_graph(reasoner=model, verifiers="arithmetic", memory=memory)
    assert graph.invoke({"problem": {"text": QUESTION}})["answer"] == "25"


def test_a_thread_id_that_is_used_again_loses_no_lesson(tmp_path: Path) -> None:
    """An app that keeps its checkpoints in memory calls its thread "1" in each of its lives."""
    store = InMemoryStore(index=index_config())
    memory = ReasoningMemory(store, ("team", "agent"), journal=Journal(tmp_path / "j.sqlite"))
    lessons = [
        LESSON,
        {**LESSON, "title": "Compound interest", "applies_when": "interest is paid on interest",
         "content": "Multiply by one plus the rate, once a year."},
    ]  # fmt: skip
    seen = []
    for lesson in lessons:
        agent = ReasoningAgent.open(
            reasoner=ScriptedChatModel.of("I do not know.", RIGHT),
            rmm=ScriptedChatModel.of(operations(lesson), nothing()),
            feedback=FeedbackPolicy((Function(lambda problem, attempt: attempt.answer == "25"),)),
            memory=memory,
            checkpointer=InMemorySaver(),
        )
        seen.append(agent.solve(QUESTION, thread_id="1"))
    assert {entry.title for entry in memory.list()} == {lesson["title"] for lesson in lessons}
    assert seen[1].attempts[0].recalled, "what the thread's first life taught is shown"
    (old,) = [entry for entry in memory.list() if entry.title == LESSON["title"]]
    assert old.used == 3, "shown to the second attempt, then to both attempts of the second life"


class CutOff(InMemorySaver):
    """Holds what is written first, and no more until the power is back."""

    on, puts = False, 0

    def put(self, *args: Any) -> Any:
        self.puts += 1
        return super().put(*args) if self.on or self.puts == 1 else self.put_writes()

    def put_writes(self, *args: Any) -> None:
        if not self.on:
            raise OSError("power cut")
        super().put_writes(*args)


async def test_a_run_that_was_cut_off_as_it_began_is_none_and_may_be_solved() -> None:
    kept = CutOff()
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(RIGHT), memory="off", checkpointer=kept
    )
    with pytest.raises(OSError, match="power cut"):
        agent.solve(QUESTION, thread_id="t")
    kept.on = True
    with pytest.raises(InputError, match="no run 't'"):
        agent.result("t")
    assert (await agent.asolve(QUESTION, thread_id="t")).answer == "25"
    with pytest.raises(InputError, match="has a run already"):
        agent.solve(QUESTION, thread_id="t")


@pytest.mark.parametrize("odd", [None, ["x"], 7])
@pytest.mark.parametrize("form", ["dict", "list of dicts", "pair"])
def test_content_that_is_none_is_named_where_the_graph_is_given_it(odd: Any, form: str) -> None:
    content = [{"type": "text", "text": QUESTION}, odd]
    message: Any = ("user", content) if form == "pair" else {"role": "user", "content": content}
    agent = ReasoningAgent.open(reasoner=ScriptedChatModel.of(RIGHT), memory="off")
    with pytest.raises(InputError, match="content block must be text or a dict, got"):
        agent.graph.invoke(
            {"messages": message if form == "dict" else [message]},
            {"configurable": {"thread_id": "t"}},
        )
