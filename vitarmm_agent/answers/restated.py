"""Whether an answer may state a number that was computed: rounded, in another unit, as a percentage, as a time of day.

Read on the side of yes: a unit that is named somewhere may be meant where none stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from vitarmm_agent.answers.normalise import quantity_of
from vitarmm_agent.numbers.reading import SCALE_BEHIND, SCALES, find_numbers, fold_digits, scale_of
from vitarmm_agent.numbers.units import NO_UNIT, Unit, conversion, customary, unit_name

MAX_UNITS = 8
MAX_VALUES = 20
_WORD = re.compile(r"(?<=[\d/])\s?(?:in|[a-z])\b|[$€£¢]|(?!in\b)[^\W\d_]{2,}", re.IGNORECASE)
_PERCENT = re.compile(r"%|\bper\s?cent", re.IGNORECASE)
_ROUNDED = re.compile(
    r"\bnearest\b|\bround(?:ed|ing|s)?\s(?:up|down|off|to)\b|\b(?:estimat|approximat)",
    re.IGNORECASE,
)
_TIME = re.compile(r"\bwhat time\b|\bo['’]clock\b|\d\s?[ap]\.?m\b", re.IGNORECASE)
_IN_SCALE = re.compile(rf"\b(?:how many|in)\s((?:{'|'.join(SCALES)})s?)\b", re.IGNORECASE)
_DECIMALS = re.compile(r"\.(\d+)")
_SCALE = re.compile(rf"(?<!\s)(?:{SCALE_BEHIND})", re.IGNORECASE)


def may_state(answer: str, values: Sequence[Fraction], said: str) -> bool:
    """Whether ``answer`` may be one of ``values`` in other words.

    A whole number may be rounded up or down, as boxes that are needed or full; a decimal may be cut
    or rounded to as many places as it has.

    Args:
        answer: a number, as it is stated.
        values: what was computed; the last 20 are compared.
        said: problem and working; the first eight units that are named there count.
    """
    stated = quantity_of(answer)
    if stated is None:
        return False
    values, said = values[-MAX_VALUES:], f"{answer}\n{said}"
    clock = "clock" in stated.unit.dimensions() or _TIME.search(said)
    if clock and any((value - stated.value) % 12 == 0 for value in values):
        return True
    percent = set(stated.unit.measures) <= {"%"}
    factors = _factors(answer, said, percent=percent)
    tolerance = _tolerance(answer, stated.value, said)
    return any(
        abs(abs(value) * factor - abs(stated.value)) < tolerance
        for value in values
        for factor in factors
    )


def _factors(answer: str, said: str, *, percent: bool) -> set[Fraction]:
    """What a number may be multiplied by to say the same: one unit that is named for another, or two.

    Args:
        answer: where it names a unit, a number is converted to that unit only.
        said: what names units, percent and scales (``How many million?``).
        percent: the number may be one in percent; ``$10`` is not.
    """
    units, wanted = [NO_UNIT, *_named(said)[:MAX_UNITS]], _named(answer)
    found = {Fraction(1)}
    for b in wanted if len(wanted) == 1 else units:
        for a in units:
            if len(wanted) == 1 and a and a.dimensions() != b.dimensions():
                continue  # $144 are no 12 dozen
            found |= {f for f in (conversion(a, b), customary(a, b)) if f is not None}
    found |= {Fraction(1, scale_of(scale)) for scale in _IN_SCALE.findall(said)}
    if percent and _PERCENT.search(said):
        found |= {Fraction(100), Fraction(1, 100)}
    return {one * other for one in found for other in found}


def _named(text: str) -> list[Unit]:
    """The units that a text names, each once."""
    names = (unit_name(word) for word in _WORD.findall(text))
    return [Unit({name: 1}) for name in dict.fromkeys(names) if name is not None]


def _tolerance(answer: str, value: Fraction, said: str) -> Fraction:
    """What a rounded answer may be off by; a fraction may stand for a rounded decimal."""
    digits = find_numbers(fold_digits(answer))
    places = _DECIMALS.search(digits[0][0]) if digits else None
    if places is None and value.denominator != 1:
        return abs(value) / 100
    unit = Fraction(1, 10 ** len(places[1])) if places else Fraction(1)
    if scale := _SCALE.search(answer):
        return unit * scale_of(scale[0])
    if places is None and value and _ROUNDED.search(said):
        whole = str(abs(value.numerator))
        return unit * Fraction(10 ** (len(whole) - len(whole.rstrip("0"))))
    return unit
