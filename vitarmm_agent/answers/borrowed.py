"""A number in a reply that is the worked example's, which it was shown, and not of its own problem.

Nothing is guessed: example and problem must be the same but for their numbers, so that each number
of the example has one in the problem that stands in its place. Where the reply also follows the
example's solution line by line, the same holds of what was calculated.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate
from vitarmm_agent.answers.restated import may_state
from vitarmm_agent.answers.steps import is_final_line
from vitarmm_agent.numbers.finding import ALONE, numbers_in, replace_numbers
from vitarmm_agent.numbers.reading import MYRIADS, UNSIGNED, literal, show
from vitarmm_agent.numbers.units import TOUCHING, dimension_of
from vitarmm_agent.problem import Problem

MAX_LENGTH = 40_000
MAX_PLACES = 4
MAX_LEFT = 400
"""Characters of a calculation that are read."""
COMMON = frozenset(map(Fraction, (0, 1, 2, 100)))
"""Numbers that may come from anywhere."""
CALENDAR = frozenset(map(Fraction, (5, 7, 12, 24, 28, 30, 31, 52, 60, 365, 366, 3600)))
"""Those that a problem about time may bring in without naming them."""
METRIC = frozenset(map(Fraction, (3, 4, 8, 10, 12, 16, 36, 1000, 5280)))
"""Those that measures may bring in."""
_SIGNS = {
    "*": "*", "×": "*", "·": "*", "x": "*", "\\times": "*", "\\cdot": "*",
    "/": "/", "÷": "/", "\\div": "/", "}{": "/", "frac{": "/ behind",
    "+": "+", "-": "-", "−": "-", "–": "-",
}  # fmt: skip
"""Signs before a number, and what each does with it: a dividend has its ``/`` behind it."""
_BULLET = re.compile(r"(?:^|\n)[ \t]*+[-*+–·][ \t]*+$")
_NUMERAL = re.compile(
    rf"(?:{ALONE}|(?<=\dx)){UNSIGNED}(?:(?![^\W{TOUCHING}]|[{''.join(MYRIADS)}])|(?=x\d))"
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_LINE = re.compile(
    r"^[ \t]*+(?:[-*•][ \t]++)?(?:\*{0,2}(?:Step )?\d+[.):]\*{0,2}[ \t]+)?(?P<said>\S[^\n]*)",
    re.MULTILINE,
)
"""One of a solution, without its bullet or number."""
_SET = re.compile(r"\*\*|\\[()\[\]]|[$€£]")
"""Markdown's bold, the marks of a formula, and currencies."""
_STOP = re.compile(r"[.;:]\s")
_SAID = re.compile(r"[^\W\d_]++/[^\W\d_]+|[^\W\d_]{2,}|[^\W\d_xX]|[$€£]|,(?!\d)")
"""What stands in a calculation besides numbers and operators: words and units."""
_AFTER = re.compile(
    r"\)?\s*+(?:[^\W\d_]{2,}+\s++)?"
    r"(?P<sign>[+*/×÷·]|\\(?:times|cdot|div)\b|[-−–x](?=\s*[$€£(]*\d))"
)
_EQUALS = re.compile(r"[^\n=]{0,80}+=")
"""Behind what is calculated with, when words stand between: ``6 units/floor * 10 floors = 60 units``."""
_WORDS = re.compile(r"\w+|#")


@dataclass(frozen=True)
class BorrowedNumber:
    """A number where it stands in a reply, and the problem's own.

    Attributes:
        start: where it begins.
        shown: as it is written.
        right: what the problem has in its place.
    """

    start: int
    shown: str
    right: Fraction


def borrowed(reply: str, problem: Problem, example: str, solution: str) -> BorrowedNumber | None:
    """The first number of ``reply`` that is the one of ``example`` where ``problem`` has another.

    Args:
        reply: an attempt at ``problem``.
        problem: what was asked; the numbers of its choices count for nothing.
        example: the worked example that was shown: its problem, as the model saw it.
        solution: its steps and answer, as they were shown.

    Returns:
        An operand of the solution that has the same done to it, or, where the reply follows the solution,
        also a result or an answer. None where the two problems differ in more than numbers, and for
        numbers that may be the reply's own: a constant, such as the six sides of a hexagon, may equal a
        number of the example, but then the problem's own is calculated with too, or what is easily
        had from it; and an answer may say its own number in other words.
    """
    given = _given(problem.to_prompt(), example)[: sum(1 for _ in numbers_in(problem.text))]
    if len(reply) > MAX_LENGTH or all(theirs == ours for theirs, ours in given):
        return None
    kept = _kept(problem.text, given)
    swaps = _swaps(given, kept)
    found = (
        _operand(reply, swaps, kept, solution),
        _followed(reply, problem.text, solution, given),
    )
    return min(filter(None, found), key=lambda fault: fault.start, default=None)


