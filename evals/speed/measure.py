"""Timing and the table that every benchmark prints."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison. ``ratio`` is ours / baseline, in the unit given."""

    what: str
    ours: float
    baseline: float
    unit: str
    baseline_name: str
    aim: str = ""

    @property
    def ratio(self) -> float:
        """Ours over the baseline."""
        return self.ours / self.baseline


def interleaved(
    *functions: Callable[[], object], repeat: int = 5, warm_up: int = 1
) -> list[list[float]]:
    """Seconds of each function, called in turn so that a noisy machine hits all alike."""
    for _ in range(warm_up):
        for function in functions:
            function()
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(repeat):
        for function, taken in zip(functions, seconds, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return seconds


def medians(seconds: Sequence[Sequence[float]]) -> list[float]:
    """Median of each series."""
    return [statistics.median(series) for series in seconds]


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print a Markdown table, ready for ``docs/performance.md``."""
    print(f"### {title}\n")
    print("| what | ours | baseline | ratio | aim |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.what} | {row.ours:.4g} {row.unit} | "
            f"{row.baseline:.4g} {row.unit} ({row.baseline_name}) | {row.ratio:.3g}× | {row.aim} |"
        )
    print()
