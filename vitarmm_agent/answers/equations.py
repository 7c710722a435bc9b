"""The equations of a step that can be checked: what is written on both sides, and whether it holds.

Read on the side of silence: where a letter, a function, a clock time, a mix of units or a running
sentence leaves more than one reading, nothing is claimed. An equation counts as false only when
every customary reading of it is false.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate_tokens
from vitarmm_agent.answers.equation_tokens import (
    Side,
    Token,
    as_left,
    as_right,
    calculator_notes,
    prepare,
    tokenize,
)
from vitarmm_agent.numbers.reading import PARTS, literal, show
from vitarmm_agent.numbers.units import Unit, customary, dimension_of, unit_name

MAX_EQUATIONS = 100
FLOAT_NOISE = Fraction(1, 10**9)
"""Relative error that a calculator leaves in ``1.6666666666666665``."""
PERCENT = (Fraction(1, 100), Fraction(1))

_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_OF_DAY = re.compile(r"0\d{3}|[12]\d[0-5]\d")
_GROUPS = frozenset("couple couples ones tens score scores".split()) | {f"{p}s" for p in PARTS}
"""Words that make another number of the one before them, beside the units of counting."""
_CLOCK = frozenset(("o'clock", "o’clock", "noon", "midnight"))
_DAYTIMES = frozenset("morning afternoon evening night".split())
_OPEN_DIMENSIONS = frozenset("time length mass volume".split())
_COMPARISON = frozenset("less fewer more difference short below above".split())


@dataclass(frozen=True)
class Equation:
    """One equation as it stands in a step.

    Attributes:
        text: what is written, tidied.
        left: the side that is computed, tidied.
        shown: the result as written.
        value: what the computed side comes to.
        holds: whether it is true, allowing for rounding of what is shown.
        measure: the word or sign of a unit that stands at the result, or nothing.
    """

    text: str
    left: str
    shown: str
    value: Fraction
    holds: bool
    measure: str = ""

    @property
    def right_value(self) -> str:
        """What should have stood there."""
        return show(self.value, 4)


def equations(text: str, *, with_annotations: bool = True) -> list[Equation]:
    """Equations of a step that can be checked, at most 100, in order.

    Args:
        text: a step, plain or LaTeX, with or without GSM8K annotations.
        with_annotations: check what stands inside ``<<…>>`` too.
    """
    found: list[Equation] = []
    sources = [prepare(text), *(calculator_notes(text) if with_annotations else ())]
    for source in sources:
        for clause in _clauses(tokenize(source)):
            for equation in _of_clause(clause, source):
                if len(found) >= MAX_EQUATIONS:
                    return found
                if equation.text not in {other.text for other in found}:
                    found.append(equation)
    return found


def _clauses(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    clause: list[Token] = []
    for token in tokens:
        if token.kind == "break":
            yield clause
            clause = []
        else:
            clause.append(token)
    yield clause


def _of_clause(clause: list[Token], source: str) -> Iterator[Equation]:
    relations = [i for i, token in enumerate(clause) if token.kind == "relation"]
    if not relations or any(t.text.lower() in ("mod", "modulo", "≡") for t in clause):
        return
    edges = [-1, *relations, len(clause)]
    parts = [clause[edges[i] + 1 : edges[i + 1]] for i in range(len(edges) - 1)]
    last = len(parts) - 1
    computed: Side | None = None
    for index, relation in enumerate(relations):
        left = as_left(parts[index], first=index == 0)
        right = as_right(parts[index + 1], last=index + 1 == last)
        if left and not left.bare:
            computed = left
        elif left and right and computed:
            left = _carried(computed, left, right)
        else:
            computed = None
        if left and right:
            equation = _judge(left, right, approximate=clause[relation].text == "≈")
            if equation:
                yield equation


def _carried(computed: Side, shown: Side, right: Side) -> Side:
    """What a chain has computed, for its next result: ``12 - 5 = 7 = 8``.

    A result that is only given in another unit stands for itself.
    """
    units = computed.units | shown.units
    return replace(computed, units=units) if right.bare and right.units <= units else shown


def _judge(left: Side, right: Side, *, approximate: bool) -> Equation | None:
    if (left.bare and right.bare) or (left.bare and left.led):
        return None
    if _mixes_units(left, right) or _percent_change(left) or _percent_change(right):
        return None
    try:
        pairs = [
            (evaluate_tokens(left.tokens, percent=p), evaluate_tokens(right.tokens, percent=q))
            for p in (PERCENT if "%" in left.tokens else PERCENT[:1])
            for q in (PERCENT if "%" in right.tokens else PERCENT[:1])
        ]
        if not right.bare:
            pairs += [
                (value, first)
                for value, _ in pairs[:1]
                if (first := _first_number(right)) is not None
            ]
    except NotArithmeticError:
        return None
    computed, shown = (left, right) if right.bare or not left.bare else (right, left)
    if _COMPARISON & right.units and pairs[0][0] == -pairs[0][1]:
        return None  # "20 - 35 = 15 less" tells the sign in words
    holds = any(_agree(a, b, left, right, approximate) for a, b in pairs)
    if not holds and any(_has_another(left, right, *pair) for pair in pairs):
        return None
    value = pairs[0][0] if computed is left else pairs[0][1]
    return Equation(
        text=f"{left.text} {'≈' if approximate else '='} {right.text}",
        left=computed.text,
        shown=shown.text,
        value=value,
        holds=holds,
        measure=shown.measure,
    )


def _agree(a: Fraction, b: Fraction, left: Side, right: Side, approximate: bool) -> bool:
    if a == b:
        return True
    difference, size = abs(a - b), max(abs(a), abs(b))
    if difference <= size * FLOAT_NOISE:
        return True
    if approximate and difference <= size / 20:
        return True
    if not left.bare and not right.bare:
        return difference <= size / 50
    computed, shown = (a, b) if right.bare else (b, a)
    places = _places(right if right.bare else left)
    if places == 0 and computed.denominator == 1:
        return False
    return difference < Fraction(1, 10**places) and (places > 0 or abs(computed) >= 1)


def _places(side: Side) -> int:
    """Decimals of the shown number."""
    number = next(t for t in side.tokens if t[0].isdigit() or t[0] == ".")
    decimals = len(number.partition(".")[2])
    return decimals + 2 if "%" in side.tokens else decimals


def _mixes_units(left: Side, right: Side) -> bool:
    """Whether units of one dimension differ, so that figures alone do not decide."""
    seen: dict[str, set[str]] = {}
    for unit in left.units | right.units:
        name, dimension = unit_name(unit), dimension_of(unit)
        if name and dimension:
            seen.setdefault(dimension, set()).add(name)
    return any(len(units) > 1 for units in seen.values())


def _percent_change(side: Side) -> bool:
    """``80 + 10%``: a change by a percentage, or a sum; both are customary."""
    tokens = side.tokens
    if "%" not in tokens or tokens.count("%") == sum(t[0].isdigit() or t[0] == "." for t in tokens):
        return False
    return any(
        tokens[i] in "+-" and i + 2 < len(tokens) and tokens[i + 2] == "%"
        for i in range(len(tokens))
    )


def _first_number(side: Side) -> Fraction | None:
    """The first operand, for results that are worked on at once: ``3 + 4 = 7 * 2 = 14``."""
    return literal(side.tokens[0]) if side.tokens[0][:1].isdigit() else None


def _has_another(left: Side, right: Side, value: Fraction, shown: Fraction) -> bool:
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
        or (not right.bare and (left.led or _first_number(right) == passed + 1))
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
