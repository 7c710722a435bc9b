"""A right solution in general words: cut into the form that writers are asked for. Pure.

Numbers of the problem and results of its steps become letters, in title, condition and steps alike;
names are left out. Of each step its calculation stays, and the few words beside it. A calculation of a
wrong attempt that no right step makes is named as what not to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from vitarmm_agent.answers.equations import Equation, equations
from vitarmm_agent.answers.steps import is_final_line
from vitarmm_agent.memory_store.masking import CAPITAL, NOT_NAMES
from vitarmm_agent.numbers.finding import Found, numbers_in, replace_numbers
from vitarmm_agent.problem import Attempt, Problem
from vitarmm_agent.rmm.schema import CONDITION, CONTENT, TITLE

LETTERS = "XYZWVUTSRQPNMLKJHGFEDCB"
"""For numbers, in the order in which they are met; A, I and O are words or zero."""
MOST_STEPS = 6
ABOUT = 40
"""Characters of the words beside a calculation."""
_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_CLAUSE = re.compile(r"(?<=;) |, (?=\D)| (?:so|which means|that means|meaning that) ")
"""Between clauses, where spaces are single."""
_NUMERAL = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\d.]*[^\W\d_])")
_CALCULATED = re.compile(r"(?<![\d,.])\d[\d,.]*+%?(?:\s*+[-+*/x×÷=()]++\s*+[$€£¥]?\d[\d,.]*+%?)++")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_BRACKETS = re.compile(r"\((\w+%?)\)")
"""Around one number or letter, as a fraction in LaTeX is read."""
_IN_BRACKETS = re.compile(r"\([^()]*\)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+(?:\.\d+)?")
_EMPTY = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have he her hers "
    "him his how i if in is it its many more most much of on one or our she should so some someone "
    "than that the their them then there these they this those to was we were what when where which "
    "while who whose will with would you your".split()
)
"""Words that a condition can do without: what is left is nearer to its siblings, and less to others."""


class Lesson(NamedTuple):
    """What a solution teaches, in letters.

    Attributes:
        corrects: its content says what a wrong attempt did.
    """

    title: str
    applies_when: str
    content: str
    corrects: bool


def in_letters(problem: Problem, right: Attempt, wrong: Attempt | None = None) -> Lesson | None:
    """What a right solution teaches; None where it calculates nothing or does not fit into the form.

    Args:
        problem: what was solved.
        right: the solution.
        wrong: an attempt that failed before.
    """
    lines = [step.text for step in right.steps if not is_final_line(step.text)]
    clauses = [clause for line in lines for clause in _clauses(line)]
    read = [(clause, found[0]) for clause in clauses if (found := equations(clause))]
    try:
        letters = _Letters(problem, [equation for _, equation in read])
        steps = [short for one in read if (short := _short(*one, letters))]
    except _OutOfLettersError:
        return None
    if not steps or len(steps) > MOST_STEPS:
        return None
    numbered = [f"{number}. {step}." for number, step in enumerate(steps, start=1)]
    avoid = _wrong_turn(wrong, letters) if wrong else ""
    asked = _SENTENCE.split(problem.text.strip())[-1]
    lesson = Lesson(
        title=_cut(letters.keywords(asked), TITLE) or _cut(letters.keywords(problem.text), TITLE),
        applies_when=_cut(letters.keywords(problem.text), CONDITION),
        content="\n".join([*numbered, *([f"Do not calculate {avoid}."] if avoid else [])]),
        corrects=bool(avoid),
    )
    return lesson if lesson.applies_when and len(lesson.content) <= CONTENT else None


class _OutOfLettersError(Exception):
    """There are more numbers than letters."""


class _Letters:
    """A letter for each number that the problem gives and a step calculates with, or results in."""

    def __init__(self, problem: Problem, calculated: Sequence[Equation]) -> None:
        """Take the letters in the order in which the problem gives numbers and the steps compute."""
        used = {_value(n) for e in calculated for n in _NUMERAL.findall(e.left)}
        given = {abs(n.value): n.percent for n in numbers_in(problem.text)}
        self._free = iter(LETTERS)
        self._given: dict[Fraction, str] = {}
        self._percent: dict[Fraction, str] = {}
        for value, percent in given.items():
            if value in used or percent and value / 100 in used:
                self._given[value] = self._next()
                if percent:
                    self._percent[value / 100] = f"{self._given[value]}%"
        self._results: dict[Fraction, str] = {}
        self._unused: dict[Fraction, str] = {}
        lower = set(re.findall(r"\b[a-z]+\b", problem.text))
        capital = (w for w in CAPITAL.findall(problem.text) if w not in NOT_NAMES)
        self._names = {word for word in capital if word.lower() not in lower}
        self.calculations: list[str] = []

    def calculation(self, equation: Equation) -> str:
        """One in letters; its result gets the next one, and has it in what is calculated later.

        Nothing, where the same was calculated before.

        Raises:
            _OutOfLettersError: there are more numbers than letters.
        """
        left, value = self.side(equation.left), abs(equation.value)
        if _spaceless(left) in self.calculations:
            return ""
        self.calculations.append(_spaceless(left))
        self._results[value] = self._unused[value] = self._next()
        return f"{left} = {self._results[value]}"

    def side(self, text: str) -> str:
        """A side of an equation in letters; constants stay.

        Where two have one value, it is the result that was not used yet, else what the problem gives.
        """

        def letter(match: re.Match[str]) -> str:
            value = _value(match[0])
            places = (self._unused, self._given, self._results, self._percent)
            found = next((place[value] for place in places if value in place), match[0])
            self._unused.pop(value, None)
            return found

        plain = re.sub(r"[$€£¥]", "", text)
        said = _BRACKETS.sub(r"\1", _NUMERAL.sub(letter, plain).replace("%%", "%"))
        return said[1:-1] if _IN_BRACKETS.fullmatch(said) else said

    def _next(self) -> str:
        letter = next(self._free, None)
        if letter is None:
            raise _OutOfLettersError
        return letter

    def keywords(self, text: str) -> str:
        """The words of a text that say what it is about, without names and other numbers."""
        plain = CAPITAL.sub(lambda m: "" if m[0] in self._names else m[0], text)
        plain = replace_numbers(plain, self._letter).replace("’", "'")
        words = (w.removesuffix("'s") for w in _WORD.findall(plain))
        said = (w if w in LETTERS else w.lower() for w in words)
        return " ".join(w for w in said if w in LETTERS or len(w) > 1 and w not in _EMPTY)

    def _letter(self, found: Found) -> str | None:
        return self._given.get(abs(found.value), None if found.spelled else "")


def _clauses(line: str) -> Iterator[str]:
    parts = (" ".join(part.split()) for part in line.replace("**", "").splitlines())
    return (c for part in parts for s in _SENTENCE.split(part) for c in _CLAUSE.split(s))


def _short(clause: str, equation: Equation, letters: _Letters) -> str:
    """The calculation of a clause in letters, with the few words beside it; nothing, if it is there already."""
    calculated = letters.calculation(equation)
    words = letters.keywords(_CALCULATED.sub(" ", _COMMAND.sub(" ", clause))).split()
    said = dict.fromkeys(word for word in words if word not in LETTERS)
    about = _cut(" ".join(said), ABOUT)
    return f"{calculated} ({about})" if calculated and about else calculated


def _wrong_turn(wrong: Attempt, letters: _Letters) -> str:
    """The first calculation of a wrong attempt that no right step makes, if all of it has a letter."""
    for equation in (e for step in wrong.steps for e in equations(step.text)):
        said = letters.side(equation.left)
        if _spaceless(said) not in letters.calculations and not re.search(r"\d", said):
            return said
    return ""


def _value(numeral: str) -> Fraction:
    return Fraction(numeral.replace(",", ""))


def _spaceless(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _cut(text: str, limit: int) -> str:
    """The text up to the last word that fits."""
    return text if len(text) <= limit else text[: limit + 1].rpartition(" ")[0]
