"""The sides of an equation, and where a false one has another reading in which it may be true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate_tokens
from vitarmm_agent.numbers.reading import PARTS, literal
from vitarmm_agent.numbers.units import Unit, customary, dimension_of, unit_name

_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_OF_DAY = re.compile(r"0\d{3}|[12]\d[0-5]\d")
_GROUPS = frozenset("couple couples ones tens score scores".split()) | {f"{p}s" for p in PARTS}
"""Words that make another number of the one before them, beside the units of counting."""
_CLOCK = frozenset(("o'clock", "o’clock", "noon", "midnight"))
_DAYTIMES = frozenset("morning afternoon evening night".split())
_OPEN_DIMENSIONS = frozenset("time length mass volume".split())


@dataclass(frozen=True)
class Side:
    """One side of an equation.

    Attributes:
        tokens: numbers and signs, as they are computed.
        text: the same as a text, tidied.
        units: all words and units that stand at its numbers.
        bare: a single number, perhaps with a sign, percent or unit.
        led: words stand before it in its clause.
        measure: name of the known unit that stands first at its numbers, or nothing.
    """

    tokens: tuple[str, ...]
    text: str
    units: frozenset[str]
    bare: bool
    led: bool
    measure: str = ""


def mixes_units(left: Side, right: Side) -> bool:
    """Whether units of one dimension differ, so that figures alone do not decide."""
    seen: dict[str, set[str]] = {}
    for unit in left.units | right.units:
        name, dimension = unit_name(unit), dimension_of(unit)
        if name and dimension:
            seen.setdefault(dimension, set()).add(name)
    return any(len(units) > 1 for units in seen.values())


def percent_change(side: Side) -> bool:
    """``80 + 10%``: a change by a percentage, or a sum; both are customary."""
    tokens = side.tokens
    if "%" not in tokens or tokens.count("%") == sum(t[0].isdigit() or t[0] == "." for t in tokens):
        return False
    return any(
        tokens[i] in "+-" and i + 2 < len(tokens) and tokens[i + 2] == "%"
        for i in range(len(tokens))
    )


def first_number(side: Side) -> Fraction | None:
    """The first operand, for results that are worked on at once: ``3 + 4 = 7 * 2 = 14``."""
    return literal(side.tokens[0]) if side.tokens[0][:1].isdigit() else None


def has_another(left: Side, right: Side, value: Fraction, shown: Fraction) -> bool:
    """Whether an equation that is false as it is read here may be read so that it is true.

    Args:
        left: what is computed.
        right: the result.
        value: of the left side.
        shown: of the right side.
    """
    return (
        _perhaps_thousands(left, right)
        or _names_a_factor(left, right)
        or _counts_groups(left, right)
        or _has_parts_of_units(left, right)
        or _tells_the_time(left, right, value - shown)
        or _is_a_range(left, right, shown)
        or _leaves_the_unit_open(left, right)
        or _is_part_of_something(left)
        or shown in _regrouped(left)
    )


def _perhaps_thousands(left: Side, right: Side) -> bool:
    """Whether every point may part thousands, as in ``1.000 + 500 = 1.500``: then a value has two readings."""
    pointed = [t for t in (*left.tokens, *right.tokens) if "." in t]
    return bool(pointed) and all(_THOUSANDS.fullmatch(token) for token in pointed)


def _names_a_factor(left: Side, right: Side) -> bool:
    """Whether things are named, and then what they come to: ``6 pens = 1.50 * 6``."""
    if not left.bare or not any(unit.isalpha() for unit in left.units):
        return False
    numbers = [literal(token) for token in right.tokens if token[:1].isdigit()]
    return literal(left.tokens[0]) in numbers and not {"+", "-"} & set(right.tokens)


def _counts_groups(left: Side, right: Side) -> bool:
    """``5 dozen - 10 = 50``: which numbers count dozens, and which single things, is not said."""
    return any(dimension_of(u) == "count" or u in _GROUPS for u in left.units | right.units)


def _has_parts_of_units(left: Side, right: Side) -> bool:
    """``4 pounds - 6 ounces = 58 ounces``: an ounce is a part of a pound, and also of a pint."""
    names = {name for unit in left.units | right.units if (name := unit_name(unit))}
    return any(customary(Unit({a: 1}), Unit({b: 1})) for a, b in combinations(names, 2))


def _tells_the_time(left: Side, right: Side, difference: Fraction) -> bool:
    """``10 + 5 = 3 pm``, ``7 + 8 = 3 in the afternoon``, ``0900 - 0130 = 0730``."""
    units = left.units | right.units
    if any(dimension_of(unit) == "clock" for unit in units) or units & _CLOCK:
        return True
    if difference.denominator == 1 and difference % 12 == 0 and units & _DAYTIMES:
        return True
    figures = [t for t in (*left.tokens, *right.tokens) if t[:1].isdigit()]
    return any(t[0] == "0" for t in figures) and all(_OF_DAY.fullmatch(t) for t in figures)


def _is_a_range(left: Side, right: Side, shown: Fraction) -> bool:
    """``Pages 30-45 = 16 pages``, ``9-17 = 8 hours``, ``Weeks 1-2 = 96 - 70``."""
    if len(left.tokens) != 3 or left.tokens[1] != "-":
        return False
    first, last = (literal(left.tokens[i]) for i in (0, 2))
    if first is None or last is None or (last - first).denominator != 1:
        return False
    if any(unit_name(unit) == "hour" for unit in right.units) and (last - first - shown) % 12 == 0:
        return True
    if first >= last:
        return False
    timed = any(dimension_of(unit) == "time" for unit in right.units)
    passed = last - first
    return (
        shown == passed + 1
        or (timed and shown == passed)
        or (not right.bare and (left.led or first_number(right) == passed + 1))
    )


def _leaves_the_unit_open(left: Side, right: Side) -> bool:
    """``2 hours - 30 = 90``: a sum in which a unit is named, but not in the result."""
    named = {dimension_of(unit) for unit in left.units}
    return bool({"+", "-"} & set(left.tokens) and _OPEN_DIMENSIONS & named) and not right.units


def _is_part_of_something(left: Side) -> bool:
    """``2/3 of the tank = 16``: what it is a part of is not said."""
    return "of" in left.units and bool({"/", "%"} & set(left.tokens))


def _regrouped(side: Side) -> Iterator[Fraction]:
    """``25 / 1/3`` and ``7/12 / 1/12`` with their fractions read as one number each."""
    tokens = list(side.tokens)
    numbers = tokens[::2]
    if len(numbers) not in (3, 4) or set(tokens[1::2]) != {"/"}:
        return
    fractions = ["(", *tokens[-3:], ")"]
    whole = tokens[:-4] if len(numbers) == 3 else ["(", *tokens[:-4], ")"]
    try:
        yield evaluate_tokens([*whole, "/", *fractions])
    except NotArithmeticError:
        return
