"""What a measurement of memory writers says of each: rates, lift, and their intervals. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import by_cluster
from vitarmm_agent.evals.statistics import clustered_difference, clustered_share, mcnemar
from vitarmm_agent.evals.writers.measuring import (
    WriterConfig,
    WriterSample,
    WrittenText,
    problem_of,
)
from vitarmm_agent.evals.writers.sibling_recall import SiblingRecall
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.rmm.form import says_what_not
from vitarmm_agent.rmm.novelty import restated


class Share(Data):
    """A share with its 95 % interval; None where nothing was counted."""

    hits: int
    n: int
    estimate: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """``12 of 40, 30.0 % [18.1, 45.4]``."""
        if self.estimate is None or self.low is None or self.high is None:
            return "none counted"
        shown = f"{self.estimate:.1%} [{self.low:.1%}, {self.high:.1%}]"
        return f"{self.hits} of {self.n}: {shown}"


class Difference(Data):
    """A difference of accuracies with its 95 % interval; all None where nothing was counted.

    Attributes:
        n: pairs of attempts, or of problems where writers are compared; those that entries on one problem
            were tried on are no independent ones.
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int = 0

    def __str__(self) -> str:
        """``+0.050 [-0.010, +0.110], n = 200``."""
        if self.estimate is None or self.low is None or self.high is None:
            return "none counted"
        return f"{self.estimate:+.3f} [{self.low:+.3f}, {self.high:+.3f}], n = {self.n}"


class WriterMeasured(Data):
    """One writer's figures.

    Attributes:
        situations: decided on; crashed ones are counted apart and in no share.
        problems: that these are of. A problem's situations, with entries on the same siblings, are one unit of
            every interval.
        free_json: of its unconstrained answers, those that are JSON and nothing else.
        fenced_json: the same, a Markdown fence around the JSON allowed.
        free_operations: of its unconstrained answers, those whose operations can be used.
        operations: of its constrained answers, those that can be used, after one repair.
        covered: situations for which it wants at least one entry in memory.
        leaks: entries that give their problem away as they would be stored.
        leaks_before: the same before the problem's own numbers are taken out.
        duplicates: entries that repeat one it was shown, or one it wrote for an earlier situation.
        in_form: entries that keep to the form: title, condition, few short steps, no chatter.
        chatter: entries with a sentence of chatter.
        corrections: where a wrong attempt and what is right are known, and an entry was written: those
            with a correction that says what not to do.
        kept_nothing: where nothing was learned and its answer can be used, those without an entry.
        second_copies: shown its own entry for the same situation, it wrote a second one.
        recalled: of siblings whose kind has an entry, those that recall it first.
        false_recalls: siblings that recall something when no entry of their kind is there.
        words: per entry on average; None without entries.
        tokens, seconds: per decision in the loop, on average; None without situations.
        trials: of one entry on one similar problem.
        without, shown: accuracy on similar problems with an empty memory, and with the entry.
        placebo: accuracy on the same with an entry of another kind.
        lift: with the entry less with an empty memory.
        over_placebo: with the entry less with the placebo.
        fixes, breaks: attempts that only the entry, or only the empty memory, got right.
        p_value: exact McNemar test of these, attempts taken as independent.
        against_first: difference in accuracy to the first writer on the same similar problems; where a
            writer wants no entry, its accuracy is that of an empty memory.
    """

    writer: str
    situations: int
    problems: int = 0
    crashes: int
    free_json: Share
    fenced_json: Share
    free_operations: Share
    operations: Share
    covered: Share
    entries: int
    leaks: Share
    leaks_before: Share
    duplicates: Share
    in_form: Share
    chatter: Share
    corrections: Share
    kept_nothing: Share
    second_copies: Share
    recalled: Share
    false_recalls: Share
    words: float | None
    tokens: float | None
    seconds: float | None
    trials: int
    without: Share
    placebo: Share
    shown: Share
    lift: Difference
    over_placebo: Difference
    fixes: int
    breaks: int
    p_value: float
    against_first: Difference | None = None


class WriterReport(Data):
    """A measurement of writers, with all that it depends on."""

    config: WriterConfig
    writers: tuple[WriterMeasured, ...]
    stopped: str | None = None


