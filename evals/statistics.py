"""Intervals and tests for what an evaluation counts. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")
Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """``0.71 [0.53, 0.84]``."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: int, n: int, *, z: float = Z95) -> Interval:
    """Wilson's score interval of a share; with ``n`` of 0 it is all of 0 to 1 and the estimate NaN.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).

    Raises:
        ValueError: ``successes`` is not between 0 and ``n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n, got {successes} of {n}")
    if n == 0:
        return Interval(math.nan, 0.0, 1.0)
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == n else (centre + spread) / scale
    return Interval(share, low, high)


def bootstrap(
    values: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    resamples: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of any statistic of a sample; the same seed gives the same interval.

    For a paired comparison give pairs, or differences: rows are drawn whole.

    Raises:
        ValueError: there are no values, no resamples, or ``confidence`` is not between 0 and 1.
    """
    if not values or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"bootstrap needs values, resamples ≥ 1 and 0 < confidence < 1, "
            f"got {len(values)}, {resamples} and {confidence}"
        )
    draw = random.Random(seed)
    found = sorted(statistic(draw.choices(values, k=len(values))) for _ in range(resamples))
    tail = (1 - confidence) / 2
    low = found[min(int(tail * resamples), resamples - 1)]
    high = found[min(int((1 - tail) * resamples), resamples - 1)]
    return Interval(statistic(values), low, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of a paired comparison of two right-or-wrong outcomes.

    Args:
        only_first: pairs in which only the first was right.
        only_second: pairs in which only the second was right.
    """
    n, k = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    tail = Fraction(sum(math.comb(n, i) for i in range(k + 1)), 2**n)
    return min(1.0, 2 * float(tail))
