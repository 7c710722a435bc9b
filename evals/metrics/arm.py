"""All figures of one arm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics import answers, errors
from vitarmm_agent.evals.metrics import memory as memories
from vitarmm_agent.evals.metrics.estimate import (
    Estimate,
    cluster_of,
    ended,
    mean,
    problem_of,
    share,
)
from vitarmm_agent.evals.metrics.recurring import Recurring, recurring
from vitarmm_agent.evals.run.samples import Sample


class Price(Data):
    """What a problem costs.

    Attributes:
        tokens, input_tokens, output_tokens, calls: of all model calls of a run.
        seconds: wall time of a run.
        cost: dollars per problem, over the samples whose price is known.
        cost_per_right: dollars per right answer, over the same.
        tokens_per_right: tokens per right answer.
    """

    tokens: Estimate
    input_tokens: Estimate
    output_tokens: Estimate
    calls: Estimate
    seconds: Estimate
    cost: Estimate
    cost_per_right: Estimate
    tokens_per_right: Estimate


class ArmMetrics(Data):
    """One arm.

    Attributes:
        oracle: some feedback saw the gold answer.
        samples: all, crashed ones too; ``problems`` × ``orders`` when the arm is complete.
        crashed: samples whose run did not end.
        crashes: how often each kind of crash came.
        accuracy: over the samples that ended.
        accuracy_crashes_wrong: over all samples, a crash counted as wrong.
        cut: share of attempts that ended at the token limit.
        recurring: where its problems belong to groups.
    """

    arm: str
    oracle: bool
    samples: int
    problems: int
    orders: int
    crashed: int
    crashes: dict[str, int]
    accuracy: Estimate
    accuracy_crashes_wrong: Estimate
    by_order: dict[str, Estimate]
    by_benchmark: dict[str, Estimate]
    by_category: dict[str, Estimate]
    by_answer_type: dict[str, Estimate]
    iterations: tuple[answers.IterationPoint, ...]
    curve: tuple[answers.CurvePoint, ...]
    steps: errors.Steps
    repetition: errors.Repetition
    correction: errors.Correction
    confusion: errors.Confusion
    memory: memories.MemoryUse
    calibration: memories.Calibration
    written: memories.WrittenEntries
    price: Price
    cut: Estimate
    recurring: Recurring | None = None


def measure_arm(
    arm: str, samples: Sequence[Sample], control: Mapping[str, float] | None = None
) -> ArmMetrics:
    """All figures of one arm's samples.

    Args:
        arm: its name.
        samples: its samples, in any order.
        control: accuracy of the control arm on each problem, for the gain along the stream.
    """
    ordered = sorted(samples, key=lambda sample: (sample.order, sample.position, sample.key))
    return ArmMetrics(
        arm=arm,
        oracle=any(sample.oracle for sample in ordered),
        samples=len(ordered),
        problems=len({problem_of(sample) for sample in ordered}),
        orders=len({sample.order for sample in ordered}),
        crashed=sum(sample.crash is not None for sample in ordered),
        crashes=_crashes(ordered),
        accuracy=answers.accuracy(ordered),
        accuracy_crashes_wrong=answers.accuracy_with_crashes(ordered),
        by_order=answers.per_order(ordered),
        by_benchmark=answers.grouped(ordered, lambda s: s.benchmark),
        by_category=answers.grouped(ordered, lambda s: s.category),
        by_answer_type=answers.grouped(ordered, lambda s: s.answer_type),
        iterations=answers.iterations(ordered),
        curve=answers.learning_curve(ordered, control),
        steps=errors.steps(ordered),
        repetition=errors.repetition(ordered),
        correction=errors.correction(ordered),
        confusion=errors.confusion(ordered),
        memory=memories.memory_use(ordered),
        calibration=memories.calibration(ordered),
        written=memories.written(ordered),
        price=_price(ordered),
        cut=share(
            ((cluster_of(s), a.cut, 1) for s in ended(ordered) for a in s.attempts), "attempts"
        ),
        recurring=recurring(ordered),
    )


def _price(samples: Sequence[Sample]) -> Price:
    done = ended(samples)
    priced = [(s, s.cost) for s in done if s.cost is not None]
    return Price(
        tokens=mean((cluster_of(s), s.usage.total_tokens, 1) for s in done),
        input_tokens=mean((cluster_of(s), s.usage.input_tokens, 1) for s in done),
        output_tokens=mean((cluster_of(s), s.usage.output_tokens, 1) for s in done),
        calls=mean((cluster_of(s), s.usage.calls, 1) for s in done),
        seconds=mean((cluster_of(s), s.seconds, 1) for s in done),
        cost=mean((cluster_of(s), cost, 1) for s, cost in priced),
        cost_per_right=_per_right((s, cost) for s, cost in priced),
        tokens_per_right=_per_right((s, s.usage.total_tokens) for s in done),
    )


def _per_right(rows: Iterable[tuple[Sample, float]]) -> Estimate:
    return mean(((cluster_of(s), spent, s.correct) for s, spent in rows), "right answers")


def _crashes(samples: Sequence[Sample]) -> dict[str, int]:
    """Counts by the first words of what went wrong, the most frequent first."""
    found: dict[str, int] = {}
    for sample in samples:
        if sample.crash is not None:
            kind = sample.crash.partition(":")[0][:80] or "unknown"
            found[kind] = found.get(kind, 0) + 1
    return dict(sorted(found.items(), key=lambda item: -item[1]))
