"""What a memory entry is worth: estimated from entries that were withheld by chance.

In a share of runs one of the entries that recall chose is kept from the model. Whether it is, and
which, is drawn at random and has nothing to do with the problem; so runs that were shown all their
entries and runs that lacked one differ by that entry alone, on average, and the difference of their
accuracy is what the entry did. Nothing of this holds for entries that are merely seen before a right
answer: recall shows entries where they fit, and that may be where problems are easy.

A run counts once, at the first attempt for which recall chose an entry: what happens later is itself
an effect of what was shown. Say recall chose ``k`` entries there. The run shows all of them with
probability ``1 − q``, and withholds any given one with probability ``q / k``. A run that withheld an
entry therefore stands for ``k`` runs, and one that withheld nothing for one per entry of the kind in
question. Runs that withheld another entry tell nothing of this one, and are left out of its estimate.

Runs of one problem in several orders count as one case (the cautious choice). Intervals are
Newcombe's, at Kish's effective sample size of the weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import Estimate, cluster_of, ended, estimate
from vitarmm_agent.evals.run.samples import Sample, ShownEntry
from vitarmm_agent.evals.statistics import share_difference

MOST_ENTRIES = 200


class Lift(Data):
    """Accuracy with an entry less accuracy without it.

    Attributes:
        name: id of the entry, a type of entries, or ``all``.
        entry_type: of the entry.
        lift: of the attempt's accuracy; ``n`` are the runs behind it.
        shown, withheld: weighted accuracy on either side.
        shown_n, withheld_n: runs on either side.
    """

    name: str
    entry_type: str = ""
    lift: Estimate
    shown: float | None
    withheld: float | None
    shown_n: int
    withheld_n: int


class Credit(Data):
    """What shown entries are worth.

    Attributes:
        overall: of any one entry, all types together.
        final: the same for the answer of the whole run instead of the attempt.
        types: of an entry of each type.
        entries: of each entry that was withheld and shown at least once, the most often withheld
            first; with so few runs each, their intervals are wide, and about one in twenty misses.
        runs: runs for which recall chose an entry; ``withheld`` of them lacked one.
    """

    overall: Lift
    final: Lift
    types: tuple[Lift, ...]
    entries: tuple[Lift, ...]
    runs: int
    withheld: int


class _Case(NamedTuple):
    """A run at its first attempt with entries."""

    problem: str
    entries: tuple[ShownEntry, ...]
    held: ShownEntry | None
    right: bool
    final: bool


def measure_credit(samples: Iterable[Sample]) -> Credit | None:
    """Lift of entries, from the runs of one arm; None when nothing was withheld.

    Runs that lacked more than one entry at once are left out: they tell of no single entry.
    """
    found = (_case(sample) for sample in ended(samples))
    cases = [case for case in found if case is not None]
    held = [case.held for case in cases if case.held is not None]
    if not held:
        return None
    types = sorted({entry.entry_type for case in cases for entry in case.entries})
    kinds = {entry.id: str(entry.entry_type) for entry in held}
    having: dict[str, list[_Case]] = defaultdict(list)
    for case in cases:
        for name in {entry.id for entry in case.entries}:
            having[name].append(case)
    entries = [
        _lift(having[name], name, {name}, by_id=True, kind=kinds[name]) for name in sorted(kinds)
    ]
    both = [lift for lift in entries if lift.shown_n]
    return Credit(
        overall=_lift(cases, "all", set(types)),
        final=_lift([case._replace(right=case.final) for case in cases], "all", set(types)),
        types=tuple(_lift(cases, name, {name}) for name in types),
        entries=tuple(sorted(both, key=lambda lift: -lift.withheld_n)[:MOST_ENTRIES]),
        runs=len(cases),
        withheld=len(held),
    )


def _case(sample: Sample) -> _Case | None:
    first = next((attempt for attempt in sample.attempts if attempt.shown), None)
    if first is None:
        return None
    held = [entry for entry in first.shown if entry.withheld]
    if len(held) > 1:
        return None
    only = held[0] if held else None
    return _Case(cluster_of(sample), first.shown, only, first.correct, sample.correct)


def _lift(
    cases: Sequence[_Case], name: str, kinds: set[str], *, by_id: bool = False, kind: str = ""
) -> Lift:
    """Of the entries of these types, or with this id."""

    def meant(entry: ShownEntry) -> bool:
        return (entry.id if by_id else entry.entry_type) in kinds

    shown, withheld = [], []
    for case in cases:
        held = case.held
        if held is None:
            weight = sum(meant(entry) for entry in case.entries)
            if weight:
                shown.append((case.problem, case.right, weight))
        elif meant(held):
            withheld.append((case.problem, case.right, len(case.entries)))
    one, other = _weighted(shown), _weighted(withheld)
    empty = not shown or not withheld
    return Lift(
        name=name,
        entry_type=kind,
        lift=Estimate(value=None, unit="runs", method="newcombe")
        if empty
        else estimate(
            share_difference(one, other),
            n=len(shown) + len(withheld),
            unit="runs",
            method="newcombe",
        ),
        shown=round(one[0], 6) if shown else None,
        withheld=round(other[0], 6) if withheld else None,
        shown_n=len(shown),
        withheld_n=len(withheld),
    )


def _weighted(rows: Sequence[tuple[str, bool, int]]) -> tuple[float, float]:
    """Weighted share, and Kish's effective number of problems: (Σw)² / Σw²."""
    weights: dict[str, int] = defaultdict(int)
    for problem, _, weight in rows:
        weights[problem] += weight
    total = sum(weights.values())
    if not total:
        return 0.0, 0.0
    right = sum(weight for _, correct, weight in rows if correct)
    return right / total, total**2 / sum(weight**2 for weight in weights.values())
