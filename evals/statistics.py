"""Intervals and tests for what an evaluation counts. Pure; all intervals are of 95 %.

How often each interval holds the truth was simulated; ``docs/evaluation.md`` has the figures and
``tests/evals/test_coverage.py`` repeats them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vitarmm_agent.wilson import wilson_bounds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
Z95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""
RESAMPLES = 2_000
_CELLS = 4_000_000
_PERMUTATIONS = 20_000


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        """``0.71 [0.53, 0.84]``."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: float, n: float, *, z: float = Z95) -> Interval:
    """Wilson's score interval of a share; with ``n`` of 0 it is all of 0 to 1 and the estimate NaN.

    See :func:`vitarmm_agent.wilson.wilson_bounds`.

    Raises:
        ValueError: ``successes`` is not between 0 and ``n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n, got {successes} of {n}")
    return Interval(successes / n if n else math.nan, *wilson_bounds(successes, n, z))


def clustered_share(hits: ArrayLike, trials: ArrayLike) -> Interval:
    """A share whose trials come in clusters: Wilson's interval at the effective sample size.

    Trials of one cluster (attempts of one problem, one problem in several orders) are not
    independent. The variance of the share is estimated between clusters; the number of independent
    trials that would have it takes the place of n. When every cluster says the same, n is the
    number of clusters.

    Source: Franco, Little, Louis and Slud, Comparative study of confidence intervals for
    proportions in complex sample surveys (2019).

    Args:
        hits: successes of each cluster.
        trials: trials of each cluster; clusters without trials count for nothing.
    """
    h, t = np.asarray(hits, float), np.asarray(trials, float)
    h, t = h[t > 0], t[t > 0]
    total, clusters = float(t.sum()), len(t)
    if clusters == 0:
        return wilson(0, 0)
    share = float(h.sum()) / total
    effective = float(clusters)
    if clusters > 1 and 0 < share < 1:
        variance = clusters / (clusters - 1) * float(((h - share * t) ** 2).sum()) / total**2
        independent = share * (1 - share) / variance if variance else total
        effective = min(total, independent) * (Z95 / student(clusters - 1)) ** 2
    found = wilson(share * effective, effective)
    return Interval(share, found.low, found.high)


class Draws:
    """Bootstrap draws of ``n`` clusters; every statistic sees the same ones, so they are paired."""

    def __init__(self, n: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Draw ``resamples`` times ``n`` of ``n`` with replacement, when first needed."""
        if n < 1 or resamples < 1:
            raise ValueError(f"draws need n ≥ 1 and resamples ≥ 1, got {n} and {resamples}")
        self.n, self.resamples, self.seed = n, resamples, seed

    def sums(self, *columns: ArrayLike) -> NDArray[np.float64]:
        """Sum of each column over each draw: (columns, resamples)."""
        stacked = np.stack([np.asarray(column, float) for column in columns], axis=1)
        weights = _weights(self.n, self.resamples, self.seed)
        rows = max(1, _CELLS // self.n)
        parts = [
            weights[start : start + rows].astype(float) @ stacked
            for start in range(0, self.resamples, rows)
        ]
        return np.concatenate(parts).T

    def ratio(self, numerators: ArrayLike, denominators: ArrayLike) -> Interval:
        """Sum of the numerators over sum of the denominators; clusters are drawn whole.

        With denominators of 1 it is a mean. Draws without any denominator are left out.
        """
        top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
        if bottom.sum() == 0:
            return Interval(math.nan, math.nan, math.nan)
        tops, bottoms = self.sums(top, bottom)
        kept = bottoms > 0
        found = tops[kept] / bottoms[kept]
        return expanded(found, float(top.sum() / bottom.sum()), self.n)


@lru_cache(maxsize=4)
def _weights(n: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """How often each of ``n`` clusters is in each draw: (resamples, n)."""
    source = np.random.default_rng(seed)
    weights = np.empty((resamples, n), np.uint8)
    rows = max(1, _CELLS // n)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = source.integers(0, n, (count, n))
        drawn += np.arange(count)[:, None] * n
        counted = np.bincount(drawn.ravel(), minlength=count * n)
        weights[start : start + count] = counted.reshape(count, n)
    return weights


def expanded(draws: NDArray[np.float64], estimate: float, n: int) -> Interval:
    """Percentile interval of bootstrap draws, widened for small ``n`` as Student's t is.

    Source: Hesterberg, What teachers should know about the bootstrap (2015), expanded percentile
    interval.
    """
    if n < 2:
        return Interval(estimate, -math.inf, math.inf)
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * student(n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def student(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t with ``freedom`` degrees of freedom.

    Source: Abramowitz and Stegun, Handbook of mathematical functions, 26.7.5; the first few exactly.
    """
    exact = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645}
    if freedom in exact:
        return exact[freedom]
    z, v = Z95, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def paired_difference(only_first: int, only_second: int, n: int) -> Interval:
    """Difference of two shares of the same ``n`` pairs (first − second): Tango's score interval.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design (1998).

    Args:
        only_first: pairs in which only the first was right.
        only_second: pairs in which only the second was right.
        n: all pairs.

    Raises:
        ValueError: there are fewer pairs than disagreements, or none.
    """
    b, c = only_first, only_second
    if n < 1 or min(b, c) < 0 or b + c > n:
        raise ValueError(f"cannot compare {b} and {c} disagreements of {n} pairs")
    estimate = (b - c) / n

    def score(delta: float) -> float:
        slope = -b - c + (2 * n - b + c) * delta
        constant = -c * delta * (1 - delta)
        likely = (math.sqrt(max(slope**2 - 8 * n * constant, 0.0)) - slope) / (4 * n)
        variance = n * (2 * likely + delta * (1 - delta))
        away = b - c - n * delta
        return away / math.sqrt(variance) if variance > 1e-15 else math.copysign(math.inf, away)

    low = -1.0 if c == n else _crossing(score, -1.0, estimate, Z95)
    high = 1.0 if b == n else _crossing(score, estimate, 1.0, -Z95)
    return Interval(estimate, low, high)


def _crossing(score: Callable[[float], float], low: float, high: float, wanted: float) -> float:
    """Where a falling function passes ``wanted``."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > wanted else (low, middle)
    return (low + high) / 2


def mean_difference(gaps: Sequence[float]) -> Interval:
    """Mean of paired differences that lie between −1 and 1: Student's t with two added pairs.

    One pair of +1 and one of −1 are added, as Bonett and Price add them for right-or-wrong pairs. A
    bootstrap of few differences that are not 0 is far too narrow; this is wide there rather.

    Source: Bonett and Price, Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data (2012), applied to means of several outcomes.
    """
    if not len(gaps):
        return Interval(math.nan, math.nan, math.nan)
    widened = np.array([*gaps, 1.0, -1.0])
    n, centre = len(widened), float(widened.mean())
    spread = student(n - 1) * float(widened.std(ddof=1)) / math.sqrt(n)
    low, high = max(-1.0, centre - spread), min(1.0, centre + spread)
    return Interval(float(np.mean(gaps)), low, high)


def clustered_difference(gains: ArrayLike, counts: ArrayLike) -> Interval:
    """Mean of paired differences that come in clusters of unlike size, each difference counted once.

    A ratio of sums, made linear over the clusters; :func:`mean_difference` has the interval.

    Source: Cochran, Sampling techniques (1977), 9A.

    Args:
        gains: sum of the differences of each cluster.
        counts: how many differences that is; clusters of none count for nothing.
    """
    g, n = np.asarray(gains, float), np.asarray(counts, float)
    g, n = g[n > 0], n[n > 0]
    if not len(g):
        return Interval(math.nan, math.nan, math.nan)
    ratio = float(g.sum() / n.sum())
    found = mean_difference(list(ratio + (g - ratio * n) / n.mean()))
    return Interval(ratio, found.low, found.high)


def share_difference(first: tuple[float, float], second: tuple[float, float]) -> Interval:
    """Difference of two shares of independent samples, each ``(share, effective n)``.

    Source: Newcombe, Interval estimation for the difference between independent proportions (1998),
    method 10.
    """
    (p, n), (q, m) = first, second
    one, other = wilson(p * n, n), wilson(q * m, m)
    if n == 0 or m == 0:
        return Interval(math.nan, -1.0, 1.0)
    return Interval(
        p - q,
        p - q - math.hypot(p - one.low, other.high - q),
        p - q + math.hypot(one.high - p, q - other.low),
    )


def bootstrap(
    values: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    resamples: int = 2_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of any statistic of a sample; the same seed gives the same interval.

    For shares and means of an evaluation use :class:`Draws`, which is quicker and right for small n.

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


def sign_flips(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p-value that paired differences have no direction; McNemar's test beyond 0 and 1.

    Each difference keeps or changes its sign with even odds, 20,000 times; with differences of −1,
    0 and 1 the p-value tends to that of :func:`mcnemar`.
    """
    values = np.asarray([value for value in differences if value], float)
    if not len(values):
        return 1.0
    source = np.random.default_rng(seed)
    seen, most = abs(float(values.sum())), 0
    rows = max(1, _CELLS // len(values))
    for start in range(0, _PERMUTATIONS, rows):
        signs = source.integers(0, 2, (min(rows, _PERMUTATIONS - start), len(values))) * 2 - 1
        most += int((np.abs(signs @ values) >= seen - 1e-9).sum())
    return (1 + most) / (1 + _PERMUTATIONS)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several, in the order given.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted
