"""A reply up to its first false equation, with the right value put in its place.

Nothing is guessed: the cut text is read again as any reply is, and must end with the same equation,
now true, with nothing false before it. Where that cannot be shown there is no mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from vitarmm_agent.answers.equations import Equation, equations
from vitarmm_agent.answers.steps import parse_steps
from vitarmm_agent.numbers.reading import UNSIGNED, fold_digits, literal, show
from vitarmm_agent.thinking import without_thinking

MAX_LENGTH = 40_000
MAX_PLACES = 4
"""Decimals of a value that is put in; one that needs more is not written, for it would be rounded."""
MAX_CANDIDATES = 8
ROUNDING = Fraction(1, 50)
"""Relative error that a product may owe to digits which were not shown: ``0.1667 * 20 = 3.3333``."""
_RESULT = re.compile(
    rf"(?:=|\bequals\b)[ \t*]*+(?:\\?[$€£][ \t*]*+)?(?P<shown>[-−–]?(?:{UNSIGNED}))(?![\d/%]|[.,]\d|\\%)",
)


def mended(text: str) -> str | None:
    """The reply from which its writer can go on, or None where no mend is certain.

    It ends with the value that was put right: ``3 * 4 = 13 boxes`` becomes ``3 * 4 = 12``. There is
    none for a reply that thinks aloud in ``<think>``, a result in percent, one that only has the
    other sign (its operands may be the wrong way round), one that may owe its error to rounding, or one
    that is no short decimal.
    """
    if len(text) > MAX_LENGTH or without_thinking(text) != text:
        return None
    wrong = next((e for e in _equations(text) if not e.holds), None)
    if wrong is None or (right := _right_value(wrong)) is None:
        return None
    for match in _places(text, wrong):
        start, shown = match.start("shown"), match["shown"]
        if _ends_with(text[: match.end("shown")], wrong) != wrong.shown:
            continue
        kept = text[:start] + _written_like(shown, right)
        return kept if _ends_with(kept, wrong) else None
    return None


def _equations(text: str) -> Iterator[Equation]:
    for step in parse_steps(text):
        yield from equations(step.text)


def _right_value(wrong: Equation) -> Fraction | None:
    shown, value = _signed(wrong.shown), wrong.value
    if shown is None or shown == -value or "%" in wrong.text:
        return None
    product = "." in wrong.left and ("*" in wrong.left or "/" in wrong.left)
    if product and abs(shown - value) <= abs(value) * ROUNDING:
        return None
    return value if _signed(show(value, MAX_PLACES)) == value else None


def _signed(text: str) -> Fraction | None:
    """Value of a bare number, with or without a minus sign."""
    bare = fold_digits(text).replace(" ", "")
    value = literal(bare.removeprefix("-"))
    return -value if value is not None and bare.startswith("-") else value


def _places(text: str, wrong: Equation) -> Iterator[re.Match[str]]:
    """Where the wrong value may stand, in order."""
    shown, found = _signed(wrong.shown), 0
    for match in _RESULT.finditer(text):
        if _signed(match["shown"]) == shown:
            yield match
            found += 1
            if found == MAX_CANDIDATES:
                return


def _ends_with(text: str, wrong: Equation) -> str | None:
    """What the last equation of a text shows, if it has the same left side and all before it hold."""
    found = list(_equations(text))
    if not found or found[-1].left != wrong.left or not all(e.holds for e in found[:-1]):
        return None
    last = found[-1]
    right = _signed(last.shown) == wrong.value
    return last.shown if last.holds == right else None


def _written_like(shown: str, value: Fraction) -> str:
    """The value with the thousands commas and the cents of what stood there."""
    whole, _, decimals = show(value, MAX_PLACES).partition(".")
    if "," in shown:
        whole = f"{int(whole):,}"
    if len(shown.partition(".")[2]) == 2:
        decimals = decimals.ljust(2, "0")
    return f"{whole}.{decimals}" if decimals else whole
