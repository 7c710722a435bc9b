"""Right and wrong answers: over all, per attempt, per group, and along the stream of problems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import (
    Estimate,
    cluster_of,
    ended,
    mean,
    problem_of,
    share,
)
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.problem import Attempt
from vitarmm_agent.verifiers.stopping import vote

MOST_WINDOWS = 10
LEAST_IN_WINDOW = 20


class IterationPoint(Data):
    """Answers when at most ``k`` attempts are allowed.

    Attributes:
        accuracy: of the answer that would stand after at most ``k`` attempts.
        pass_at_k: share of problems with a right answer among the first ``k`` attempts.
        reached: samples that made a ``k``-th attempt.
    """

    k: int
    accuracy: Estimate
    pass_at_k: Estimate
    reached: int


class CurvePoint(Data):
    """A stretch of the stream of problems.

    Attributes:
        first, last: positions, from 1.
        per_order: accuracy of each order in this stretch.
        gain: accuracy less that of the control arm on the same problems.
    """

    first: int
    last: int
    accuracy: Estimate
    per_order: dict[str, float] = {}
    gain: Estimate | None = None


def accuracy(samples: Sequence[Sample]) -> Estimate:
    """Share of right answers among the samples that ended."""
    return share((cluster_of(s), s.correct, 1) for s in ended(samples))


def accuracy_with_crashes(samples: Sequence[Sample]) -> Estimate:
    """Share of right answers among all samples; a crash counts as wrong."""
    return share((cluster_of(s), s.correct and s.crash is None, 1) for s in samples)


def grouped(samples: Sequence[Sample], key: Callable[[Sample], str]) -> dict[str, Estimate]:
    """Accuracy of each group that ``key`` names; the empty name is left out."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if key(sample):
            groups[key(sample)].append(sample)
    return {name: accuracy(groups[name]) for name in sorted(groups)}


def iterations(samples: Sequence[Sample]) -> tuple[IterationPoint, ...]:
    """Accuracy and pass@k for each number of attempts that some sample made."""
    done = [sample for sample in ended(samples) if sample.attempts]
    most = max((len(sample.attempts) for sample in done), default=0)
    return tuple(
        IterationPoint(
            k=k,
            accuracy=share((cluster_of(s), right_after(s, k), 1) for s in done),
            pass_at_k=share(
                (cluster_of(s), any(a.correct for a in s.attempts[:k]), 1) for s in done
            ),
            reached=sum(len(s.attempts) >= k for s in done),
        )
        for k in range(1, most + 1)
    )


def right_after(sample: Sample, k: int) -> bool:
    """Whether the answer that stands after at most ``k`` attempts is right.

    A run that went on after its ``k``-th attempt had none that passed, so its attempts would have
    voted; a run of at most ``k`` attempts has its own answer.
    """
    if k >= len(sample.attempts):
        return sample.correct
    made = sample.attempts[:k]
    return made[vote([Attempt(number=a.number, text="", answer=a.answer) for a in made])].correct


def per_order(samples: Sequence[Sample]) -> dict[str, Estimate]:
    """Accuracy of each order of the problems."""
    return grouped(samples, lambda sample: str(sample.order))


def learning_curve(
    samples: Sequence[Sample], control: Mapping[str, float] | None = None
) -> tuple[CurvePoint, ...]:
    """Accuracy along the stream, in up to ten windows of at least 20 positions.

    Args:
        samples: of one arm, all its orders.
        control: accuracy of the control arm on each problem, for the gain.
    """
    length = max((sample.position + 1 for sample in samples), default=0)
    windows = max(1, min(MOST_WINDOWS, length // LEAST_IN_WINDOW))
    edges = [round(length * i / windows) for i in range(windows + 1)]
    found: list[list[Sample]] = [[] for _ in range(windows)]
    for sample in ended(samples):
        inside = next(i for i in range(windows) if sample.position < edges[i + 1])
        found[inside].append(sample)
    return tuple(
        CurvePoint(
            first=edges[i] + 1,
            last=edges[i + 1],
            accuracy=accuracy(inside),
            per_order=_shares(inside),
            gain=_gain(inside, control) if control is not None else None,
        )
        for i, inside in enumerate(found)
        if inside
    )


def _shares(samples: Sequence[Sample]) -> dict[str, float]:
    return {order: e.value for order, e in per_order(samples).items() if e.value is not None}


def _gain(samples: Sequence[Sample], control: Mapping[str, float]) -> Estimate:
    return mean(
        (cluster_of(s), s.correct - control[problem_of(s)], 1)
        for s in samples
        if problem_of(s) in control
    )
