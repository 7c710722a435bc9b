"""How far an evaluation is: per arm, samples, running accuracy and time left."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vitarmm_agent.evals.run.samples import Sample

EVERY = 60.0
"""Seconds between two lines where no terminal shows the bars."""


class EvalProgress:
    """Bars on a terminal; elsewhere, such as in a log file, a line now and then."""

    def __init__(self, console: Console, expected: Mapping[str, int]) -> None:
        """Show ``expected`` samples by arm."""
        self.console = console
        self.expected = dict(expected)
        self._done: Counter[str] = Counter()
        self._correct: Counter[str] = Counter()
        self._crashed: Counter[str] = Counter()
        self._earlier = 0
        self._began = self._told = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {
            arm: self._bars.add_task(arm, total=n, words="") for arm, n in self.expected.items()
        }

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""
        self._bars.stop()

    def add(self, sample: Sample) -> None:
        """Count one sample; those of earlier sessions come first, all at once."""
        arm = sample.arm
        self._done[arm] += 1
        self._correct[arm] += sample.correct
        self._crashed[arm] += sample.crash is not None
        if arm in self._tasks:
            self._bars.update(self._tasks[arm], completed=self._done[arm], words=self._words(arm))
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told >= EVERY:
            self._told = now
            self.console.print(self.line(), markup=False)

    def line(self) -> str:
        """All arms in one line, and the time left at the present pace."""
        arms = [
            f"{arm} {self._done[arm]}/{total} {self._words(arm)}".strip()
            for arm, total in self.expected.items()
        ]
        done, total = sum(self._done[arm] for arm in self.expected), sum(self.expected.values())
        elapsed = time.monotonic() - self._began
        left = elapsed / done * (total - done) if done else 0.0
        return f"{'; '.join(arms)}; {elapsed / 60:.0f} min gone, about {left / 60:.0f} min left"

    def _words(self, arm: str) -> str:
        ended = self._done[arm] - self._crashed[arm]
        words = f"{self._correct[arm] / ended:.1%} right" if ended else ""
        return f"{words} {self._crashed[arm]} crashed".strip() if self._crashed[arm] else words
