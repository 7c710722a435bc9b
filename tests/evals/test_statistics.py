from __future__ import annotations

import math
import statistics

import pytest

from vitarmm_agent.evals.statistics import bootstrap, mcnemar, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    interval = wilson(successes, n)
    assert interval.estimate == successes / n
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


def test_wilson_without_data_knows_nothing() -> None:
    interval = wilson(0, 0)
    assert math.isnan(interval.estimate) and (interval.low, interval.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(3, 2)


def test_bootstrap_brackets_the_mean_and_is_repeatable() -> None:
    values = [float(i % 10) for i in range(200)]
    interval = bootstrap(values, statistics.fmean, seed=1)
    assert interval.low < interval.estimate == 4.5 < interval.high
    standard_error = statistics.pstdev(values) / math.sqrt(len(values))
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert bootstrap(values, statistics.fmean, seed=1) == interval
    assert bootstrap(values, statistics.fmean, seed=2) != interval
    with pytest.raises(ValueError, match="needs values"):
        bootstrap([], statistics.fmean)


def test_mcnemar() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(10, 10) == 1.0
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(400, 1200) < 1e-80
