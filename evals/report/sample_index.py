"""The samples of an evaluation, a page at a time, however many there are.

Every line of ``samples.jsonl`` is read once, and again only what is added to it. Kept of each is where
it lies and what it is filtered by; of a sample that stands there twice, the last.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.metrics.estimate import problem_of
from vitarmm_agent.evals.report.page import kinds
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.worklist import read_row, whole_lines

OUTCOMES = ("right", "wrong", "crashed", "mended", "spoiled", "believed", "doubted")
"""What a sample came to: an answer that a later attempt put right is ``mended``, one that it lost
``spoiled``; a wrong one that feedback let pass is ``believed``, a right one that it failed ``doubted``."""


class SampleFilter(NamedTuple):
    """Which samples; what is empty does not matter.

    Attributes:
        outcome: one of :data:`OUTCOMES`.
        source: of the last verdict.
    """

    arm: str = ""
    outcome: str = ""
    source: str = ""


class SamplePage(NamedTuple):
    """Some samples, in the order of the problems; ``total`` match."""

    samples: list[Sample]
    total: int


class _Line(NamedTuple):
    """Where a sample lies, and what it is sorted and filtered by."""

    order: int
    position: int
    arm: str
    key: str
    number: int
    start: int
    end: int
    problem: str
    thread_id: str
    outcomes: frozenset[str]
    source: str


class SampleIndex:
    """The lines of one ``samples.jsonl``. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Look at ``path``; nothing is read yet."""
        self.path = path
        self._lock = threading.Lock()
        self._begin()

    def page(self, where: SampleFilter, *, limit: int, offset: int = 0) -> SamplePage:
        """Samples that match.

        Raises:
            InputError: the file cannot be read, or a line of it is no sample.
        """
        with self._lock:
            self._refresh()
            found = [line for line in self._lines if _meets(line, where)]
            return SamplePage(self._samples(found[offset : offset + limit]), len(found))

    def of_run(self, thread_id: str, limit: int = 20) -> list[Sample]:
        """The sample of a run, and then the others on its problem.

        Raises:
            InputError: as for :meth:`page`.
        """
        with self._lock:
            self._refresh()
            own = [line for line in self._lines if line.thread_id == thread_id][:1]
            same = self._of_problem[own[0].problem] if own else []
            lines = [*own, *(line for line in same if line not in own)]
            return self._samples(lines[:limit])

    def arms(self) -> list[str]:
        """Of the samples read so far."""
        with self._lock:
            return sorted({line.arm for line in self._lines})

    def sources(self) -> list[str]:
        """Of last verdicts, among the samples read so far."""
        with self._lock:
            return sorted({line.source for line in self._lines} - {""})

    def _begin(self) -> None:
        self._by_key: dict[str, _Line] = {}
        self._lines: list[_Line] = []
        self._of_problem: dict[str, list[_Line]] = {}
        self._read = 0
        self._seen = (0, 0, 0)
        self._end = 0

    def _refresh(self) -> None:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return self._begin()
        except OSError as error:
            raise self._unreadable(error) from None
        seen = (now.st_ino, now.st_size, now.st_mtime_ns)
        if seen == self._seen:
            return
        if now.st_ino != self._seen[0] or now.st_size < self._end:
            self._begin()
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                data = file.read()
        except OSError as error:
            raise self._unreadable(error) from None
        self._add(data[: whole_lines(data)].splitlines(keepends=True))
        self._lines = sorted(self._by_key.values())
        self._of_problem = defaultdict(list)
        for line in self._lines:
            self._of_problem[line.problem].append(line)
        self._seen = seen

    def _add(self, lines: Iterable[bytes]) -> None:
        for raw in lines:
            number, end = self._read + 1, self._end + len(raw)
            sample = read_row(raw, Sample, self.path, number)
            last = sample.attempts[-1] if sample.attempts else None
            self._by_key[sample.key] = _Line(
                sample.order, sample.position, sample.arm, sample.key, number, self._end, end,
                problem_of(sample), sample.thread_id, outcomes(sample), last.source if last else "",
            )  # fmt: skip
            self._read, self._end = number, end

    def _samples(self, lines: Iterable[_Line]) -> list[Sample]:
        found = []
        try:
            with self.path.open("rb") as file:
                for line in lines:
                    file.seek(line.start)
                    raw = file.read(line.end - line.start)
                    found.append(read_row(raw, Sample, self.path, line.number))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from None
        return found

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"{str(self.path)!r} cannot be read: {error.strerror}")


def outcomes(sample: Sample) -> frozenset[str]:
    """All of :data:`OUTCOMES` that a sample came to."""
    found = set(kinds(sample).split())
    verdict = sample.attempts[-1].verdict if sample.attempts else "abstain"
    if sample.crash is None and verdict == ("fail" if sample.correct else "pass"):
        found.add("doubted" if sample.correct else "believed")
    return frozenset(found)


def _meets(line: _Line, where: SampleFilter) -> bool:
    return (
        where.arm in ("", line.arm)
        and (not where.outcome or where.outcome in line.outcomes)
        and where.source in ("", line.source)
    )
