"""Two arms on the same problems; problems of one group are counted together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import (
    Estimate,
    by_cluster,
    cluster_of,
    ended,
    estimate,
    mean,
    problem_of,
)
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.statistics import (
    clustered_difference,
    holm,
    mcnemar,
    paired_difference,
    sign_flips,
)


class Comparison(Data):
    """One arm against another (first − second), over the problems that both ended.

    Attributes:
        pairs: problems that both arms ended; ``dropped`` are those that only one has, or that
            crashed.
        difference: of accuracy. Tango's score interval when each arm has one sample per problem, and
            each group one problem; else Student's t over the groups with two added pairs, where each
            problem counts once.
        bootstrap: the same difference with a paired bootstrap over problems; too narrow when few
            problems differ.
        only_first, only_second: problems that only one of the two got right; None with several
            samples per problem.
        p: exact McNemar, or sign flips of the groups' summed differences (a problem's mean with
            several samples).
        p_holm: adjusted for all comparisons made together.
        test: ``McNemar, exact`` or ``sign flips``.
        tokens, seconds, cost: paired differences per problem.
        oracle: one of the two saw the gold answer.
    """

    first: str
    second: str
    pairs: int
    dropped: int
    first_accuracy: float | None
    second_accuracy: float | None
    difference: Estimate
    bootstrap: Estimate
    only_first: int | None
    only_second: int | None
    p: float | None
    p_holm: float | None = None
    test: str
    tokens: Estimate
    seconds: Estimate
    cost: Estimate
    oracle: bool = False


def compare_samples(
    first: Sequence[Sample], second: Sequence[Sample], names: tuple[str, str]
) -> Comparison:
    """Compare two arms problem by problem; a problem with several orders counts by its mean."""
    one, other = _by_problem(first), _by_problem(second)
    both = sorted(one.keys() & other.keys())
    clusters = [cluster_of(one[p][0]) for p in both]
    alone = len(set(clusters)) == len(both)
    single = all(len(one[p]) == len(other[p]) == 1 for p in both)
    right = [(_mean(one[p], _right), _mean(other[p], _right)) for p in both]
    gaps = [a - b for a, b in right]
    rows = list(zip(clusters, gaps, [1] * len(both), strict=True))
    sums, counts = by_cluster(rows)
    only_first, only_second = sum(g > 0 for g in gaps), sum(g < 0 for g in gaps)
    if single and alone and both:
        found, method = paired_difference(only_first, only_second, len(both)), "score"
    else:
        found, method = clustered_difference(sums, counts), "adjusted t"
    return Comparison(
        first=names[0],
        second=names[1],
        pairs=len(both),
        dropped=len(one.keys() | other.keys() | _problems(first, second)) - len(both),
        first_accuracy=_average([a for a, _ in right]),
        second_accuracy=_average([b for _, b in right]),
        difference=estimate(
            found, n=len(both), count=round(sum(a - b for a, b in right), 6), method=method
        ),
        bootstrap=mean(rows),
        only_first=only_first if single else None,
        only_second=only_second if single else None,
        p=_p(single and alone, only_first, only_second, sums),
        test="McNemar, exact" if single and alone else "sign flips",
        tokens=_gap(one, other, lambda s: float(s.usage.total_tokens)),
        seconds=_gap(one, other, lambda s: s.seconds),
        cost=_gap(one, other, lambda s: s.cost),
        oracle=any(s.oracle for s in (*first, *second)),
    )


class Answered(NamedTuple):
    """What a sample answered, who judged it last, and its run."""

    answer: str | None
    correct: bool
    verdict: str
    source: str
    thread_id: str


class PairedProblem(NamedTuple):
    """One problem that both ended, with what each answered, in the order of its samples."""

    problem: str
    question: str
    reference: str | None
    first: tuple[Answered, ...]
    second: tuple[Answered, ...]

    @property
    def difference(self) -> float:
        """In the share of right answers, first − second."""
        shares = [sum(a.correct for a in side) / len(side) for side in (self.first, self.second)]
        return shares[0] - shares[1]


def paired_problems(first: Sequence[Sample], second: Sequence[Sample]) -> list[PairedProblem]:
    """The problems that :func:`compare_samples` compares, those that differ first."""
    one, other = _by_problem(first), _by_problem(second)
    pairs = [
        PairedProblem(
            p, one[p][0].question, one[p][0].reference, _answers(one[p]), _answers(other[p])
        )
        for p in one.keys() & other.keys()
    ]
    return sorted(pairs, key=_less_alike)


def _answers(samples: Sequence[Sample]) -> tuple[Answered, ...]:
    found = []
    for sample in samples:
        last = sample.attempts[-1] if sample.attempts else None
        said = (last.verdict, last.source) if last else ("abstain", "")
        found.append(Answered(sample.answer, sample.correct, *said, sample.thread_id))
    return tuple(found)


def _less_alike(pair: PairedProblem) -> tuple[float, bool, bool, str]:
    """Sorts first where only one is right, then where both give different answers."""
    gap = pair.difference
    answers = [{a.answer for a in side} for side in (pair.first, pair.second)]
    return -abs(gap), gap < 0, answers[0] == answers[1], pair.problem


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with p-values adjusted by Holm for being made together."""
    known = [c.p for c in comparisons if c.p is not None]
    values = iter(holm(known))
    return tuple(
        c if c.p is None else c.model_copy(update={"p_holm": next(values)}) for c in comparisons
    )


def accuracy_by_problem(samples: Sequence[Sample]) -> dict[str, float]:
    """Share of right answers on each problem that ended."""
    return {p: _mean(found, _right) or 0.0 for p, found in _by_problem(samples).items()}


def _p(single: bool, only_first: int, only_second: int, sums: Sequence[float]) -> float | None:
    if not sums:
        return None
    return mcnemar(only_first, only_second) if single else sign_flips(sums)


def _by_problem(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in ended(samples):
        found[problem_of(sample)].append(sample)
    return found


def _problems(*groups: Sequence[Sample]) -> set[str]:
    return {problem_of(sample) for group in groups for sample in group}


def _right(sample: Sample) -> float:
    return float(sample.correct)


def _mean(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> float:
    return sum(value(s) or 0.0 for s in samples) / len(samples)


def _average(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 6) if values else None


def _gap(
    one: dict[str, list[Sample]],
    other: dict[str, list[Sample]],
    value: Callable[[Sample], float | None],
) -> Estimate:
    """Mean difference of a quantity over the problems where it is known on both sides."""
    return mean(
        (cluster_of(one[p][0]), _mean(one[p], value) - _mean(other[p], value), 1)
        for p in one.keys() & other.keys()
        if all(value(s) is not None for s in (*one[p], *other[p]))
    )
