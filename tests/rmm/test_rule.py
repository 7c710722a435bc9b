"""The rule as a memory writer: no model, a right solution as a worked example in the asked form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vitarmm_agent.answers import parse_steps
from vitarmm_agent.cli.doctor_models import roles
from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.make_deps import writer_of
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem, StepError
from vitarmm_agent.rmm.audit import leak_of
from vitarmm_agent.rmm.form import faults_of, says_what_not, steps_of
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers
from vitarmm_agent.rmm.letters import in_letters
from vitarmm_agent.rmm.rule import RuleWriter
from vitarmm_agent.rmm.schema import parse_output
from vitarmm_agent.rmm.writer import MemoryWriter, WriterDecision, decision_messages
from vitarmm_agent.settings import Settings
from vitarmm_agent.verifiers.solution import solution_of

TEXT = (
    "Ken buys gummy vitamins. They are usually $20.00 per bottle at his grocery store, but they are "
    "currently 30% off. On top of that, he has 6 $3.00 coupons. How much will 6 bottles cost Ken?"
)
SOLUTION = """1. The vitamins are 30% off so that's 20*0.30 = $6.00 off.
2. Each bottle is now 20.00-6 = $14.00.
3. The coupons of Ken: 6*3 = $18.00 in coupons.
4. He buys 6 bottles so that's 6*14 = $84.00.
5. His vitamins will now cost 84-18 = $66.00.
Answer: 66"""
WRONG = "1. Each bottle is 20 - 3 = 17.\n2. 6 * 17 = 102\nAnswer: 102"
PROBLEM = Problem(text=TEXT, reference="66")
RIGHT = solution_of(PROBLEM, SOLUTION)
FAILED = Attempt(number=1, text=WRONG, steps=parse_steps(WRONG), answer="102")
FAIL = Feedback(verdict="fail", source="reference", message="The answer is wrong.")
PASS = Feedback(verdict="pass", source="reference")


def decide(*verdicts: Feedback, **options: Any) -> WriterDecision:
    attempts = [RIGHT if verdict.verdict == "pass" else FAILED for verdict in verdicts]
    given = {"related": [], "provenance": Provenance(verifier="reference"), **options}
    return run(RuleWriter().decide(PROBLEM, attempts, verdicts, **given))


def entry_of(decision: WriterDecision) -> MemoryEntry:
    (operation,) = decision.operations
    assert operation.kind == "add" and operation.entry is not None
    return operation.entry


def test_a_right_solution_is_cut_into_the_asked_form() -> None:
    entry = entry_of(decide(PASS))
    assert entry.content == (
        "1. X * Y% = V (off).\n"
        "2. X - V = U (each bottle now).\n"
        "3. Z * W = T (coupons).\n"
        "4. Z * U = S.\n"
        "5. S - T = R (vitamins now cost)."
    )
    assert entry.title == "Z bottles cost"
    assert entry.applies_when.startswith("buys gummy vitamins usually X per bottle grocery store")
    assert "Ken" not in f"{entry.title} {entry.applies_when} {entry.content}"
    assert faults_of(entry) == () and leak_of(str(entry), PROBLEM) is None
    assert entry.entry_type == "insight"
    assert entry.example is not None and entry.example.problem == TEXT
    assert (entry.example.answer, entry.example.verified_by) == ("66", "reference")
    assert entry.example.steps[2] == "The coupons of Ken: 6*3 = $18.00 in coupons."


def test_a_wrong_attempt_makes_it_a_correction_that_says_what_not() -> None:
    for decision in (decide(FAIL, PASS), decide(FAIL, solution=RIGHT)):
        entry = entry_of(decision)
        assert entry.entry_type == "correction" and says_what_not(entry.content)
        assert steps_of(entry.content)[-1] == "Do not calculate X - W."


def test_nothing_is_kept_where_nothing_was_learned() -> None:
    assert decide(FAIL).operations == () and decide(FAIL).failure is None
    judged = Feedback(verdict="pass", source="judge", precision=0.6)
    assert decide(judged).operations == ()  # a judge that is often wrong
    assert decide(judged.model_copy(update={"precision": 0.96})).operations
    bare = Attempt(number=1, text="Answer: 66", steps=parse_steps("Answer: 66"), answer="66")
    assert decide(FAIL, solution=bare).operations == ()
    sum_up = Problem(text="Ann has 5 pens, and buys 3 more. How many?")
    many = "\n".join(f"{n}. {n} + 1 = {n + 1}" for n in range(1, 9))
    assert in_letters(sum_up, solution_of(sum_up, f"{many}\nAnswer: 9")) is None
    with pytest.raises(ValueError, match="verdict"):
        decide(Feedback(verdict="abstain", source="judge"))


def test_what_memory_says_already_is_not_written_again() -> None:
    old = entry_of(decide(PASS))
    (said,) = decide(PASS, related=[old]).operations
    assert said.kind == "none" and old.id in said.reason
    (said,) = decide(PASS, recalled=[old]).operations
    assert said.kind == "none"
    as_text = old.model_copy(update={"example": None})
    (said,) = decide(PASS, related=[as_text]).operations
    assert said.kind == "add"  # the same in words is less


def test_its_answer_is_one_that_a_model_may_give() -> None:
    decision = decide(FAIL, solution=RIGHT)
    (read,) = parse_output(json.loads(decision.raw), [], Provenance())
    assert read.entry is not None and read.entry.content == entry_of(decision).content
    general = without_numbers(read.entry, own_numbers(PROBLEM, FAILED, RIGHT))
    assert (
        general is not None and general.content == read.entry.content
    )  # step numbers are no numbers


def test_it_is_named_in_place_of_a_model() -> None:
    solver = ScriptedChatModel.of()
    writer = writer_of("rule", solver, Settings.load())
    assert isinstance(writer, RuleWriter) and writer.name == "rule"
    chosen = writer_of(None, solver, Settings.load(rmm="rule"))
    assert isinstance(chosen, RuleWriter)
    with pytest.raises(InputError, match="unknown model 'rules'"):
        writer_of("rules", solver, Settings.load())


def test_a_local_reasoner_is_asked_for_no_memory_unless_it_is_named() -> None:
    solver, settings = ScriptedChatModel.of(), Settings.load()
    for reasoner, kind in (
        (None, RuleWriter),  # the default one
        ("local:some-weights", RuleWriter),
        ("openai:gpt-5", MemoryWriter),
        (solver, MemoryWriter),
    ):
        assert type(writer_of(None, solver, settings, reasoner)) is kind, reasoner
    assert type(writer_of(solver, solver, settings, "local:some-weights")) is MemoryWriter
    assert roles(settings) == {settings.reasoner: ["reasoner"]}
    local = settings.model_copy(update={"rmm": settings.reasoner})
    assert roles(local) == {settings.reasoner: ["reasoner", "memory writer"]}
    hosted = settings.model_copy(update={"reasoner": "openai:gpt-5"})
    assert roles(hosted) == {"openai:gpt-5": ["reasoner", "memory writer"]}


def test_a_model_is_shown_the_solution_of_what_failed() -> None:
    wrong_step = FAIL.model_copy(update={"errors": (StepError(step=1, message="Not 17."),)})
    text = decision_messages(PROBLEM, [FAILED], [wrong_step], [], solution=RIGHT)[1].text
    assert "A right solution:\n1. The vitamins are 30% off" in text
    assert "solution" not in decision_messages(PROBLEM, [FAILED], [wrong_step], [])[1].text


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("Let's square the side.", "chatter"),
        ("Square the side. It is important to check this.", "chatter"),
        ("This attempt forgot to square.", "chatter"),
        ("Square the side. " * 30, "too long"),
        ("Add. " * 8, "too many steps"),
        ("Square the side and then " * 8, "long step"),
    ],
)
def test_what_leaves_the_form_is_named(content: str, fault: str) -> None:
    entry = MemoryEntry(
        entry_type="insight", title="Area", applies_when="a side is given", content=content
    )
    assert fault in faults_of(entry)
    plain = entry.model_copy(update={"content": "Square the side.", "title": ""})
    assert faults_of(plain) == ("no title",)


def test_latex_is_read_and_said_once() -> None:
    text = "There are 6 dogs, and half stand on 2 legs, the others on all 4. How many paws?"
    told = (
        "1. Dogs on two legs: \\( \\frac{6}{2} = 3 \\).\n2. Others: \\( \\frac{6}{2} = 3 \\).\n"
        "3. \\( 3 \\times 2 + 3 \\times 4 = 18 \\) paws\nAnswer: 18"
    )
    dogs = Problem(text=text)
    entry = in_letters(dogs, solution_of(dogs, told))
    assert entry is not None
    assert entry.content == "1. X / Y = W (dogs legs).\n2. W * Y + W * Z = V (paws)."
