"""Wrong steps, errors that come again, what a second attempt mends, and how far verdicts are true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from vitarmm_agent.data import Data
from vitarmm_agent.evals.metrics.estimate import Estimate, Row, cluster_of, ended, share
from vitarmm_agent.evals.run.samples import Sample, SampleAttempt
from vitarmm_agent.problem import Verdict

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "abstain")


class Steps(Data):
    """Steps that state an equation, checked by arithmetic.

    Attributes:
        correct: share of the checked steps that hold, over all attempts.
        correct_first, correct_last: the same over first and over last attempts.
        checkable: share of all steps that state an equation that could be checked.
    """

    correct: Estimate
    correct_first: Estimate
    correct_last: Estimate
    checkable: Estimate


class Repetition(Data):
    """Errors made again, known by their signature.

    Attributes:
        same_problem: of the attempts that follow one with a named error in the same run, the share
            that make such an error again.
        new_problems: of the samples that come after one with a named error in the same stream, the
            share that make an error which an earlier, other problem showed. A stream is one benchmark in one order.
        nameless: errors without a subject, which name nothing that could be repeated; not counted.
    """

    same_problem: Estimate
    new_problems: Estimate
    nameless: int


class Correction(Data):
    """What further attempts change.

    Attributes:
        mended: of the runs whose first attempt was wrong, the share that ended right.
        spoiled: of the runs whose first attempt was right, the share that ended wrong.
        retried_mended: of the attempts after a wrong one, the share that is right.
        retried_spoiled: of the attempts after a right one, the share that is wrong.
    """

    mended: Estimate
    spoiled: Estimate
    retried_mended: Estimate
    retried_spoiled: Estimate


class Confusion(Data):
    """Verdicts of feedback against the gold answer, over attempts.

    Attributes:
        counts: verdict → ``right`` and ``wrong`` → attempts.
        by_source: the same for each verifier that decided, or gave advice.
        pass_right: share of the passes that are on a right answer.
        fail_wrong: share of the fails that are on a wrong answer.
        wrong_failed: share of the wrong attempts that were failed.
        right_passed: share of the right attempts that were passed.
        abstained: share of the attempts without a verdict.
    """

    counts: dict[str, dict[str, int]]
    by_source: dict[str, dict[str, dict[str, int]]]
    pass_right: Estimate
    fail_wrong: Estimate
    wrong_failed: Estimate
    right_passed: Estimate
    abstained: Estimate


def steps(samples: Sequence[Sample]) -> Steps:
    """Step correctness of the samples that ended."""
    done = [sample for sample in ended(samples) if sample.attempts]

    def correct(kept: slice) -> Estimate:
        return share(
            (
                (cluster_of(s), a.checked_steps - a.wrong_steps, a.checked_steps)
                for s in done
                for a in s.attempts[kept]
            ),
            "checked steps",
        )

    return Steps(
        correct=correct(slice(None)),
        correct_first=correct(slice(1)),
        correct_last=correct(slice(-1, None)),
        checkable=share(
            ((cluster_of(s), a.checked_steps, a.steps) for s in done for a in s.attempts), "steps"
        ),
    )


def repetition(samples: Sequence[Sample]) -> Repetition:
    """How often an error with the same signature comes again."""
    done = ended(samples)
    return Repetition(
        same_problem=share((row for s in done for row in _again_here(s)), "attempts"),
        new_problems=share(_again_elsewhere(done), "samples"),
        nameless=sum(
            not _named(error.signature) for s in done for a in s.attempts for error in a.errors
        ),
    )


def _again_here(sample: Sample) -> Iterator[Row]:
    before: set[str] = set()
    for attempt in sample.attempts:
        found = _signatures([attempt])
        if before:
            yield cluster_of(sample), bool(found & before), 1
        before |= found


def _again_elsewhere(samples: Sequence[Sample]) -> Iterator[Row]:
    streams: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        streams[sample.benchmark, sample.order].append(sample)
    for stream in streams.values():
        before: set[str] = set()
        for sample in sorted(stream, key=lambda s: (s.position, s.key)):
            found = _signatures(sample.attempts)
            if before:
                yield cluster_of(sample), bool(found & before), 1
            before |= found


def _signatures(attempts: Iterable[SampleAttempt]) -> set[str]:
    return {e.signature for attempt in attempts for e in attempt.errors if _named(e.signature)}


def _named(signature: str) -> bool:
    return bool(signature.partition(":")[2].strip())


def correction(samples: Sequence[Sample]) -> Correction:
    """What became of wrong and of right attempts."""
    done = [sample for sample in ended(samples) if sample.attempts]
    firsts = [(s, s.attempts[0].correct, s.correct) for s in done]
    steps_on = [(s, a.correct, b.correct) for s in done for a, b in pairwise(s.attempts)]

    def changed(rows: list[tuple[Sample, bool, bool]], was: bool, unit: str) -> Estimate:
        return share(((cluster_of(s), now != was, 1) for s, then, now in rows if then == was), unit)

    return Correction(
        mended=changed(firsts, False, "runs with a wrong first attempt"),
        spoiled=changed(firsts, True, "runs with a right first attempt"),
        retried_mended=changed(steps_on, False, "attempts after a wrong one"),
        retried_spoiled=changed(steps_on, True, "attempts after a right one"),
    )


def confusion(samples: Sequence[Sample]) -> Confusion:
    """Verdicts against truth."""
    rows = [(cluster_of(s), a) for s in ended(samples) for a in s.attempts]
    sources = sorted({name for _, attempt in rows for name in _said(attempt)})

    def given(verdict: Verdict, right: bool) -> Estimate:
        return share(
            ((p, a.correct == right, 1) for p, a in rows if a.verdict == verdict),
            f"{verdict} verdicts",
        )

    def found(right: bool, verdict: Verdict) -> Estimate:
        return share(
            ((p, a.verdict == verdict, 1) for p, a in rows if a.correct == right),
            f"{'right' if right else 'wrong'} attempts",
        )

    said = [(_said(attempt), attempt.correct) for _, attempt in rows]
    return Confusion(
        counts=_counts([(attempt.verdict, attempt.correct) for _, attempt in rows]),
        by_source={
            name: _counts([(words[name], right) for words, right in said if name in words])
            for name in sources
        },
        pass_right=given("pass", True),
        fail_wrong=given("fail", False),
        wrong_failed=found(False, "fail"),
        right_passed=found(True, "pass"),
        abstained=share(((p, a.verdict == "abstain", 1) for p, a in rows), "attempts"),
    )


def _said(attempt: SampleAttempt) -> dict[str, Verdict]:
    """What each verifier said of an attempt, as far as it is recorded."""
    return {**attempt.advice, attempt.source: attempt.verdict}


def _counts(verdicts: Sequence[tuple[Verdict, bool]]) -> dict[str, dict[str, int]]:
    return {
        verdict: {
            truth: sum(said == verdict and correct == right for said, correct in verdicts)
            for truth, right in (("right", True), ("wrong", False))
        }
        for verdict in VERDICTS
    }
