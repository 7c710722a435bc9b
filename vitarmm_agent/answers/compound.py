"""Answers of several units and times of the day as one number: ``1 h 30 min``, ``5 ft 3 in``, ``9:30 pm``."""

from __future__ import annotations

import re
from fractions import Fraction

from vitarmm_agent.answers import latex
from vitarmm_agent.numbers.reading import Quantity, fold_digits, parse_quantity
from vitarmm_agent.numbers.units import Unit, conversion

_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?\s?(?:(?P<half>[ap])\.?\s?m\b\.?)?", re.IGNORECASE
)
_NAMED = {"noon": 12, "midday": 12, "midnight": 0}
_CLOCK_UNIT = Unit({"o'clock": 1})
_COMPOUND = re.compile(
    r"(?P<first>\$?\d++(?:[.,/]\d++)*+(?:\s?[^\W\d_]++)?)(?:,?\s(?:and\s)?|\s?,\s?)"
    r"(?P<rest>\d++(?:[.,/]\d++)*+\s?[^\W\d_].*)"
)
MAX_COMPOUND = 60
MAX_UNITS = 3


def compound(text: str) -> Quantity | None:
    """A time of the day, or an amount in several units of one dimension, the larger first; else None.

    A time without am or pm is read where it can only be one of 24 hours: ``21:00``, not ``9:00``.
    """
    if len(text) > MAX_COMPOUND:
        return None
    bare = fold_digits(latex.to_plain(text)).strip(" \t\n.")
    minutes = _minutes(bare)
    return Quantity(Fraction(minutes), _CLOCK_UNIT) if minutes is not None else _sum(bare)


def _minutes(text: str) -> int | None:
    if text.lower() in _NAMED:
        return 60 * _NAMED[text.lower()]
    match = _CLOCK.fullmatch(text)
    if not match:
        return None
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), match["half"]
    if half is not None:
        afternoon = half.lower() == "p"
        return 60 * (hour % 12 + 12 * afternoon) + minute if 1 <= hour <= 12 else None
    certain = match["minute"] is not None and (13 <= hour <= 23 or match["hour"] == "00")
    return 60 * hour + minute if certain else None


def _sum(text: str) -> Quantity | None:
    total: Quantity | None = None
    for _ in range(MAX_UNITS):
        match = _COMPOUND.fullmatch(text)
        part = parse_quantity(match["first"] if match else text)
        if part is None or len(part.unit.measures) != 1:
            return None
        if total is not None:
            factor = conversion(part.unit, total.unit)
            if factor is None or not 0 < factor < 1:
                return None
            part = Quantity(total.value + part.value * factor, total.unit)
        elif match is None:
            return None
        total = part
        if match is None:
            return total
        text = match["rest"]
    return None
