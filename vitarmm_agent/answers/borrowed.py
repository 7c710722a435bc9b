"""A reply that calculates with a number of the worked example it was shown, not of its own problem.

Nothing is guessed: example and problem must be the same but for their numbers, so that each number
of the example has one in the problem that stands in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from vitarmm_agent.numbers.finding import numbers_in, replace_numbers
from vitarmm_agent.numbers.reading import UNSIGNED, literal, show
from vitarmm_agent.numbers.units import dimension_of

MAX_LENGTH = 40_000
MAX_PLACES = 4
COMMON = frozenset(map(Fraction, (0, 1, 2, 100)))
"""Numbers that may come from anywhere."""
CALENDAR = frozenset(map(Fraction, (5, 7, 12, 24, 28, 30, 31, 52, 60, 365, 366, 3600)))
"""Those that a problem about time may bring in without naming them."""
METRIC = frozenset(map(Fraction, (3, 4, 8, 10, 12, 16, 36, 1000, 5280)))
"""Those that measures may bring in."""
_SIGNS = frozenset("-+*/×÷·−–")
_NUMERAL = re.compile(rf"(?<![\w.]){UNSIGNED}(?![\w])")
_WORD = re.compile(r"[^\W\d_]{3,}")
_AFTER = re.compile(r"\)?\s*(?:[+*/×÷·]|[-−–]\s*[$€£(]*\d|x\s*[$€£(]*\d)")


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


def borrowed(reply: str, problem: str, example: str) -> BorrowedNumber | None:
    """The first operand of ``reply`` that stands in ``example`` where ``problem`` has another number.

    None where the two differ in more than numbers, and for numbers that are common, that the
    problem has too, or that the reply had found before.
    """
    swaps = _swaps(problem, example)
    if not swaps or len(reply) > MAX_LENGTH:
        return None
    known: set[Fraction | None] = set()
    for match in _NUMERAL.finditer(reply):
        value = literal(match[0])
        if value in swaps and value not in known and _is_operand(reply, match):
            return BorrowedNumber(match.start(), match[0], swaps[value])
        known.add(value)
    return None


def with_own_number(reply: str, fault: BorrowedNumber) -> str:
    """The reply up to the number, with the problem's own in its place."""
    return reply[: fault.start] + show(fault.right, MAX_PLACES)


def _swaps(problem: str, example: str) -> dict[Fraction, Fraction]:
    """The example's numbers and what the problem has in the place of each, where that is one number."""
    if _template(problem) != _template(example):
        return {}
    ours, theirs = ([f.value for f in numbers_in(text)] for text in (problem, example))
    measured = {dimension_of(word) for word in _WORD.findall(problem)}
    kept = {*ours, *COMMON, *(CALENDAR if "time" in measured else ())}
    if measured & {"length", "mass", "volume", "count"}:
        kept |= METRIC
    pairs = set(zip(theirs, ours, strict=True))
    found = [theirs for theirs, _ in pairs]
    return {old: new for old, new in pairs if old not in kept and found.count(old) == 1}


def _template(text: str) -> str:
    return " ".join(replace_numbers(text, lambda _: "#").split())


def _is_operand(reply: str, numeral: re.Match[str]) -> bool:
    """Whether it is calculated with: an operator stands beside it, and it is no result."""
    before = reply[max(0, numeral.start() - 8) : numeral.start()].rstrip(" $€£(")
    times = before.endswith("x") and before[:-1].rstrip()[-1:].isdigit()
    signed = times or before[-1:] in _SIGNS
    return before[-1:] != "=" and (signed or bool(_AFTER.match(reply, numeral.end())))
