"""What a model or a stranger wrote is read in time that grows no faster than the text.

Patterns are found by themselves, and so is what to attack each with (``tests/growth.py``). Readers are
attacked whole, with pieces that their patterns look for, many times over.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

import pytest

from tests.growth import Used, grows_too_fast, patterns_of, too_slow
from tests.test_architecture import modules
from vitarmm_agent.answers import extract_answer, grade, parse_steps
from vitarmm_agent.answers.equations import equations
from vitarmm_agent.effects import run
from vitarmm_agent.evals.contamination import near_duplicates
from vitarmm_agent.evals.studies.rewriting import rewrite
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.relations import facts, relate
from vitarmm_agent.memory_store.schema import MAX_CONTENT, MemoryEntry
from vitarmm_agent.memory_store.untrusted import injection_signs, neutralise
from vitarmm_agent.numbers.finding import numbers_in
from vitarmm_agent.numbers.reading import parse_number
from vitarmm_agent.problem import Attempt, Problem, StepError
from vitarmm_agent.rmm.audit import leak_of
from vitarmm_agent.rmm.generalise import own_numbers, without_numbers
from vitarmm_agent.rmm.key_words import key_words
from vitarmm_agent.rmm.novelty import restated
from vitarmm_agent.verifiers import AnswerFollows, Arithmetic, ChoiceIsValid

pytestmark = pytest.mark.thorough

READ = ("answers", "verifiers", "rmm", "memory_store", "prompts", "evals", "numbers", "problem")
QUARTER = MAX_CONTENT // 5
BOUNDED = tuple(
    f"evals.datasets.{name}" for name in ("chains", "constants", "question_numbers", "retelling")
)
"""Read rows of bounded length only: see :data:`vitarmm_agent.evals.datasets.siblings.LONGEST`."""
PUT_TOGETHER = {
    "answers.choices", "answers.closed_form", "answers.denials", "rmm.audit", "memory_store.untrusted",
}  # fmt: skip
"""Modules with patterns that are put together at run time: readers below use them."""
PIECES = (
    " ", "\n", "\u00a0", "a", "1", "-", "km", "km ", "1,", "1 ", "1/", "= ", "1+", "x=", "(", "(x", "[",
    "{", "}", "$", "*", "**", "^", "^ {", "\\", "\\\\", "\\boxed{", "\\frac{", "\\frac", "\\sqrt{",
    "\\sqrt [", "\\circ", "\\text{", "\\begin{array}", "<<", "<<1=1>>", "####", "\nA:", "answer is ",
    "answer of ", "the answer to ", "is ", "so ", "(A) ", "A, ", "A. ", "one ", "one hundred ", "and ",
    "not ", "n't", "' ", "!", "%", "1e", "1 hundred ", ".5选项", "答案是", "Step 1: ", "1.\n", "![", "`",
)  # fmt: skip
TEXT = Problem(text="q", reference="x+1")
NUMBER = Problem(text="q", answer_type="integer", reference="137")
SMALL = Problem(text="q", answer_type="integer", reference="5")
LIST = Problem(text="q", answer_type="list", reference="[1, 2]")
CHOICE = Problem(text="q", choices=(".5", "1", "red apples", "a"), reference="a")


@cache
def found() -> tuple[list[Used], list[str]]:
    names = [
        n for n in modules() if n.startswith(READ) and not n.startswith(("evals.speed", *BOUNDED))
    ]
    return patterns_of((importlib.import_module(f"vitarmm_agent.{n}"), modules()[n]) for n in names)


def test_all_patterns_are_seen() -> None:
    patterns, put_together = found()
    assert len(patterns) > 140
    assert {place.removeprefix("vitarmm_agent.").split(":")[0] for place in put_together} == (
        PUT_TOGETHER
    )


def test_no_pattern_grows_faster_than_its_text() -> None:
    assert [bad for used in found()[0] if (bad := too_slow(used))] == []


def entry(text: str) -> MemoryEntry:
    return MemoryEntry(
        entry_type="fact", applies_when=text[:400], content=text[:MAX_CONTENT] or "x"
    )


def attempt(text: str) -> Attempt:
    return Attempt(number=1, text=text, steps=parse_steps(text))


def checked(problem: Problem, text: str) -> None:
    for verifier in (Arithmetic(), AnswerFollows(), ChoiceIsValid()):
        run(verifier.check(problem, attempt(text)))


OLD = entry("Square the side, then add 12 to it.")
READERS: dict[str, Callable[[str], object]] = {
    "extract text": lambda text: extract_answer(TEXT, text),
    "extract number": lambda text: extract_answer(NUMBER, text),
    "extract list": lambda text: extract_answer(LIST, text),
    "extract choice": lambda text: extract_answer(CHOICE, text),
    "grade as MathVista does": lambda text: grade(CHOICE, text, policy="mathvista"),
    "grade as MATH-V does": lambda text: grade(TEXT, text, policy="mathv"),
    "number": lambda text: (parse_number(text), list(numbers_in(text, loose=True))),
    "steps": parse_steps,
    "equations": equations,
    "verifiers": lambda text: checked(CHOICE, text),
    "audit": lambda text: [leak_of(text, problem) for problem in (TEXT, NUMBER, SMALL, CHOICE)],
    "generalise": lambda text: without_numbers(entry(text), own_numbers(TEXT, attempt(text))),
    "consolidate": lambda text: (facts(text), relate(entry("y" + text), entry("z" + text), 0.99)),
    "rule": lambda text: key_words(text, 200),
    "novelty": lambda text: restated(entry(text), [OLD]),
    "untrusted": lambda text: (neutralise(text), injection_signs(entry(text[: MAX_CONTENT]))),
    "signature": lambda text: StepError(message="x", subject=text).signature,
    "rewrite": lambda text: (rewrite(text, 0), general(text)),
    "contamination": lambda text: near_duplicates([Problem(text=text)], [Problem(text=text + "x")]),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_grows_faster_than_its_text(reader: str) -> None:
    read = READERS[reader]
    bad = []
    for number, piece in enumerate(PIECES):
        head, tail = (("", "x"), ("The answer is 5", "(x"))[number % 2]

        def grown(size: int) -> object:
            return read(head + (piece * (size // len(piece) + 1))[:size] + tail)  # noqa: B023

        if grows_too_fast(grown, QUARTER, telling=0.06):
            bad.append(f"{head!r} + {piece!r} * … + {tail!r}")
    assert bad == []
