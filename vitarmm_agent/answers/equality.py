"""Whether two answers are the same: as choices, numbers, lists, text, and as mathematics."""

from __future__ import annotations

import re
import time
from fractions import Fraction

from vitarmm_agent.answers.choices import choice_index
from vitarmm_agent.answers.closed_form import closed_form
from vitarmm_agent.answers.normalise import (
    compound,
    essential,
    fold,
    label_of,
    list_items,
    plain,
    quantity_of,
    value_of,
)
from vitarmm_agent.answers.structures import same_structure, structure_of
from vitarmm_agent.numbers.reading import Quantity
from vitarmm_agent.numbers.units import NO_UNIT, Unit, conversion, unit_behind
from vitarmm_agent.problem import Problem

_DECIMALS = re.compile(r"\.(\d+)")
_MATHEMATICAL = re.compile(
    r"\\[a-zA-Z]|[\^_√π∞∪∩=<>≤≥±|]|\d\s*[a-z]\b|\b\d*[xyz]{2,3}\b|[a-z]\s*[-+*/]\s*\w|sqrt"
    r"|\b(?:sin|cos|tan|log|ln)\b", re.I
)  # fmt: skip
_PERHAPS_TWO = re.compile(r"[-+]?(?:0,\d|[1-9]\d*,(?:\d{1,2}|\d{4,}))")
"""``1,5``: two numbers, or one with a decimal comma."""
_SYMBOL = re.compile(r"[\W\d]*\d(?:\s([^\W\d_])|\s?([^\W\d_]{2,3}))")
_DOZENS_ASKED = re.compile(r"\b(?:how many|number of|in) dozens?\b", re.IGNORECASE)
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
    if problem.answer_type == "text":
        a, b = essential(a), essential(b)
    first, second = _number(problem, a), _number(problem, b)
    if _named_apart(a, b):
        return False
    if problem.answer_type == "list":
        problem = problem.model_copy(update={"answer_type": "text", "unit": None})
        if len(one := list_items(a)) == len(two := list_items(b)) == 1:  # [5] is 5
            return _equal(problem, one[0], two[0], until)
    elif first is not None and second is not None:
        return _same_number(problem, (a, first), (b, second))
    if problem.answer_type in ("integer", "float"):
        return _same_text(a, b)
    made_of_several = same_structure(
        a, b, lambda x, y: time.monotonic() < until and _equal(problem, x, y, until)
    )
    if made_of_several is not None:
        return made_of_several
    if _same_text(a, b):
        return True
    if _cased_apart(a, b) or not _worth_proving(a, b):
        return False
    from vitarmm_agent.answers.mathematics import same_mathematics

    return same_mathematics(a, b)


def _number(problem: Problem, text: str) -> Quantity | None:
    """An answer as a number. Where none is asked for, ``1,5`` is two, and ``1 h 30 min`` or ``9 pm`` one."""
    if problem.answer_type != "text":
        return quantity_of(text)
    if _PERHAPS_TWO.fullmatch(text.strip(" $.")):
        return None
    return compound(text) or quantity_of(text)


def _named_apart(a: str, b: str) -> bool:
    """Whether two answers are values of two unlike names: ``x = 3`` and ``y = 3``."""
    if "=" not in a + b and "∈" not in a + b and "\\in" not in a + b:
        return False
    one, other = label_of(a), label_of(b)
    return one is not None and other is not None and one != other and _is_value(a) and _is_value(b)


def _is_value(text: str) -> bool:
    """Whether what stands behind the name says all there is to say."""
    tail = re.split(r"=|∈|\\in\b", text, maxsplit=1)[1]
    bare = structure_of(tail) is not None or value_of(tail) is not None
    return bare or closed_form(tail) is not None


def _same_text(a: str, b: str) -> bool:
    """The same for readers of text, who put case aside, but not of a unit's symbol."""
    return fold(a) == fold(b) and not _cased_apart(a, b)


def _cased_apart(a: str, b: str) -> bool:
    """Whether only the case of a unit's symbol differs: ``5 MB`` is not ``5 Mb``."""
    one, other = _SYMBOL.fullmatch(a), _SYMBOL.fullmatch(b)
    if one is None or other is None:
        return False
    first, second = one[1] or one[2], other[1] or other[2]
    return first != second and first.casefold() == second.casefold()


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
    if _DOZENS_ASKED.search(problem.text) and "dozen" in first.unit.measures | second.unit.measures:
        factor = factor and Fraction(1)
    if factor is None:
        return False
    value = first.value * factor
    marked = [
        value for q, value in ((first, value), (second, second.value)) if "%" in q.unit.measures
    ]
    if len(marked) == 1 and abs(marked[0]) < 1 and not _asked(problem):
        whole = False  # 0.5% is 0.005, and never 0.5
    else:
        whole = _close(problem, (one, value), (two, second.value))
    if whole or len(marked) != 1:
        return whole
    hundredth = Fraction(1, 100)
    by = (hundredth, 1) if "%" in first.unit.measures else (1, hundredth)
    return not _asked(problem) and _close(
        problem, (one, value * by[0]), (two, second.value * by[1])
    )


def _asked(problem: Problem) -> Unit:
    """The unit that the problem asks for: that of an answer without one."""
    return unit_behind(f" {problem.unit}") or NO_UNIT if problem.unit else NO_UNIT


def _close(problem: Problem, a: tuple[str, Fraction], b: tuple[str, Fraction]) -> bool:
    if a[1] == b[1]:
        return True
    if problem.answer_type == "float" and problem.precision is not None:
        return round(a[1], problem.precision) == round(b[1], problem.precision)
    if not a[1] or not b[1]:
        return False  # 0.004 may be rounded to 0.00, but is not nothing
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
