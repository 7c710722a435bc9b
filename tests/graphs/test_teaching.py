"""Right solutions from outside: asked for once, checked, kept, and shown to the next of their kind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from pydantic import TypeAdapter

from tests.memory_store.conftest import index_config
from tests.scripts import QUESTION, RELATED_QUESTION, RIGHT, WRONG, nothing, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.nodes.events import Event
from vitarmm_agent.problem import Attempt, Feedback, Problem


@pytest.fixture
def memory(tmp_path: Path) -> ReasoningMemory:
    store, journal = InMemoryStore(index=index_config()), Journal(tmp_path / "journal.sqlite")
    return ReasoningMemory(store, ("team", "agent"), journal=journal)


def open_agent(folder: Path, *replies: str, **options: Any) -> ReasoningAgent:
    reasoner = script(folder / "reasoner.json", *replies)
    given = {"feedback": "arithmetic", "rmm": script(folder / "rmm.json", *[nothing()] * 9)}
    return ReasoningAgent.open(reasoner=reasoner, **given | options)


def examples(memory: ReasoningMemory) -> list[MemoryEntry]:
    return [entry for entry in memory.list() if entry.example]


def test_what_a_teacher_solves_is_shown_to_the_next_of_its_kind(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    teacher = script(tmp_path / "teacher.json", RIGHT)
    agent = open_agent(tmp_path, WRONG, RIGHT, memory=memory, teacher=teacher, max_iterations=1)
    problem = Problem(text=QUESTION, id="square", reference="25")
    result = agent.solve(problem, thread_id="first")
    assert (result.answer, result.status) == ("36", "failed"), "the answer stays the run's own"
    assert result.taught is not None and result.taught.solution is not None
    assert result.taught.solution.answer == "25" and not result.taught.note
    assert result.usage.calls >= 2
    (entry,) = examples(memory)
    assert entry.example is not None
    assert entry.example.steps == ("The side is 20 / 4 = 5 cm.", "The area is 5 * 5 = 25.")
    assert (entry.example.answer, entry.provenance.verifier) == ("25", "teacher")
    assert (entry.provenance.run, entry.provenance.problem_id) == ("first", "square")
    second = agent.solve(RELATED_QUESTION.replace("its area?", "its area in square centimeters?"))
    assert second.attempts[0].recalled == (entry.id,)
    assert second.attempts[0].prompt[2]["content"] == RIGHT
    assert second.taught is None, "shown an example, and nothing found fault with it"
    assert agent.result("first").taught == result.taught, "it is in the trace"
    memory.undo("first")
    assert not examples(memory)


def test_the_rule_keeps_one_entry_of_a_solution_whoever_gave_it(tmp_path: Path) -> None:
    """The run's own after a fail, a person's with the verdict or later, a teacher's, a first pass."""
    person = {"verdict": "fail", "solution": RIGHT, "by": "Ann"}
    squared = "1. The area is 20 * 20 = 400.\nAnswer: 400"
    problem = Problem(text=QUESTION, reference="25")
    ways: dict[str, dict[str, Any]] = {
        "itself": {"max_iterations": 2},
        "Ann": {},
        "a teacher": {"teacher": lambda _: RIGHT},
        "at once": {},
    }
    for way, options in ways.items():
        memory = ReasoningMemory(InMemoryStore(index=index_config()))
        given = {"max_iterations": 1, "oracle": True, "feedback": "reference", "rmm": "rule"}
        replies = (RIGHT,) if way == "at once" else (squared, RIGHT)
        agent = open_agent(tmp_path, *replies, memory=memory, **given | options)
        result = agent.solve(problem, thread_id=way)
        if way == "Ann":
            agent.judge(way, **person)
        (entry,) = memory.list()
        assert entry.example is not None, way
        assert entry.example.steps == ("The side is 20 / 4 = 5 cm.", "The area is 5 * 5 = 25.")
        assert entry.applies_when == "square perimeter cm area square centimeters", way
        assert entry.content == "Worked example: square perimeter cm area square centimeters.", way
        assert entry.entry_type == "insight"
        assert result.usage.calls == len(result.attempts), "the rule asks no model"


