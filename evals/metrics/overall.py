"""All figures of an evaluation: its arms, how they compare, and what entries are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.arm import ArmMetrics, measure_arm
from vitarmm_agent.evals.metrics.credit import Credit, measure_credit
from vitarmm_agent.evals.metrics.pairs import (
    Comparison,
    accuracy_by_problem,
    adjusted,
    compare_samples,
)
from vitarmm_agent.evals.run.samples import Sample

CONTROLS = ("empty", "single", "placebo")
"""Arms that the others are compared with, where they were run: the same loop with an empty memory
first, because that is what a gain must be over; and another group's example in place of the right
one, because the form of an example may help by itself."""


class Metrics(Data):
    """What an evaluation measured.

    Attributes:
        control: the arm that gains are over, or None.
        comparisons: every arm with each control; p-values are adjusted for all of them together.
        credit: per arm, what shown entries are worth, where some were withheld.
    """

    arms: tuple[ArmMetrics, ...]
    control: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    credit: dict[str, Credit] = {}


def measure(samples: Iterable[Sample], arms: Sequence[str] = ()) -> Metrics:
    """All figures of an evaluation's samples.

    Args:
        samples: in any order.
        arms: names in the order to show them; others follow.
    """
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.arm].append(sample)
    names = [arm for arm in arms if arm in found]
    names += [arm for arm in found if arm not in names]
    control = next((arm for arm in CONTROLS if arm in found), None)
    known = accuracy_by_problem(found[control]) if control else None
    return Metrics(
        arms=tuple(
            measure_arm(arm, found[arm], known if arm != control else None) for arm in names
        ),
        control=control,
        comparisons=_comparisons(found, names),
        credit={arm: credit for arm in names if (credit := measure_credit(found[arm])) is not None},
    )


def _comparisons(found: dict[str, list[Sample]], names: Sequence[str]) -> tuple[Comparison, ...]:
    controls = [arm for arm in CONTROLS if arm in found]
    pairs = [
        (arm, control)
        for number, control in enumerate(controls)
        for arm in names
        if arm != control and arm not in controls[:number]
    ]
    return adjusted(
        [compare_samples(found[arm], found[control], (arm, control)) for arm, control in pairs]
    )