def report_on(
    config: WriterConfig,
    samples: Sequence[WriterSample],
    stopped: str | None = None,
    recalls: Mapping[str, Sequence[SiblingRecall]] | None = None,
) -> WriterReport:
    """Summarise samples, which are ordered by writer; ``recalls`` are by writer."""
    found, first = list[WriterMeasured](), list[WriterSample]()
    for name, group in groupby(samples, key=lambda sample: sample.writer):
        mine = list(group)
        measured = _measured(name, mine, (recalls or {}).get(name, ()))
        if first:
            compared = _against(first, mine)
            measured = measured.model_copy(update={"against_first": compared})
        first = first or mine
        found.append(measured)
    return WriterReport(config=config, writers=tuple(found), stopped=stopped)


def _measured(
    name: str, all_samples: Sequence[WriterSample], recalls: Sequence[SiblingRecall]
) -> WriterMeasured:
    samples = [sample for sample in all_samples if sample.crash is None]
    repeats = _repeats(samples)
    entries = [entry for sample in samples for entry in sample.entries]
    pairs = [pair for sample in samples for pair in _pairs(sample)]

    def share(hits: Callable[[WriterSample], int], n: Callable[[WriterSample], int]) -> Share:
        return _share((one.problem, hits(one), n(one)) for one in samples)

    def of_all(holds: Callable[[WriterSample], bool]) -> Share:
        return share(lambda sample: int(holds(sample)), lambda _: 1)

    return WriterMeasured(
        writer=name,
        situations=len(samples),
        problems=len({sample.problem for sample in samples}),
        crashes=len(all_samples) - len(samples),
        free_json=of_all(lambda one: one.free_json),
        fenced_json=of_all(lambda one: one.fenced_json),
        free_operations=of_all(lambda one: one.free_operations),
        operations=of_all(lambda one: one.failure is None),
        covered=of_all(lambda one: bool(one.entries)),
        entries=len(entries),
        leaks=share(_leaking, lambda one: len(one.entries)),
        leaks_before=share(lambda one: one.leaks_before, lambda one: one.written_before),
        duplicates=_share(
            (one.problem, again + one.restated, len(one.entries) + one.restated)
            for again, one in zip(repeats, samples, strict=True)
        ),
        **_craft(samples),
        recalled=_share((problem_of(one.case), one.first, one.covered) for one in recalls),
        false_recalls=_share((problem_of(one.case), one.false, one.asked) for one in recalls),
        words=_mean([entry.words for entry in entries]),
        tokens=_mean([one.decision.total_tokens for one in samples]),
        seconds=_mean([one.seconds for one in samples]),
        trials=sum(len(entry.trials) for entry in entries),
        without=share(lambda one: _right(one, 0), lambda one: len(_pairs(one))),
        shown=share(lambda one: _right(one, 1), lambda one: len(_pairs(one))),
        placebo=share(
            lambda one: sum(map(sum, _controlled(one)[0])),
            lambda one: sum(map(len, _controlled(one)[0])),
        ),
        lift=_lift(samples),
        over_placebo=_over_placebo(samples),
        fixes=sum(shown and not without for without, shown in pairs),
        breaks=sum(without and not shown for without, shown in pairs),
        p_value=mcnemar(
            sum(shown and not without for without, shown in pairs),
            sum(without and not shown for without, shown in pairs),
        ),
    )


def _pairs(sample: WriterSample) -> list[tuple[bool, bool]]:
    """For each entry, similar problem and attempt: right without it, right with it."""
    return [
        pair
        for entry in sample.entries
        for trial in entry.trials
        for pair in zip(trial.without, trial.shown, strict=True)
    ]


def _craft(samples: Sequence[WriterSample]) -> dict[str, Share]:
    """Whether entries are written as they should be."""

    def of_entries(holds: Callable[[WrittenText], bool]) -> Share:
        return _share((s.problem, sum(map(holds, s.entries)), len(s.entries)) for s in samples)

    def of_those(
        among: Callable[[WriterSample], bool], holds: Callable[[WriterSample], bool]
    ) -> Share:
        return _share((one.problem, int(holds(one)), 1) for one in samples if among(one))

    return {
        "in_form": of_entries(lambda entry: not entry.faults),
        "chatter": of_entries(lambda entry: "chatter" in entry.faults),
        "corrections": of_those(lambda one: one.mistaken and bool(one.entries), _corrects),
        "kept_nothing": of_those(
            lambda one: one.groundless and one.failure is None, lambda one: not one.entries
        ),
        "second_copies": of_those(
            lambda one: one.copied_again is not None, lambda one: bool(one.copied_again)
        ),
    }