def test_numbers_copied_from_the_example_are_put_right(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    """And the example is not blamed for them."""
    copied = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
    rest = " / 4 = 9 cm.\n2. The area is 9 * 9 = 81.\nAnswer: 81"
    agent = open_agent(tmp_path, RIGHT, copied, rest, memory=memory, feedback="arithmetic,borrowed")
    agent.solve(QUESTION, thread_id="first")
    agent.teach("first", RIGHT)
    (entry,) = examples(memory)
    result = agent.solve(QUESTION.replace("20", "36"), thread_id="second")
    assert result.attempts[0].recalled == (entry.id,)
    assert result.feedback[0].message == "20 is the example's number; here it is 36."
    assert result.feedback[0].mended == "1. The side is 36"
    assert result.answer == "81"
    (after,) = examples(memory)
    assert (after.helpful, after.harmful) == (0, 0)


def test_the_teacher_is_not_shown_the_gold_answer(tmp_path: Path, memory: ReasoningMemory) -> None:
    seen: list[Problem] = []

    def ask(problem: Problem) -> str:
        seen.append(problem)
        return RIGHT

    agent = open_agent(tmp_path, WRONG, memory=memory, teacher=ask, max_iterations=1)
    problem = Problem(text=QUESTION, reference="gold", metadata={"solution": "gold"})
    result = agent.solve(problem)
    assert result.taught is not None and result.taught.by == "ask"
    assert seen[0].reference is None and not seen[0].metadata


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (WRONG, "20 / 4 = 6"),
        ("I cannot help with that.", "refused"),
        ("Answer: 25", "steps"),
        ("", "the reply is empty"),
    ],
)
def test_a_solution_that_is_none_is_not_kept(
    tmp_path: Path, memory: ReasoningMemory, said: str, why: str
) -> None:
    teacher = script(tmp_path / "teacher.json", said)
    agent = open_agent(tmp_path, WRONG, memory=memory, teacher=teacher, max_iterations=1)
    taught = agent.solve(QUESTION).taught
    assert taught is not None and why in taught.note and not taught.operations
    assert not examples(memory)


