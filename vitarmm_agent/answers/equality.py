"""Whether two answers are the same: as choices, numbers, lists, text, and as mathematics."""

from __future__ import annotations

import re
from fractions import Fraction

from vitarmm_agent.answers.choices import choice_index
from vitarmm_agent.answers.normalise import fold, list_items, plain, value_of
from vitarmm_agent.problem import Problem

_DECIMALS = re.compile(r"\.(\d+)")
_MATHEMATICAL = re.compile(
    r"\\[a-zA-Z]|[\^_√π∞∪∩=<>≤≥]|\d\s*[a-z]\b|[a-z]\s*[-+*/]\s*\w|sqrt", re.I
)
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
    if a == b:
        return True
    if problem.answer_type == "choice":
        return _same_choice(problem, a, b)
    if problem.answer_type == "list":
        return _same_list(problem, a, b)
    first, second = value_of(a), value_of(b)
    if first is not None and second is not None:
        return _same_number(problem, (a, first), (b, second))
    if fold(a) == fold(b):
        return True
    if problem.answer_type in ("integer", "float") or not _worth_proving(a, b):
        return False
    from vitarmm_agent.answers.mathematics import same_mathematics

    return same_mathematics(a, b)


def _same_choice(problem: Problem, a: str, b: str) -> bool:
    first, second = choice_index(problem.choices, a), choice_index(problem.choices, b)
    if first is None or second is None:
        return first is second is None and fold(a) == fold(b) != ""
    return first == second or problem.choices[first].strip() == problem.choices[second].strip()


def _same_list(problem: Problem, a: str, b: str) -> bool:
    one, two = list_items(a), list_items(b)
    item = problem.model_copy(update={"answer_type": "text"})
    return len(one) == len(two) > 0 and all(
        answers_equal(item, x, y) for x, y in zip(one, two, strict=True)
    )


def _same_number(problem: Problem, a: tuple[str, Fraction], b: tuple[str, Fraction]) -> bool:
    if _close(problem, a, b):
        return True
    marked = ("%" in a[0], "%" in b[0])
    if marked == (True, False):
        return _close(problem, (a[0], a[1] / 100), b)
    return marked == (False, True) and _close(problem, a, (b[0], b[1] / 100))


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