def _controlled(sample: WriterSample) -> tuple[list[tuple[bool, ...]], list[tuple[bool, ...]]]:
    """Of the trials with a placebo: what was right with it, and what with the entry."""
    trials = [trial for entry in sample.entries for trial in entry.trials if trial.placebo]
    return [trial.placebo for trial in trials], [trial.shown for trial in trials]


def _over_placebo(samples: Sequence[WriterSample]) -> Difference:
    tried = ((sample.problem, *_controlled(sample)) for sample in samples)
    return _difference(
        (problem, sum(map(sum, shown)) - sum(map(sum, placebo)), sum(map(len, placebo)))
        for problem, placebo, shown in tried
    )


def _corrects(sample: WriterSample) -> bool:
    return any(
        one.entry_type == "correction" and says_what_not(one.content) for one in sample.entries
    )


def _right(sample: WriterSample, which: int) -> int:
    return sum(pair[which] for pair in _pairs(sample))


def _leaking(sample: WriterSample) -> int:
    return sum(entry.leak is not None for entry in sample.entries)


def _repeats(samples: Sequence[WriterSample]) -> list[int]:
    """For each sample, how many of its entries repeat an earlier one of this writer."""
    earlier, counts = list[MemoryEntry](), list[int]()
    for sample in samples:
        entries = [_as_entry(entry) for entry in sample.entries]
        counts.append(sum(restated(entry, earlier) is not None for entry in entries))
        earlier += entries
    return counts


def _as_entry(written: WrittenText) -> MemoryEntry:
    return MemoryEntry(entry_type="insight", content=written.content)


def _lift(samples: Sequence[WriterSample]) -> Difference:
    return _difference(
        (one.problem, _right(one, 1) - _right(one, 0), len(_pairs(one))) for one in samples
    )


def _against(first: Sequence[WriterSample], second: Sequence[WriterSample]) -> Difference:
    """Difference in accuracy on the same problems: the second writer's less the first's."""
    theirs = {sample.case: sample for sample in first if sample.crash is None}
    compared = list[tuple[str, float, int]]()
    for mine in sorted(second, key=lambda sample: sample.case):
        other = theirs.get(mine.case)
        if mine.crash is not None or other is None or not mine.tried_on:
            continue
        empty = _accuracies(other, "without") | _accuracies(mine, "without")
        better, worse = empty | _accuracies(mine, "shown"), empty | _accuracies(other, "shown")
        gained = sum(better[problem] - worse[problem] for problem in empty)
        # where neither wrote an entry, they do not differ
        compared.append((mine.problem, gained, len(mine.tried_on)))
    return _difference(compared)


def _accuracies(sample: WriterSample, which: Literal["without", "shown"]) -> dict[str, float]:
    """By similar problem, the share of its attempts that are right, over all entries."""
    attempts: defaultdict[str, list[bool]] = defaultdict(list)
    for trial in (trial for entry in sample.entries for trial in entry.trials):
        attempts[trial.problem_id] += getattr(trial, which)
    return {problem: sum(right) / len(right) for problem, right in attempts.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(counts: Iterable[tuple[str, int, int]]) -> Share:
    """Hits of trials, each with its problem."""
    hits, trials = by_cluster(counts)
    if not sum(trials):
        return Share(hits=0, n=0, estimate=None, low=None, high=None)
    found = clustered_share(hits, trials)
    return Share(
        hits=int(sum(hits)),
        n=int(sum(trials)),
        estimate=found.estimate,
        low=_finite(found.low),
        high=_finite(found.high),
    )


def _difference(counts: Iterable[tuple[str, float, int]]) -> Difference:
    """What was gained, of all that was counted, each with its problem."""
    gains, trials = by_cluster(counts)
    if not sum(trials):
        return Difference(estimate=None, low=None, high=None)
    found = clustered_difference(gains, trials)
    return Difference(estimate=found.estimate, low=found.low, high=found.high, n=int(sum(trials)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
