from __future__ import annotations

from tests.scripts import QUESTION, RIGHT
from vitarmm_agent.answers import parse_steps
from vitarmm_agent.effects import run
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.rmm import MemoryWriter
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers

PROBLEM = Problem(text=QUESTION)
ATTEMPT = Attempt(number=1, text=RIGHT, steps=parse_steps(RIGHT), answer="25")
NUMBERS = own_numbers(PROBLEM, ATTEMPT)


def entry(content: str, condition: str = "a square has a perimeter of 20 cm") -> MemoryEntry:
    return MemoryEntry(
        entry_type="fact", title="Perimeter 20", applies_when=condition, content=content
    )


def test_the_numbers_of_a_problem_are_given_computed_or_its_answer() -> None:
    assert NUMBERS == {"20", "5", "25"}


def test_sentences_with_them_are_left_out_and_constants_stay() -> None:
    general = without_numbers(
        entry("The perimeter is 4 times the side. Here 4s = 20. So the side is 5. Then square it."),
        NUMBERS,
    )
    assert general is not None
    assert general.content == "The perimeter is 4 times the side. Then square it."
    assert general.applies_when == "a square has a perimeter of N cm"
    assert general.title == "Perimeter N"


def test_numbers_count_however_they_are_written() -> None:
    problem = Problem(text="Twenty pens cost 3/4 of 60 dollars. What do 1,500 cost?")
    numbers = own_numbers(problem, Attempt(number=1, text="", answer="1125"))
    assert numbers == {"20", "3/4", "60", "1500", "1125"}
    general = without_numbers(
        entry("Divide by the twenty pens. Take three quarters. One of both. A square has 4 sides. "
              "That is sixty. A price of 1500.0 comes out.", "one buys twenty of 1500 pens"),
        numbers,
    )  # fmt: skip
    assert general is not None
    assert general.content == "One of both. A square has 4 sides."
    assert general.applies_when == "one buys N of N pens"


def test_a_content_of_nothing_else_is_no_lesson() -> None:
    assert without_numbers(entry("The area is 25."), NUMBERS) is None
    assert without_numbers(entry("Square the side."), NUMBERS) is not None


def test_the_writer_is_asked_again_and_then_the_failure_is_recorded() -> None:
    reply = {
        "operations": [
            {"kind": "add", "title": "Area", "applies_when": "", "content": "The area is 25."}
        ]
    }
    model = ScriptedChatModel.of({"structured": reply}, {"structured": reply})
    feedback = Feedback(verdict="pass", source="judge")
    decision = run(MemoryWriter(model).decide(PROBLEM, [ATTEMPT], [feedback], [], Provenance()))
    assert decision.operations == () and "own numbers" in str(decision.failure)
    assert "own numbers" in str(model.calls[1].messages[-1].content)
