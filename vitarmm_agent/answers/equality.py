"""Whether two answers are the same: as choices, numbers, lists, text, and as mathematics."""

from __future__ import annotations

import re
import time
from fractions import Fraction

from vitarmm_agent.answers.choices import choice_index
from vitarmm_agent.answers.normalise import fold, list_items, plain, quantity_of
from vitarmm_agent.answers.structures import same_structure
from vitarmm_agent.numbers.reading import Quantity
from vitarmm_agent.numbers.units import NO_UNIT, Unit, conversion, unit_behind
from vitarmm_agent.problem import Problem

_DECIMALS = re.compile(r"\.(\d+)")
_MATHEMATICAL = re.compile(
    r"\\[a-zA-Z]|[\^_√π∞∪∩=<>≤≥]|\d\s*[a-z]\b|[a-z]\s*[-+*/]\s*\w|sqrt", re.I
)
SECONDS = 2.0
"""Time for all items of an answer made of several."""
MIN_PLACES = 2
FLOAT_PLACES = 12
"""With as many decimals a number is a calculator's, and its last figures are noise."""


def answers_equal(problem: Problem, a: str | None, b: str | None) -> bool:
    """Whether two final answers to ``problem`` are the same.

    Numbers are equal by value, or when the one rounds to the other's written decimals (two at
    least, or ``problem.precision``). Expressions are compared by math-verify in a worker process
    that is killed when it takes too long; what cannot be decided in time is not equal.
    """
    if a is None or b is None or not a.strip() or not b.strip():
        return False
    return _equal(problem, a, b, time.monotonic() + SECONDS)


def _equal(problem: Problem, a: str, b: str, until: float) -> bool:
    if a == b:
        return True
    if problem.answer_type == "choice":
        return _same_choice(problem, a, b)
    first, second = quantity_of(a), quantity_of(b)
    if problem.answer_type == "list":
        problem = problem.model_copy(update={"answer_type": "text", "unit": None})
        if len(one := list_items(a)) == len(two := list_items(b)) == 1:  # [5] is 5
            return _equal(problem, one[0], two[0], until)
    elif first is not None and second is not None:
        return _same_number(problem, (a, first), (b, second))
    if problem.answer_type in ("integer", "float"):
        return fold(a) == fold(b)
    made_of_several = same_structure(
        a, b, lambda x, y: time.monotonic() < until and _equal(problem, x, y, until)
    )
    if made_of_several is not None:
        return made_of_several
    if fold(a) == fold(b):
        return True
    if not _worth_proving(a, b):
        return False
    from vitarmm_agent.answers.mathematics import same_mathematics

    return same_mathematics(a, b)


def _same_choice(problem: Problem, a: str, b: str) -> bool:
    first, second = choice_index(problem.choices, a), choice_index(problem.choices, b)
    if first is None or second is None:
        return first is second is None and fold(a) == fold(b) != ""
    return first == second or problem.choices[first].strip() == problem.choices[second].strip()


def _same_number(problem: Problem, a: tuple[str, Quantity], b: tuple[str, Quantity]) -> bool:
    (one, first), (two, second) = a, b
    if first == second:
        return True
    factor = conversion(
        first.unit or _asked(problem),
        second.unit or _asked(problem),
        counting=problem.answer_type in ("integer", "float"),
    )
    if factor is None:
        return False
    value = first.value * factor
    if _close(problem, (one, value), (two, second.value)):
        return True
    marked = ("%" in first.unit.measures, "%" in second.unit.measures)
    if marked == (True, False):
        return _close(problem, (one, value / 100), (two, second.value))
    return marked == (False, True) and _close(problem, (one, value), (two, second.value / 100))


def _asked(problem: Problem) -> Unit:
    """The unit that the problem asks for: that of an answer without one."""
    return unit_behind(f" {problem.unit}") or NO_UNIT if problem.unit else NO_UNIT


def _close(problem: Problem, a: tuple[str, Fraction], b: tuple[str, Fraction]) -> bool:
    if a[1] == b[1]:
        return True
    if problem.answer_type == "float" and problem.precision is not None:
        return round(a[1], problem.precision) == round(b[1], problem.precision)
    places = [len(m[1]) for text, _ in (a, b) if (m := _DECIMALS.search(text))]
    if places and max(places) >= FLOAT_PLACES:
        return abs(a[1] - b[1]) <= Fraction(1, 10**9) * max(abs(a[1]), abs(b[1]))
    if not places or min(places) < MIN_PLACES:
        return False
    return round(a[1], min(places)) == round(b[1], min(places)) and abs(a[1] - b[1]) <= Fraction(
        51, 100
    ) / 10 ** min(places)


def _worth_proving(a: str, b: str) -> bool:
    return (
        max(len(a), len(b)) <= 300
        and bool(_MATHEMATICAL.search(a) or _MATHEMATICAL.search(b))
        and bool(plain(a) and plain(b))
    )