def with_own_number(reply: str, fault: BorrowedNumber) -> str:
    """The reply up to the number, with the problem's own in its place; empty for one that would be rounded."""
    return reply[: fault.start] + show(fault.right, MAX_PLACES) if _is_short(fault.right) else ""


Given = list[tuple[Fraction, Fraction]]
"""Numbers of the example's problem, each with the one that the problem has in its place."""


def _given(problem: str, example: str) -> Given:
    if _template(problem) != _template(example):
        return []
    ours, theirs = ([f.value for f in numbers_in(text)] for text in (problem, example))
    return list(zip(theirs, ours, strict=True))


def _template(text: str) -> list[str]:
    """The words, with a mark for each number; punctuation may have been made harmless in one of two."""
    return _WORDS.findall(unicodedata.normalize("NFKC", replace_numbers(text, lambda _: "#")))


def _operand(
    reply: str, swaps: dict[Fraction, Fraction], kept: Collection[Fraction], solution: str
) -> BorrowedNumber | None:
    """The first operand that only the example has, if the reply had not found it before."""
    known: set[Fraction | None] = set()
    used = _operands(reply)
    theirs = defaultdict[Fraction | None, set[str]](set)
    for there in _NUMERAL.finditer(solution):
        theirs[literal(there[0])] |= _operations(solution, there)
    said = {literal(found[0]) for line in _LINE.finditer(reply) for found in _numerals(line)}
    others = (said - swaps.keys()) | {*kept}
    for match in _NUMERAL.finditer(reply):
        value = literal(match[0])
        if value in swaps and value not in known and _operations(reply, match) & theirs[value]:
            own = swaps[value]
            split = own - value in used
            if own not in used and not split and not _easily_had(value, own, others, swaps):
                return BorrowedNumber(match.start(), match[0], own)
        known.add(value)
    return None


def _easily_had(
    value: Fraction,
    own: Fraction,
    others: Collection[Fraction | None],
    swaps: dict[Fraction, Fraction],
) -> bool:
    """Whether one step in the head leads to ``value`` from ``own`` and another number, or from one alone.

    80 from 20 % off, 10 as 25 % of 40, 60 as twice a side of 30.
    """
    if not own or not value:
        return False
    twice = {2 * one for one in swaps.values()}
    apart = abs(value - own)
    reached = (own + value, own * value, own / value, value / own, 100 * value / own)
    return (
        value in twice
        or any(other in others for other in reached)
        or (apart != 2 and apart in others)
    )


def _operands(reply: str, but: Collection[int] = ()) -> dict[Fraction | None, int]:
    """What a reply calculates with, each with where it does so last; ``but`` for what begins there."""
    return {
        literal(match[0]): match.start()
        for match in _NUMERAL.finditer(reply)
        if match.start() not in but
        and (_is_operand(reply, match) or _EQUALS.match(reply, match.end()))
    }


def _kept(problem: str, given: Given) -> set[Fraction]:
    """What a reply may calculate with: the problem's numbers, and those that need not be named."""
    measured = {dimension_of(word) for word in _WORD.findall(problem)}
    kept = {*(ours for _, ours in given), *COMMON, *(CALENDAR if "time" in measured else ())}
    if measured & {"length", "mass", "volume", "count"}:
        kept |= METRIC
    return kept


def _swaps(given: Given, kept: Collection[Fraction]) -> dict[Fraction, Fraction]:
    """What only the example has, and what the problem has in the place of each, where that is one number."""
    pairs = set(given)
    found = Counter(theirs for theirs, _ in pairs)
    return {old: new for old, new in pairs if old not in kept and found[old] == 1}


def _followed(reply: str, problem: str, solution: str, given: Given) -> BorrowedNumber | None:
    """The first number that stands as in the solution, though what it stands for has another value here."""
    pairs = list(_pairs(reply, solution))
    unchanged = {pair.here.start() for pair in pairs if pair.value == pair.old}
    meanings = _Meanings(_operands(reply, unchanged), given)
    for line, here, value, there, old in pairs:
        left, final = _calculated(line, here), is_final_line(line["said"])
        if value == old and (left or final or _is_operand(reply, here)):
            right = _result(left, value, there) if left else meanings.other(old)
            if right is not None and not (
                (left or final) and _restated(line, here, right, problem)
            ):
                return BorrowedNumber(here.start(), here[0], right)
        if left:
            meanings.learn(old, value, here.end())
    return None


def _restated(line: re.Match[str], here: re.Match[str], right: Fraction, problem: str) -> bool:
    """Whether a number says ``right`` in other words: 3 dollars for 300 cents, 3 o'clock for 15."""
    sign = line.string[: here.start()].rstrip(" (*")[-1:]
    number = sign * (sign in "$€£") + here[0]
    behind = line.string[here.end() : line.end("said")]
    said = f"{problem}\n{line['said']}"
    return any(may_state(stated, [right], said) for stated in (number, number + behind))


