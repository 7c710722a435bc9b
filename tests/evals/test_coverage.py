"""How often each interval holds the truth, simulated: 95 % ± 1 where it is said to.

Truths are drawn anew for each interval from a wide range, so this is coverage on average over what
an evaluation may meet, not at one convenient truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from vitarmm_agent.evals.statistics import (
    Draws,
    Interval,
    clustered_difference,
    clustered_share,
    holm,
    mcnemar,
    mean_difference,
    paired_difference,
    share_difference,
    sign_flips,
    student,
    wilson,
)

ROUNDS = 6_000
Once = Callable[[np.random.Generator], tuple[Interval, float]]


def coverage(once: Once, rounds: int = ROUNDS) -> float:
    source = np.random.default_rng(7)
    found = (once(source) for _ in range(rounds))
    return sum(i.low - 1e-12 <= truth <= i.high + 1e-12 for i, truth in found) / rounds


@pytest.mark.parametrize("n", [30, 100, 300])
def test_wilson(n: int) -> None:
    def once(source: np.random.Generator) -> tuple[Interval, float]:
        p = source.uniform(0.02, 0.98)
        return wilson(int(source.binomial(n, p)), n), p

    assert coverage(once) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("n", [40, 150])
@pytest.mark.parametrize("alike", [0.1, 0.3, 0.7])
def test_clustered_shares(n: int, alike: float) -> None:
    """Three orders of ``n`` problems whose outcomes are correlated within a problem."""

    def once(source: np.random.Generator) -> tuple[Interval, float]:
        p, size = source.uniform(0.05, 0.95), 1 / alike - 1
        each = source.beta(p * size, (1 - p) * size, n)
        return clustered_share(source.binomial(3, each), np.full(n, 3)), p

    assert coverage(once) == pytest.approx(0.95, abs=0.01)


def test_clusters_of_unlike_size() -> None:
    """Attempts: their number per problem depends on how hard the problem is."""

    def once(source: np.random.Generator) -> tuple[Interval, float]:
        each = source.beta(2, 2, 150)
        trials = 1 + source.binomial(3, 1 - each)
        return clustered_share(source.binomial(trials, each), trials), truth

    grid = np.random.default_rng(0).beta(2, 2, 400_000)
    sizes = 1 + 3 * (1 - grid)
    truth = float((sizes * grid).sum() / sizes.sum())
    assert coverage(once) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("n", [50, 100, 300])
def test_paired_differences(n: int) -> None:
    def once(source: np.random.Generator) -> tuple[Interval, float]:
        apart, up = source.uniform(0.04, 0.5), source.uniform(0.1, 0.9)
        b, c, _ = source.multinomial(n, [apart * up, apart * (1 - up), 1 - apart])
        return paired_difference(int(b), int(c), n), apart * (2 * up - 1)

    assert coverage(once) == pytest.approx(0.95, abs=0.01)


def orders(source: np.random.Generator, n: int, unsure: float) -> tuple[np.ndarray, float]:
    """Differences of an arm in three orders and one in one; the rest of the problems are sure."""
    known = np.where(source.random(n) < unsure, source.beta(2, 2, n), source.random(n) < 0.6)
    open_ = (known > 0) & (known < 1)
    lifted = np.where(open_, known + 0.2 * (1 - known), known)
    gaps = source.binomial(3, lifted) / 3 - source.binomial(1, known)
    return gaps, unsure * 0.2 * 0.5


def test_differences_over_orders() -> None:
    def once(source: np.random.Generator) -> tuple[Interval, float]:
        gaps, truth = orders(source, 300, 1.0)
        return mean_difference(list(gaps)), truth

    assert coverage(once) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("n", "unsure"), [(30, 0.1), (100, 0.05), (100, 0.3), (200, 0.1)])
def test_differences_over_orders_are_cautious_where_few_differ(n: int, unsure: float) -> None:
    def once(source: np.random.Generator) -> tuple[Interval, float]:
        gaps, truth = orders(source, n, unsure)
        return mean_difference(list(gaps)), truth

    assert coverage(once, 2_000) >= 0.95


@pytest.mark.parametrize("n", [30, 180])
def test_differences_in_groups_of_unlike_size(n: int) -> None:
    """Groups of one to three problems; those of more problems gain less."""

    def once(source: np.random.Generator) -> tuple[Interval, float]:
        sizes = source.integers(1, 4, n)
        alike = source.random(n) < 0.6 - 0.15 * sizes  # the whole group is gained
        lost = source.binomial(sizes, 0.1)
        return clustered_difference(np.where(alike, sizes, -lost), sizes), truth

    gained = [0.6 - 0.15 * size for size in (1, 2, 3)]
    truth = sum(s * (g - 0.1 * (1 - g)) for s, g in zip((1, 2, 3), gained, strict=True)) / 6
    assert coverage(once) == pytest.approx(0.955, abs=0.012)


@pytest.mark.parametrize("n", [50, 100, 200])
def test_paired_bootstrap(n: int) -> None:
    """Where a good share of the problems differ; with few it is too narrow, and is not the headline."""

    def once(source: np.random.Generator) -> tuple[Interval, float]:
        apart, up = source.uniform(0.2, 0.6), source.uniform(0.3, 0.7)
        gaps = source.choice([1.0, -1.0, 0.0], n, p=[apart * up, apart * (1 - up), 1 - apart])
        return Draws(n).ratio(gaps, np.ones(n)), apart * (2 * up - 1)

    assert coverage(once, 3_000) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("n", [50, 200])
def test_bootstrap_of_a_mean(n: int) -> None:
    """Tokens and seconds: skewed, as a gamma distribution of shape 4."""

    def once(source: np.random.Generator) -> tuple[Interval, float]:
        return Draws(n).ratio(source.gamma(4, 100, n), np.ones(n)), 400.0

    assert coverage(once, 3_000) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 300), (100, 400)])
def test_differences_of_independent_shares(n: int, m: int) -> None:
    def once(source: np.random.Generator) -> tuple[Interval, float]:
        p, q = source.uniform(0.1, 0.9, 2)
        first = float(source.binomial(n, p) / n), float(n)
        return share_difference(first, (float(source.binomial(m, q) / m), float(m))), p - q

    assert coverage(once) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("b", "c", "n"), [(8, 3, 50), (12, 0, 40), (1, 1, 30), (30, 10, 60)])
def test_paired_bounds_are_where_the_score_test_just_rejects(b: int, c: int, n: int) -> None:
    """Tango's definition, with the constrained maximum of the likelihood found on a grid."""
    found = paired_difference(b, c, n)
    for bound in (found.low, found.high):
        second = np.linspace(max(0.0, -bound), (1 - bound) / 2, 2_000_001)[1:-1]
        with np.errstate(divide="ignore"):
            likely = b * np.log(second + bound) if b else np.zeros_like(second)
            likely = likely + (c * np.log(second) if c else 0)
            likely = likely + ((n - b - c) * np.log(1 - 2 * second - bound) if n > b + c else 0)
        best = second[int(np.argmax(likely))]
        z = (b - c - n * bound) / math.sqrt(n * (2 * best + bound * (1 - bound)))
        assert abs(z) == pytest.approx(1.96, abs=0.002)
    turned = paired_difference(c, b, n)
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_sign_flips_tend_to_mcnemar() -> None:
    assert sign_flips([1.0] * 12 + [-1.0] * 3) == pytest.approx(mcnemar(12, 3), abs=0.006)
    assert sign_flips([0.0, 0.0]) == 1.0


def test_sign_flips_reject_a_true_null_as_often_as_they_say() -> None:
    source = np.random.default_rng(3)
    low = [sign_flips(list(np.round(source.normal(0, 1, 40) * 3) / 3)) <= 0.05 for _ in range(400)]
    assert np.mean(low) == pytest.approx(0.05, abs=0.03)


def test_holm_as_worked_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04.
    assert holm([0.04, 0.01, 0.02]) == [pytest.approx(x) for x in (0.04, 0.03, 0.04)]
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_students_quantile() -> None:
    for freedom, quantile in ((1, 12.706), (4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042)):
        assert student(freedom) == pytest.approx(quantile, abs=0.005)
    assert student(100_000) == pytest.approx(1.96, abs=1e-4)


def test_what_cannot_be_compared_is_refused() -> None:
    for b, c, n in ((3, 4, 5), (-1, 0, 5), (0, 0, 0)):
        with pytest.raises(ValueError, match="disagreements"):
            paired_difference(b, c, n)
    with pytest.raises(ValueError, match="draws need"):
        Draws(0)
    assert math.isnan(share_difference((0.0, 0.0), (0.5, 4.0)).estimate)
    assert math.isnan(mean_difference([]).estimate)