def test_a_teacher_that_will_not_or_cannot_leaves_the_answer(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    declines = ScriptedChatModel.of({"error": "refuse"})
    for teacher, why in ((declines, "declined to answer"), (lambda _: None, "knows no solution")):
        agent = open_agent(tmp_path, WRONG, memory=memory, teacher=teacher, max_iterations=1)
        result = agent.solve(QUESTION)
        assert (result.answer, result.status) == ("36", "failed")
        assert result.taught is not None and why in result.taught.note
    assert not examples(memory)


def test_an_oracle_run_checks_the_teacher_against_the_reference(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    teacher = script(tmp_path / "teacher.json", RIGHT)
    options = {"memory": memory, "teacher": teacher, "max_iterations": 1, "oracle": True}
    agent = open_agent(tmp_path, WRONG, **options)
    taught = agent.solve(Problem(text=QUESTION, reference="26")).taught
    assert taught is not None and taught.note and not examples(memory)


def test_a_budget_bounds_the_questions(tmp_path: Path, memory: ReasoningMemory) -> None:
    asked: list[str] = []
    agent = open_agent(
        tmp_path,
        *[WRONG] * 3,
        memory=memory,
        teacher=lambda problem: asked.append(problem.text) or RIGHT,
        teacher_calls=1,
        max_iterations=1,
    )
    texts = [QUESTION, "Tom has 3 apples and eats 1. How many are left?", "How far is it to Rome?"]
    results = agent.batch(texts, max_concurrency=1)
    assert len(asked) == 1
    assert results[2].taught is not None and "often as it may be (1)" in results[2].taught.note


def test_a_run_that_passes_asks_nobody(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(
        tmp_path, RIGHT, memory=memory, teacher=lambda _: pytest.fail("asked"), oracle=True
    )
    assert agent.solve(Problem(text=QUESTION, reference="25")).taught is None


@pytest.mark.parametrize(("verified", "kept"), [("arithmetic,reference", 1), ("arithmetic", 0)])
def test_its_own_solution_of_what_it_got_wrong_is_kept(
    tmp_path: Path, memory: ReasoningMemory, verified: str, kept: int
) -> None:
    """After a fail, when what passed it is to be believed; no verdict is no pass."""
    oracle = "reference" in verified
    agent = open_agent(tmp_path, WRONG, RIGHT, memory=memory, feedback=verified, oracle=oracle)
    result = agent.solve(Problem(text=QUESTION, reference="25"))
    assert [attempt.answer for attempt in result.attempts] == ["36", "25"]
    assert [entry.provenance.attempt for entry in examples(memory)] == [2] * kept
    assert all("reference" in entry.example.verified_by for entry in examples(memory))


def test_killed_while_it_waits_for_the_teacher_it_goes_on(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    answers = iter([KeyboardInterrupt(), RIGHT])

    def ask(_: Problem) -> str:
        answer = next(answers)
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        return answer

    agent = open_agent(tmp_path, WRONG, memory=memory, teacher=ask, max_iterations=1)
    with pytest.raises(KeyboardInterrupt):
        agent.solve(QUESTION, thread_id="t")
    assert agent.resume("t").taught is not None
    assert len(examples(memory)) == 1


async def test_events_end_with_the_stop(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory, teacher=lambda _: RIGHT, max_iterations=1)
    found = [event async for event in agent.astream(QUESTION, stream_mode="custom")]
    for event in found:
        assert TypeAdapter(Event).validate_python(event, strict=True, extra="forbid") == event
    events = [event["event"] for event in found]
    assert events[-3:] == ["written", "taught", "stopped_because"]
    assert events.count("stopped_because") == 1


def test_a_person_teaches_a_run(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory, max_iterations=1)
    agent.solve(Problem(text=QUESTION, id="square"), thread_id="t")
    taught = agent.teach("t", RIGHT, by="Ada")
    (entry,) = examples(memory)
    assert (entry.provenance.writer, entry.provenance.run) == ("Ada", "t")
    assert entry.example is not None and entry.example.verified_by == "person Ada"
    assert memory.recall(RELATED_QUESTION).entries
    memory.undo(taught.run)
    assert not examples(memory)
    asyncio.run(agent.ateach(Problem(text=RELATED_QUESTION), RIGHT))
    assert len(examples(memory)) == 1


def test_a_solution_in_a_verdict_is_checked_and_asked_for_again(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory, feedback="human", max_iterations=1)
    agent.solve(QUESTION, thread_id="t")
    for solution, why in ((WRONG, "20 / 4 = 6"), ("25", "must end in its answer")):
        waiting = agent.resume("t", {"verdict": "fail", "solution": solution})
        assert waiting.status == "interrupted" and not examples(memory)
        (asked,) = agent.graph.get_state({"configurable": {"thread_id": "t"}}).interrupts
        assert why in asked.value["fault"] and "solution" in asked.value["reply"]
    assert agent.resume("t", {"verdict": "fail", "solution": RIGHT}).status == "failed"
    (entry,) = examples(memory)
    assert (entry.provenance.verifier, entry.provenance.writer) == ("human", "")


OTHERS_ANSWER = {"text": QUESTION, "reference": "36"}


def test_a_solution_agrees_with_the_answer_that_the_problem_came_with(
    tmp_path: Path, memory: ReasoningMemory
) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory, feedback="human", max_iterations=1)
    agent.solve(OTHERS_ANSWER, thread_id="t")
    (record,) = agent.resume("t", {"verdict": "fail", "solution": RIGHT}).written
    assert "with the answer '36'" in record.note
    for told in (
        lambda: agent.judge("t", "fail", solution=RIGHT),
        lambda: agent.teach("t", RIGHT),
    ):
        with pytest.raises(InputError, match="answer is '25', .* with the answer '36'"):
            told()
    assert not examples(memory)


@pytest.mark.parametrize(
    ("problem", "solution", "why"),
    [(QUESTION, WRONG, "20 / 4 = 6"), (OTHERS_ANSWER, RIGHT, "with the answer '36'")],
)
def test_a_verifier_that_gives_a_wrong_solution_teaches_nothing(
    tmp_path: Path, memory: ReasoningMemory, problem: Any, solution: str, why: str
) -> None:
    class Colleague:
        name = "colleague"

        def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
            yield from ()
            return Feedback(verdict="fail", source=self.name, message="No.", solution=solution)

    agent = open_agent(tmp_path, WRONG, memory=memory, feedback=[Colleague()], max_iterations=1)
    (record,) = agent.solve(problem).written
    assert why in record.note and not examples(memory)


@pytest.mark.parametrize(
    ("solution", "steps"),
    [
        (
            "48/2=<<48/2=24>>24 are left each day.\n24*3=<<24*3=72>>72\n#### 72",
            ("48/2=24 are left each day.", "24*3=72"),
        ),
        ("48/2=24 <<48/2=24\n24*3=<<24*3=72>>72\n#### 72", ("48/2=24", "24*3=72")),
        ("每天剩 48 / 2 = 24 个。\n24 * 3 = 72\n答案：72", ("每天剩 48 / 2 = 24 个。", "24 * 3 = 72")),
        ("48 / 2 = 24, and 24 * 3 = 72. Answer: 72", ("48 / 2 = 24, and 24 * 3 = 72.",)),
    ],
)  # fmt: skip
def test_a_solution_is_shown_without_notes_and_with_one_answer(
    tmp_path: Path, memory: ReasoningMemory, solution: str, steps: tuple[str, ...]
) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory)
    rolls = "A baker makes 48 rolls a day and sells half. How many are left after 3 days?"
    agent.teach(Problem(text=rolls), solution)
    (entry,) = memory.list()
    assert entry.example is not None
    assert (entry.example.steps, entry.example.answer) == (steps, "72")
    assert "<<" not in entry.content


def test_a_person_is_told_what_is_wrong(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(tmp_path, WRONG, memory=memory, max_iterations=1)
    with pytest.raises(InputError, match="no run 'nowhere'"):
        agent.teach("nowhere", RIGHT)
    agent.solve(QUESTION, thread_id="t")
    with pytest.raises(InputError, match="20 / 4 = 6"):
        agent.teach("t", WRONG)
    for problem, solution, why in (
        ("t", None, "a solution is a text"),
        ({"text": ""}, RIGHT, "problem cannot be used"),
        (
            {"text": "Which?", "choices": ["3", "4"]},
            "1. 2 + 2 = 4\nAnswer: E",
            "of the kind that is",
        ),
        ({"text": QUESTION, "reference": "36"}, RIGHT, "answer is '25', .* with the answer '36'"),
        ("t", f"1. {'word ' * 900}= 4\nAnswer: 4", "less than 4,000 characters"),
    ):
        with pytest.raises(InputError, match=why):
            agent.teach(problem, solution)
    assert not examples(memory)
    kept = agent.teach({"text": QUESTION}, RIGHT, by="\n").operations[0]["entry"]
    assert kept["example"]["verified_by"] == kept["provenance"]["writer"] == "a person"
    with pytest.raises(InputError, match="last line 'Answer: …'"):
        agent.teach("t", "It is easy.")
    off = open_agent(tmp_path, WRONG, memory="off")
    with pytest.raises(InputError, match="memory is off"):
        off.teach("t", RIGHT)


def test_nobody_teaches_from_anothers_run(tmp_path: Path) -> None:
    store = InMemoryStore(index=index_config())
    memory = ReasoningMemory(store, ("team", "{user_id}"))
    agent = open_agent(tmp_path, WRONG, memory=memory, max_iterations=1)
    agent.solve(QUESTION, thread_id="t", configurable={"user_id": "ada"})
    with pytest.raises(InputError, match="stays with whom"):
        agent.teach("t", RIGHT, configurable={"user_id": "eve"})
    agent.teach("t", RIGHT, configurable={"user_id": "ada"})
    assert len(examples(memory.with_namespace(("team", "ada")))) == 1


def test_a_verdict_may_bring_the_solution(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(tmp_path, WRONG, RIGHT, memory=memory, feedback="human")
    assert agent.solve(QUESTION, thread_id="t").status == "interrupted"
    agent.resume("t", {"verdict": "fail", "message": "The side is 5.", "solution": RIGHT})
    (entry,) = examples(memory)
    assert entry.example is not None and entry.example.answer == "25"
    assert entry.provenance.verifier == "human"


def test_the_rule_writes_what_a_person_solved(tmp_path: Path, memory: ReasoningMemory) -> None:
    agent = open_agent(tmp_path, WRONG, RIGHT, memory=memory, feedback="human", rmm="rule")
    agent.solve(QUESTION, thread_id="t")
    agent.resume("t", {"verdict": "fail", "message": "The side is 5.", "solution": RIGHT})
    (entry,) = memory.list()
    assert entry.example is not None and entry.provenance.verifier == "human"


def test_the_command_line_teaches(
    tmp_path: Path, own_data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = script(tmp_path / "wrong.json", WRONG)
    writer = script(tmp_path / "rmm.json", *[nothing()] * 3)
    solving = ["--feedback", "arithmetic", "--max-iterations", "1", "--rmm", writer]
    assert run_app(["solve", QUESTION, "--reasoner", wrong, *solving, "--thread", "t"]) == 0
    assert run_app(["teach", "t", "--solution", RIGHT, "--by", "Ada"]) == 0
    assert "memory undo" in capsys.readouterr().out
    right = script(tmp_path / "right.json", RIGHT)
    again = [*solving, "--thread", "u", "--json"]
    assert run_app(["solve", RELATED_QUESTION, "--reasoner", right, *again]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["recalled"][0]["entries"][0]["as_example"]
    teacher = script(tmp_path / "teacher.json", RIGHT)
    other = "How far is it from Rome to Naples by train?"
    arguments = ["--reasoner", wrong, *solving, "--teacher", teacher, "--thread", "v"]
    assert run_app(["solve", other, *arguments]) == 0
    assert "● teach" in capsys.readouterr().out
    assert run_app(["trace", "show", "v"]) == 0
    assert "● teach" in capsys.readouterr().out
    assert run_app(["teach", "--solution", RIGHT]) == 2
    assert run_app(["teach", "t", "--solution", "none"]) == 2
    elsewhere = ["--namespace", "team/a", "--memory", str(tmp_path / "elsewhere")]
    assert (
        run_app(["solve", QUESTION, "--reasoner", wrong, *solving, *elsewhere, "--thread", "w"])
        == 0
    )
    capsys.readouterr()
    for given in ([], elsewhere[:2], elsewhere[2:], ["--namespace", "team/b", *elsewhere[2:]]):
        assert run_app(["teach", "w", "--solution", RIGHT, *given]) == 2
        assert "team" in (said := capsys.readouterr().err) or "elsewhere" in said
    assert run_app(["teach", "w", "--solution", RIGHT, *elsewhere]) == 0
