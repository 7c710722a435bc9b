"""A figure with its number of cases and its interval; problems, or their groups, are independent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.statistics import Draws, Interval, clustered_share, wilson

Row = tuple[str, float, float]
"""A cluster (the problem, or the group of those that recur), a numerator and a denominator."""


class Estimate(Data):
    """One figure.

    Attributes:
        value: None where there was nothing to count.
        low, high: 95 % interval, or None where none can be given.
        n: what was counted, in ``unit``.
        count: how many of ``n`` (for a share), or the sum (for a mean).
        unit: what ``n`` counts.
        method: how the interval was made: ``wilson``, ``clustered wilson``, ``bootstrap``, ``basic
            bootstrap``, ``score``, ``adjusted t``, ``newcombe`` (see
            :mod:`vitarmm_agent.evals.statistics`).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    count: float | None = None
    unit: str = "problems"
    method: str = ""

    def text(self, *, percent: bool = True, digits: int = 1) -> str:
        """``71.0 % [53.1, 84.2]``; an en dash where nothing was counted."""
        if self.value is None:
            return "–"
        scale = 100 if percent else 1
        shown = f"{scale * self.value:,.{digits}f}{' %' if percent else ''}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown} [{scale * self.low:,.{digits}f}, {scale * self.high:,.{digits}f}]"


def problem_of(sample: Sample) -> str:
    """Name of a sample's problem, unique over benchmarks."""
    return f"{sample.benchmark}/{sample.problem_id}"


def cluster_of(sample: Sample) -> str:
    """What is independent of all others: the group of a recurring problem, else the problem."""
    return f"{sample.benchmark}/{sample.group}/" if sample.group else problem_of(sample)


def ended(samples: Iterable[Sample]) -> list[Sample]:
    """Samples that did not crash."""
    return [sample for sample in samples if sample.crash is None]


def estimate(interval: Interval, **more: object) -> Estimate:
    """An interval as an estimate; what is not finite becomes None."""
    value, low, high = (
        None if not math.isfinite(number) else round(number, 6)
        for number in (interval.estimate, interval.low, interval.high)
    )
    if value is None:
        low = high = None
    return Estimate.model_validate({"value": value, "low": low, "high": high, **more})


def share(rows: Iterable[Row], unit: str = "problems") -> Estimate:
    """A share from rows of (problem, hits, trials).

    Wilson's interval when no problem has two trials, else the clustered one.
    """
    hits, trials = by_cluster(rows)
    total, count = sum(trials), sum(hits)
    if all(t <= 1 for t in trials):
        found, method = wilson(count, total), "wilson"
    else:
        found, method = clustered_share(hits, trials), "clustered wilson"
    return estimate(found, n=int(total), count=count, unit=unit, method=method)


def mean(rows: Iterable[Row], unit: str = "problems") -> Estimate:
    """A ratio of sums from rows of (problem, value, weight), a mean when weights are 1.

    Problems are drawn whole; one may have a value without any weight.
    """
    tops, bottoms = by_cluster(rows)
    total = sum(bottoms)
    if not total:
        return Estimate(value=None, unit=unit, method="bootstrap")
    found = Draws(len(tops)).ratio(tops, bottoms)
    return estimate(found, n=int(total), count=round(sum(tops), 6), unit=unit, method="bootstrap")


def by_cluster(rows: Iterable[Row]) -> tuple[Sequence[float], Sequence[float]]:
    """Sums of values and of weights per problem, in the order of their names."""
    tops: dict[str, float] = {}
    bottoms: dict[str, float] = {}
    for cluster, top, bottom in rows:
        tops[cluster] = tops.get(cluster, 0.0) + top
        bottoms[cluster] = bottoms.get(cluster, 0.0) + bottom
    names = sorted(tops)
    return [tops[name] for name in names], [bottoms[name] for name in names]
