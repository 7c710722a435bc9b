"""What a report says; drawing it is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics import Metrics, measure
from vitarmm_agent.evals.run.folder import EvaluationConfig
from vitarmm_agent.evals.run.samples import Sample

SCHEMA_VERSION = 1


class Headline(Data):
    """One arm in a line.

    Attributes:
        n: samples that ended.
        crashed: samples that did not.
        accuracy, low, high: with a 95 % interval; None when nothing ended.
    """

    arm: str
    oracle: bool
    n: int
    crashed: int
    accuracy: float | None
    low: float | None
    high: float | None


class Report(Data):
    """``report.json``.

    Attributes:
        complete: every arm has a sample for each problem and order.
        notes: what a reader must know before the figures, in words.
    """

    schema_version: int = SCHEMA_VERSION
    headline: tuple[Headline, ...]
    complete: bool
    notes: tuple[str, ...]
    config: EvaluationConfig
    metrics: Metrics


def build_report(config: EvaluationConfig, samples: Sequence[Sample]) -> Report:
    """The report of these samples."""
    metrics = measure(samples, config.arms)
    problems = sum(used.n for used in config.benchmarks)
    missing = [arm for arm in config.arms if arm not in {m.arm for m in metrics.arms}]
    short = [m.arm for m in metrics.arms if m.samples < problems * m.orders]
    return Report(
        headline=tuple(
            Headline(
                arm=m.arm,
                oracle=m.oracle or m.arm in config.oracle_arms,
                n=m.accuracy.n,
                crashed=m.crashed,
                accuracy=m.accuracy.value,
                low=m.accuracy.low,
                high=m.accuracy.high,
            )
            for m in metrics.arms
        ),
        complete=not missing and not short,
        notes=tuple(_notes(config, metrics, problems, [*missing, *short])),
        config=config,
        metrics=metrics,
    )


def _notes(
    config: EvaluationConfig, metrics: Metrics, problems: int, unfinished: Sequence[str]
) -> list[str]:
    notes = []
    oracle = [m.arm for m in metrics.arms if m.oracle or m.arm in config.oracle_arms]
    if unfinished:
        notes.append(f"Not finished: {', '.join(unfinished)}. Figures are of what there is.")
    if oracle:
        notes.append(
            f"Oracle: feedback of {', '.join(oracle)} saw the gold answer. It bounds what feedback "
            "could do; it is no result of a system that does not know the answer."
        )
    if metrics.control != "empty" and len(metrics.arms) > 1:
        notes.append(
            "The arm `empty` was not run: a gain over a single pass may come from the loop and its "
            "prompt rather than from memory."
        )
    streams = [m for m in metrics.arms if m.arm in ("online", "oracle")]
    if any(m.orders < 3 for m in streams):
        notes.append(
            "What an online memory has learned depends on the order of the problems; fewer than "
            "three orders were run, so that spread is not known."
        )
    crashed = sum(m.crashed for m in metrics.arms)
    if crashed:
        notes.append(
            f"{crashed} runs crashed. Accuracy is of the runs that ended; the column beside it "
            "counts a crash as wrong."
        )
    if config.withhold:
        notes.append(
            f"With probability {config.withhold:g} an entry was withheld from a run, to estimate "
            "what entries are worth; those runs are part of the accuracy."
        )
    if problems < 100:
        notes.append(f"Only {problems} problems: intervals are wide, and small effects invisible.")
    return notes