class _Pair(NamedTuple):
    """A number of a reply's line, and the one that the solution's line has in its place."""

    line: re.Match[str]
    here: re.Match[str]
    value: Fraction
    there: str
    """The calculation whose result the solution's number is."""
    old: Fraction


def _pairs(reply: str, solution: str) -> Iterator[_Pair]:
    """Numbers of both, until a line of the reply differs from the solution's in more than numbers."""
    for ours, theirs in zip(_lines(reply), _lines(solution), strict=False):
        if _shape(ours["said"]) != _shape(theirs["said"]):
            return
        for here, there in zip(_numerals(ours), _numerals(theirs), strict=True):
            value, old = literal(here[0]), literal(there[0])
            if value is None or old is None:
                return
            yield _Pair(ours, here, value, _calculated(theirs, there), old)


def _lines(text: str) -> Iterator[re.Match[str]]:
    """The lines that hold a number besides their own."""
    return (line for line in _LINE.finditer(text) if any(_numerals(line)))


class _Meanings:
    """What each number of an example stands for in a reply that follows its solution."""

    def __init__(self, used: dict[Fraction | None, int], given: Given) -> None:
        self._used = used
        self._found: dict[Fraction, int] = {}
        self._own: set[Fraction] = set()
        self._here = defaultdict[Fraction, set[Fraction]](set)
        for theirs, ours in given:
            self.learn(theirs, ours, 0)

    def learn(self, old: Fraction, value: Fraction, end: int) -> None:
        """``value`` stands for ``old``, and is known from ``end`` on."""
        self._here[old].add(value)
        self._own.add(value)
        self._found[value] = end

    def other(self, old: Fraction) -> Fraction | None:
        """What should stand where ``old`` does; None where that may be right, or is not certain."""
        if old in self._own or len(self._here[old]) != 1:
            return None
        (own,) = self._here[old]
        found = self._found[own]
        return None if self._used.get(own, -1) >= found or (found and _rounds(own, old)) else own


def _numerals(line: re.Match[str]) -> Iterator[re.Match[str]]:
    return _NUMERAL.finditer(line.string, line.start("said"), line.end("said"))


def _shape(line: str) -> str:
    """A line without its numbers, and without what only says how it is set."""
    if is_final_line(line):
        return "#" * sum(1 for _ in _NUMERAL.finditer(line))
    line = _SET.sub("", _NUMERAL.sub("#", line))
    for sign, kind in _SIGNS.items():
        line = line.replace(sign, kind)
    return "".join(line.split()).rstrip(".")


def _calculated(line: re.Match[str], numeral: re.Match[str]) -> str:
    """The calculation whose result a numeral of a line is; empty where it is none."""
    start = max(line.start("said"), numeral.start() - MAX_LEFT)
    before = line.string[start : numeral.start()].rstrip(" $€£(*")
    left = before[:-1].rpartition("=")[2] if before.endswith("=") else ""
    return left if _NUMERAL.search(left) else ""


def _result(left: str, shown: Fraction, example: str) -> Fraction | None:
    """What a calculation comes to, if not to the result shown, which is the example's.

    That it is read right is seen by the example, which comes to that result.
    """
    try:
        value, theirs = (
            evaluate(_SAID.sub(" ", _STOP.split(side)[-1])) for side in (left, example)
        )
    except NotArithmeticError:
        return None
    certain = _is_short(value) and not _rounds(value, shown)
    return value if theirs == shown != value and certain else None


def _rounds(value: Fraction, shown: Fraction) -> bool:
    """Whether ``shown`` may be ``value``, rounded."""
    return value.denominator > 1 and abs(value - shown) < 1


def _is_short(value: Fraction) -> bool:
    scaled: Fraction = value * 10**MAX_PLACES
    return scaled.denominator == 1


def _is_operand(reply: str, numeral: re.Match[str]) -> bool:
    """Whether it is calculated with: an operator stands beside it, and it is no result."""
    return bool(_operations(reply, numeral))


def _operations(text: str, numeral: re.Match[str]) -> set[str]:
    """What is done with a number: ``*``, ``+``, and for ``-`` and ``/`` on which side; nothing with a result."""
    before = text[max(0, numeral.start() - 8) : numeral.start()].rstrip(" $€£(")
    if before.endswith("="):
        return set()
    found = set[str]()
    sign = next((sign for sign in _SIGNS if before.endswith(sign)), None)
    multiplies = sign != "x" or before[:-1].rstrip()[-1:].isdigit()
    if sign and multiplies and not _BULLET.search(before):
        found.add(_SIGNS[sign])
    if after := _AFTER.match(text, numeral.end()):
        kind = _SIGNS[after["sign"]]
        found.add(kind if kind in "*+" else f"{kind} behind")
    return found
