"""What memory was shown, how it turned out, how far its confidence can be trusted, and leaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import (
    Estimate,
    cluster_of,
    ended,
    estimate,
    mean,
    share,
)
from vitarmm_agent.evals.run.samples import Sample, SampleAttempt, ShownEntry
from vitarmm_agent.evals.statistics import Draws, Interval, expanded

BINS = 10
WRITTEN = ("added", "updated", "merged", "superseded", "quarantined")
"""Actions that put text into the memory; anything but these wrote nothing."""


class MemoryUse(Data):
    """Entries shown to attempts. What follows a showing is not always caused by it: see credit.

    Attributes:
        recalled: share of the attempts that were shown an entry.
        entries: entries shown per attempt.
        helpful, harmful: share of the showings whose attempt feedback passed, and failed.
        right_after: share of the showings whose attempt is right.
        right_with, right_without: accuracy of attempts with and without an entry shown.
        withheld: attempts from which an entry was kept.
    """

    recalled: Estimate
    entries: Estimate
    helpful: Estimate
    harmful: Estimate
    right_after: Estimate
    right_with: Estimate
    right_without: Estimate
    withheld: int


class CalibrationBin(Data):
    """Showings whose entry has a confidence in ``[low, high)``; the last bin includes 1."""

    low: float
    high: float
    confidence: float
    right: Estimate


class Calibration(Data):
    """Confidence of the entries shown against how often the attempt is right.

    Attributes:
        ece: mean distance of confidence and accuracy over the bins, weighted by showings.
    """

    ece: Estimate
    bins: tuple[CalibrationBin, ...]


class WrittenEntries(Data):
    """Entries written, and what they give away.

    Attributes:
        entries: entries written per sample.
        failures: decisions of the memory writer that could not be used, per sample.
        leaks: share of the entries whose text gives away the problem they come from.
        leaks_answer, leaks_verbatim: the same by reason.
        contaminated: of the attempts that were shown an entry, the share that were shown one which
            an earlier run learned on the very same problem.
        by_type: entries written of each type.
    """

    entries: Estimate
    failures: Estimate
    leaks: Estimate
    leaks_answer: Estimate
    leaks_verbatim: Estimate
    contaminated: Estimate
    by_type: dict[str, int]


Showing = tuple[str, SampleAttempt, ShownEntry]


def showings(samples: Sequence[Sample]) -> list[Showing]:
    """Every entry that an attempt saw, with its problem and the attempt."""
    return [
        (cluster_of(sample), attempt, entry)
        for sample in ended(samples)
        for attempt in sample.attempts
        for entry in attempt.shown
        if not entry.withheld
    ]


def memory_use(samples: Sequence[Sample]) -> MemoryUse:
    """Entries shown, and what became of the attempts."""
    attempts = [(cluster_of(s), a, _seen(a)) for s in ended(samples) for a in s.attempts]
    shown = showings(samples)
    return MemoryUse(
        recalled=share(((p, seen > 0, 1) for p, _, seen in attempts), "attempts"),
        entries=mean(((p, seen, 1) for p, _, seen in attempts), "attempts"),
        helpful=share(((p, a.verdict == "pass", 1) for p, a, _ in shown), "showings"),
        harmful=share(((p, a.verdict == "fail", 1) for p, a, _ in shown), "showings"),
        right_after=share(((p, a.correct, 1) for p, a, _ in shown), "showings"),
        right_with=share(((p, a.correct, 1) for p, a, seen in attempts if seen), "attempts"),
        right_without=share(((p, a.correct, 1) for p, a, seen in attempts if not seen), "attempts"),
        withheld=sum(any(e.withheld for e in a.shown) for _, a, _ in attempts),
    )


def _seen(attempt: SampleAttempt) -> int:
    return sum(not entry.withheld for entry in attempt.shown)


def calibration(samples: Sequence[Sample]) -> Calibration:
    """Expected calibration error over ten bins of equal width, and the bins that hold anything."""
    shown = showings(samples)
    inside: list[list[Showing]] = [[] for _ in range(BINS)]
    for showing in shown:
        inside[min(int(showing[2].confidence * BINS), BINS - 1)].append(showing)
    return Calibration(
        ece=_ece(shown),
        bins=tuple(
            CalibrationBin(
                low=i / BINS,
                high=(i + 1) / BINS,
                confidence=round(sum(e.confidence for _, _, e in rows) / len(rows), 6),
                right=share(((p, a.correct, 1) for p, a, _ in rows), "showings"),
            )
            for i, rows in enumerate(inside)
            if rows
        ),
    )


def _ece(shown: Sequence[Showing]) -> Estimate:
    """With a basic bootstrap interval: a percentile one would carry the bias of the estimate twice."""
    if not shown:
        return Estimate(value=None, unit="showings", method="basic bootstrap")
    problems = {problem: i for i, problem in enumerate(sorted({p for p, _, _ in shown}))}
    gaps = np.zeros((BINS, len(problems)))
    counts = np.zeros(len(problems))
    for problem, attempt, entry in shown:
        place = min(int(entry.confidence * BINS), BINS - 1)
        gaps[place, problems[problem]] += attempt.correct - entry.confidence
        counts[problems[problem]] += 1
    value = float(np.abs(gaps.sum(axis=1)).sum() / counts.sum())
    sums = Draws(len(problems)).sums(*gaps, counts)
    drawn = expanded(np.abs(sums[:-1]).sum(axis=0) / sums[-1], value, len(problems))
    bounds = Interval(value, max(0.0, 2 * value - drawn.high), min(1.0, 2 * value - drawn.low))
    return estimate(bounds, n=len(shown), unit="showings", method="basic bootstrap")


def written(samples: Sequence[Sample]) -> WrittenEntries:
    """Entries written, leaks, and entries that came back to their own problem."""
    done = ended(samples)
    entries = [(cluster_of(s), w) for s in done for w in s.written if w.action in WRITTEN]
    types = sorted({w.entry_type for _, w in entries if w.entry_type})

    def leaks(*reasons: str) -> Estimate:
        return share(((p, w.leak in reasons, 1) for p, w in entries), "entries")

    return WrittenEntries(
        entries=mean(
            ((cluster_of(s), sum(w.action in WRITTEN for w in s.written), 1) for s in done),
            "samples",
        ),
        failures=mean(((cluster_of(s), s.write_failures, 1) for s in done), "samples"),
        leaks=leaks("answer", "verbatim"),
        leaks_answer=leaks("answer"),
        leaks_verbatim=leaks("verbatim"),
        contaminated=_contaminated(done),
        by_type={name: sum(w.entry_type == name for _, w in entries) for name in types},
    )


def _contaminated(samples: Sequence[Sample]) -> Estimate:
    rows = []
    for sample in samples:
        own = {entry.entry_id for entry in sample.written}
        for attempt in sample.attempts:
            shown = [entry for entry in attempt.shown if not entry.withheld]
            if shown:
                foreign = (e for e in shown if e.id not in own)
                rows.append(
                    (cluster_of(sample), any(e.origin == sample.problem_id for e in foreign), 1)
                )
    return share(rows, "attempts with an entry")
