"""Two evaluations on the same problems, or the reasons why they cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vitarmm_agent.data import Data
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.metrics import Comparison, compare_samples
from vitarmm_agent.evals.metrics.pairs import PairedProblem, adjusted, paired_problems
from vitarmm_agent.evals.run.folder import EvaluationConfig, EvaluationFolder
from vitarmm_agent.evals.run.samples import Sample

GRADERS = ("vitarmm-agent", "math-verify", "sympy")
"""Packages that decide whether an answer is right."""
FEW = 30


class EvaluationComparison(Data):
    """What two evaluations differ in.

    Attributes:
        first, second: names of the folders; differences are first − second.
        rows: one comparison for each pair of arms; p-values are adjusted for all of them.
        objections: why the two should not be compared; empty unless it was done anyway.
        notes: what differs and is allowed to: it may be what is being compared.
    """

    first: str
    second: str
    rows: tuple[Comparison, ...]
    objections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class SideBySide(NamedTuple):
    """Two evaluations compared, and for each row of it the problems, those that differ first."""

    comparison: EvaluationComparison
    problems: tuple[list[PairedProblem], ...]


def compare(
    first: Path | str,
    second: Path | str,
    arms: Sequence[tuple[str, str]] = (),
    *,
    anyway: bool = False,
) -> EvaluationComparison:
    """:func:`side_by_side` without the problems."""
    return side_by_side(first, second, arms, anyway=anyway).comparison


def side_by_side(
    first: Path | str,
    second: Path | str,
    arms: Sequence[tuple[str, str]] = (),
    *,
    anyway: bool = False,
) -> SideBySide:
    """Compare the arms of two evaluations problem by problem.

    Args:
        first: folder of an evaluation.
        second: folder of another.
        arms: pairs of arm names, of the first and of the second; default: every arm that both have.
        anyway: compare in spite of objections, on the problems that both have.

    Raises:
        InputError: the two are not comparable (every reason is named), an arm is missing, or they
            share no problem.
    """
    one, other = EvaluationFolder(first), EvaluationFolder(second)
    configs = (one.config(), other.config())
    groups = (_by_arm(one.samples()), _by_arm(other.samples()))
    pairs = list(arms) or [(arm, arm) for arm in groups[0] if arm in groups[1]]
    _refuse_missing(pairs, groups, (one, other))
    found = [*objections(*configs), *_oracle_objections(pairs, groups)]
    if found and not anyway:
        raise InputError(
            f"{str(one.path)!r} and {str(other.path)!r} cannot be compared: {'; '.join(found)}. "
            "--anyway compares the problems that both have"
        )
    names = (one.path.resolve().name, other.path.resolve().name)
    rows = [
        compare_samples(groups[0][a], groups[1][b], (f"{names[0]}: {a}", f"{names[1]}: {b}"))
        for a, b in pairs
    ]
    if not any(row.pairs for row in rows):
        raise InputError(
            f"{str(one.path)!r} and {str(other.path)!r} share no problem that both ended"
        )
    comparison = EvaluationComparison(
        first=names[0],
        second=names[1],
        rows=adjusted(rows),
        objections=tuple(found),
        notes=tuple(_notes(*configs, rows)),
    )
    problems = tuple(paired_problems(groups[0][a], groups[1][b]) for a, b in pairs)
    return SideBySide(comparison, problems)


def objections(one: EvaluationConfig, other: EvaluationConfig) -> list[str]:
    """Why numbers of these two evaluations do not belong side by side, in words."""
    return [
        *_benchmark_objections(one, other),
        *_plan_objections(one, other),
        *(
            f"answers were graded by {name} {one.versions.get(name, 'of unknown version')} and "
            f"{other.versions.get(name, 'of unknown version')}"
            for name in GRADERS
            if one.versions.get(name) != other.versions.get(name)
        ),
    ]


def _benchmark_objections(one: EvaluationConfig, other: EvaluationConfig) -> Iterator[str]:
    mine = {(used.name, used.split): used for used in one.benchmarks}
    theirs = {(used.name, used.split): used for used in other.benchmarks}
    if mine.keys() != theirs.keys():
        yield f"other benchmarks: {_names(mine)} and {_names(theirs)}"
    for key in mine.keys() & theirs.keys():
        if mine[key].sha256 != theirs[key].sha256:
            yield (
                f"{' '.join(key).strip()} was read from another file (sha256 "
                f"{mine[key].sha256[:12]} and {theirs[key].sha256[:12]})"
            )
    if one.problem_sha256 != other.problem_sha256:
        counts = [sum(used.n for used in config.benchmarks) for config in (one, other)]
        yield (
            f"other problems or references: {counts[0]} problems of seed {one.seed} and "
            f"{counts[1]} of seed {other.seed}"
        )


def _plan_objections(one: EvaluationConfig, other: EvaluationConfig) -> Iterator[str]:
    if one.max_iterations != other.max_iterations:
        yield f"{one.max_iterations} and {other.max_iterations} attempts were allowed"
    if one.withhold != other.withhold:
        yield f"entries were withheld with probability {one.withhold:g} and {other.withhold:g}"


def _oracle_objections(
    pairs: Sequence[tuple[str, str]], groups: tuple[dict[str, list[Sample]], ...]
) -> list[str]:
    return [
        f"only one of {a} and {b} had feedback that saw the gold answer"
        for a, b in pairs
        if any(s.oracle for s in groups[0][a]) != any(s.oracle for s in groups[1][b])
    ]


def _refuse_missing(
    pairs: Sequence[tuple[str, str]],
    groups: tuple[dict[str, list[Sample]], ...],
    folders: tuple[EvaluationFolder, ...],
) -> None:
    if not pairs:
        raise InputError(
            f"the two have no arm in common ({_list(groups[0])}; {_list(groups[1])}); "
            "name a pair: --arms online,empty"
        )
    for place, (group, folder) in enumerate(zip(groups, folders, strict=True)):
        for pair in pairs:
            if pair[place] not in group:
                raise InputError(
                    f"{str(folder.path)!r} has no finished sample of arm {pair[place]!r}; "
                    f"it has {_list(group)}"
                )


def _notes(
    one: EvaluationConfig, other: EvaluationConfig, rows: Sequence[Comparison]
) -> Iterator[str]:
    for name in sorted(one.settings.keys() | other.settings.keys()):
        values = (one.settings.get(name), other.settings.get(name))
        if values[0] != values[1] and name not in ("data_dir", "home", "memory", "database"):
            yield f"{name}: {values[0]} and {values[1]}"
    if one.prompts_sha256 != other.prompts_sha256:
        yield "the prompts differ"
    if one.git_revision != other.git_revision:
        yield f"git revision: {one.git_revision} and {other.git_revision}"
    if one.orders != other.orders:
        yield f"orders of the problems: {one.orders} and {other.orders}"
    for row in rows:
        if 0 < row.pairs < FEW:
            yield f"{row.first} and {row.second} share only {row.pairs} problems"


def _by_arm(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.arm, []).append(sample)
    return found


def _names(benchmarks: Iterable[tuple[str, str]]) -> str:
    return ", ".join(" ".join(key).strip() for key in benchmarks) or "none"


def _list(group: dict[str, list[Sample]]) -> str:
    return ", ".join(group) or "none"
