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
from vitarmm_agent.rmm.form import faults_of
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers
from vitarmm_agent.rmm.key_words import key_words
from vitarmm_agent.rmm.rule import RuleWriter
from vitarmm_agent.rmm.schema import parse_output
from vitarmm_agent.rmm.worked import worked_entry
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


def test_an_entry_says_its_problem_in_key_words_and_holds_the_solution() -> None:
    for decision in (decide(PASS), decide(FAIL, PASS), decide(FAIL, solution=RIGHT)):
        entry = entry_of(decision)
        words = "buys gummy vitamins usually per bottle grocery store currently off top coupons"
        assert entry.title == words
        assert entry.applies_when == f"{words} bottles cost"
        assert entry.content == f"Worked example: {words}."
        assert faults_of(entry) == () and leak_of(str(entry), PROBLEM) is None
        assert entry.entry_type == "insight", "what a failed attempt did is not known to be wrong"
        assert entry.example is not None and entry.example.problem == TEXT
        assert (entry.example.answer, entry.example.verified_by) == ("66", "reference")
        assert entry.example.steps[2] == "The coupons of Ken: 6*3 = $18.00 in coupons."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Rose and Mark share 9 apples as the rose mark says.", "share apples rose mark says"),
        ("JOHN SMITH PAYS 3 DOLLARS FOR 4 PENS EACH. TOTAL?", ""),
        ("Call ann@example.com at +49 170 1234567. She buys 3 books.", "buys books"),
        ("See https://bank.example/acct?id=DE8937 : 3 accounts.", "accounts"),
        ("小明有3个苹果,小红有4个苹果。一共有多少个苹果?", ""),
        (
            "Eggs sell for $2. Total? At 9:30, Ann's hens lay twenty-five eggs.",
            "sell hens lay eggs",
        ),
        ("| item | price |\n|---|---|\n| pens | 3 |", "item price pens"),
        ("Er hat 12'500 Fr. und gibt 1.250,50 aus.", "hat und gibt aus"),
        ("Light travels 3e8 m/s. Let X be 2² and y 1,25,000.", "travels"),
        ("12% of 50 new-born calves, and two of the calves, eat.", "new-born calves calves eat"),
    ],
)
def test_key_words_are_no_names_numbers_or_addresses(text: str, words: str) -> None:
    assert key_words(text, 200) == words


def test_where_there_are_no_key_words_the_entry_says_what_it_is() -> None:
    prose = Problem(text="Where is Paris, on the Seine or on the Rhine?")
    solution = solution_of(prose, "1. Paris lies on the Seine.\nAnswer: Seine")
    entry = worked_entry(prose, solution, verified_by="Ann", provenance=Provenance())
    assert (entry.title, entry.applies_when) == ("Worked example", "")
    assert entry.content == "Worked example."


def test_nothing_is_kept_where_nothing_was_learned() -> None:
    assert decide(FAIL).operations == () and decide(FAIL).failure is None
    judged = Feedback(verdict="pass", source="judge", precision=0.6)
    assert decide(judged).operations == ()  # a judge that is often wrong
    assert decide(judged.model_copy(update={"precision": 0.96})).operations
    bare = Attempt(number=1, text="Answer: 66", steps=parse_steps("Answer: 66"), answer="66")
    assert decide(FAIL, solution=bare).operations == ()
    with pytest.raises(ValueError, match="verdict"):
        decide(Feedback(verdict="abstain", source="judge"))


def test_what_memory_says_already_is_not_written_again() -> None:
    old = entry_of(decide(PASS))
    (said,) = decide(PASS, related=[old]).operations
    assert said.kind == "none" and old.id in said.reason
    (said,) = decide(PASS, recalled=[old]).operations
    assert said.kind == "none"
    assert old.example is not None
    cheaper = {"problem": TEXT.replace("$20.00", "$30.00"), "answer": "108"}
    steps = [line.replace("20", "30").replace("66", "108") for line in old.example.steps]
    sibling = old.example.model_copy(update=cheaper | {"steps": tuple(steps)})
    (said,) = decide(PASS, related=[old.model_copy(update={"example": sibling})]).operations
    assert said.kind == "none", "with other numbers it says the same"
    in_words = old.example.model_copy(update={"steps": ("Take off a third, then the coupons.",)})
    (said,) = decide(PASS, related=[old.model_copy(update={"example": in_words})]).operations
    assert said.kind == "add", "another solution replaces it"
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
