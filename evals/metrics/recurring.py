"""Recurring problems: what a worked example of the same group, or of another, did to an arm."""

from __future__ import annotations

from collections.abc import Sequence

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import Estimate, cluster_of, ended, mean, share
from vitarmm_agent.evals.run.samples import Sample, ShownEntry


class Recurring(Data):
    """One arm on recurring problems. Shown and withheld are of the first attempt.

    Attributes:
        own: share of the samples that were shown something learned on a problem of their group.
        other: share of those that were shown something, and nothing of their group.
        withheld: share of those that were shown nothing.
        right_own, right_withheld: accuracy of the first and of the last of these.
        copied: share of the samples shown an example whose answer is wrong and that example's.
        teacher_calls, teacher_tokens: of a teacher, per problem.
    """

    own: Estimate
    other: Estimate
    withheld: Estimate
    right_own: Estimate
    right_withheld: Estimate
    copied: Estimate
    teacher_calls: Estimate
    teacher_tokens: Estimate


def recurring(samples: Sequence[Sample]) -> Recurring | None:
    """The figures of an arm's samples; None where no problem belongs to a group."""
    done = [s for s in ended(samples) if s.group and s.attempts]
    if not done:
        return None
    own = [s for s in done if _kin(s)]
    bare = [s for s in done if not _shown(s)]
    taught = [s for s in done if any(entry.as_example for entry in _shown(s))]
    return Recurring(
        own=_share_of(done, own),
        other=_share_of(done, [s for s in done if _shown(s) and not _kin(s)]),
        withheld=_share_of(done, bare),
        right_own=share((cluster_of(s), s.correct, 1) for s in own),
        right_withheld=share((cluster_of(s), s.correct, 1) for s in bare),
        copied=share((cluster_of(s), not s.correct and s.attempts[-1].copied, 1) for s in taught),
        teacher_calls=mean((cluster_of(s), s.teacher.calls if s.teacher else 0, 1) for s in done),
        teacher_tokens=mean(
            (cluster_of(s), s.teacher.total_tokens if s.teacher else 0, 1) for s in done
        ),
    )


def _shown(sample: Sample) -> list[ShownEntry]:
    return [entry for entry in sample.attempts[0].shown if not entry.withheld]


def _kin(sample: Sample) -> bool:
    return any(entry.kin for entry in _shown(sample))


def _share_of(samples: Sequence[Sample], some: Sequence[Sample]) -> Estimate:
    keys = {sample.key for sample in some}
    return share((cluster_of(s), s.key in keys, 1) for s in samples)
