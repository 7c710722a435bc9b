"""What the arms of recurring problems are taught: a right solution of the first problem of each group.

The solutions are the data's own, or a teacher's. They are made into entries with worked examples as
anywhere else, and refused as anywhere else when an exact verifier fails them. ``taught`` and
``lessons`` find them in their memory, by recall. ``form`` and ``placebo`` are shown an example by
force, at the same place of the prompt: one that fits nothing, and one of another group.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.contamination import near_sources
from vitarmm_agent.evals.datasets.groups import group_of, own_solution
from vitarmm_agent.evals.datasets.records import Benchmark
from vitarmm_agent.evals.run.arm_memory import NAMESPACE, Rule, open_arm_memory
from vitarmm_agent.evals.run.arms import Arm
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.schema import Example, MemoryEntry, Provenance
from vitarmm_agent.private import write_text
from vitarmm_agent.problem import Problem
from vitarmm_agent.rmm.worked import worked_entry
from vitarmm_agent.verifiers.solution import objection_to, solution_of

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

log = logging.getLogger(__name__)

REFERENCE = "reference"
TEACHER = "teacher"
TRIES = 20
TOLD = 3
"""Groups that cannot be taught, of which the reason is told at once; all are in the configuration."""
FORM = MemoryEntry(
    id="form",
    entry_type="insight",
    title="Worked example",
    content="Write numbered steps, and the answer alone on the last line.",
    example=Example(
        problem="A gardener plants 3 rows of 6 tulips. Rabbits eat 4 of them. How many are left?",
        steps=("The rows hold 3 * 6 = 18 tulips.", "18 - 4 = 14 tulips are left."),
        answer="14",
        verified_by=REFERENCE,
    ),
)
"""The one example that the arm ``form`` shows to every problem."""

Taught = dict[str, MemoryEntry]
"""Entries by group."""


def taught_entries(benchmark: Benchmark, lessons: Mapping[str, Sample] | None = None) -> Taught:
    """The entry of each group whose solution can be kept.

    Args:
        benchmark: recurring problems.
        lessons: what a teacher made of the problems taught, by problem id; None takes the data's own
            solutions.

    Raises:
        InputError: there is none.
    """
    found, _ = _read(benchmark, lessons)
    if not found:
        raise _nothing_to_teach(benchmark)
    return found


def teachable(benchmark: Benchmark, arms: Sequence[str], seed: int) -> Benchmark:
    """The groups whose own solution can be taught; the others are told, and left out with the reason.

    Raises:
        InputError: there are none, or a problem has no placebo.
    """
    taught, refused = _read(benchmark)
    if not taught:
        raise _nothing_to_teach(benchmark, refused)
    if refused:
        shown = "; ".join(f"{name!r}: {why}" for name, why in list(refused.items())[:TOLD])
        log.warning(
            "%s: %d of %d groups left out, whose solution cannot be taught (%s%s)",
            benchmark.source, len(refused), len(benchmark.taught), shown,
            "; …" if len(refused) > TOLD else "",
        )  # fmt: skip
    kept = benchmark.model_copy(
        update={
            "problems": tuple(p for p in benchmark.problems if group_of(p) in taught),
            "taught": tuple(p for p in benchmark.taught if group_of(p) in taught),
            "untaught": benchmark.untaught | refused,
        }
    )
    if "placebo" in arms:
        _placebos(kept, taught, seed)
    return kept


def _read(
    benchmark: Benchmark, lessons: Mapping[str, Sample] | None = None
) -> tuple[Taught, dict[str, str]]:
    """What is taught, and why the solutions of the other groups cannot be; each by group."""
    taught: Taught = {}
    refused: dict[str, str] = {}
    for problem in benchmark.taught:
        lesson = lessons.get(problem.id) if lessons is not None else None
        text = own_solution(problem) if lessons is None else _solution(lesson)
        try:
            entry = entry_of(problem, text, REFERENCE if lessons is None else TEACHER)
        except InputError as error:
            refused[group_of(problem)] = str(error)
        else:
            taught[group_of(problem)] = entry
    return taught, refused


def _nothing_to_teach(benchmark: Benchmark, refused: Mapping[str, str] | None = None) -> InputError:
    why = next((f" ({name!r}: {why})" for name, why in (refused or {}).items()), "")
    return InputError(
        f"no group of {benchmark.source} has a solution that can be taught{why}; "
        "its rows need a field 'solution' with steps, or name a teacher and --taught-by teacher"
    )


def _solution(lesson: Sample | None) -> str:
    return str(lesson.metadata.get("solution", "")) if lesson is not None else ""


def entry_of(problem: Problem, text: str, verifier: str = REFERENCE) -> MemoryEntry:
    """The entry of a solution.

    Raises:
        InputError: there is none, an exact verifier fails it, or it cannot be kept.
    """
    bare = problem.without_reference()
    solution = solution_of(bare, text)
    if why := run(objection_to(bare, solution)) if text else "there is no solution":
        raise InputError(why)
    provenance = Provenance(
        run=f"taught-{problem.id}", problem_id=problem.id, attempt=1, verifier=verifier
    )
    entry = worked_entry(bare, solution, verified_by=verifier, provenance=provenance)
    return entry.model_copy(update={"id": f"m-taught-{problem.id}"[:200]})


def paid_lessons(benchmark: Benchmark, lessons: Mapping[str, Sample]) -> dict[str, Sample]:
    """The teacher's samples by the first problem of the group each was asked for: it bears the cost."""
    first = {group_of(problem): lessons.get(problem.id) for problem in benchmark.taught}
    found: dict[str, Sample] = {}
    for problem in benchmark.problems:
        lesson = first.pop(group_of(problem), None)
        if lesson is not None:
            found[problem.id] = lesson
    return found


def placebos(
    firsts: Iterable[Problem], problems: Iterable[Problem], taught: Taught, seed: int
) -> Taught:
    """For each problem, by id, the entry of another group that is not of the same kind.

    A group whose every other is of its kind has none, nor have its problems.

    Args:
        firsts: the problem of each group that is taught.
        problems: which a placebo is wanted for.
        taught: entries by group.
        seed: of the draw.
    """
    first = {group_of(problem): problem for problem in firsts}
    names = sorted(taught)
    found: Taught = {}
    for problem in problems:
        dice = random.Random(f"{seed}/placebo/{problem.id}")
        others = [name for name in names if name != group_of(problem)]
        for name in dice.sample(others, min(TRIES, len(others))):
            if not near_sources([first[name]], [problem]):
                found[problem.id] = taught[name]
                break
    return found


def _placebos(benchmark: Benchmark, taught: Taught, seed: int) -> Taught:
    """A placebo for each problem: one shown nothing would be the control of nothing."""
    found = placebos(benchmark.taught, benchmark.problems, taught, seed)
    if lacking := [problem.id for problem in benchmark.problems if problem.id not in found]:
        raise InputError(
            "the arm 'placebo' shows the solution of another kind of problem, and of "
            f"{benchmark.source} no second kind could be taught for {len(lacking)} problems, such as "
            f"{lacking[0]!r}; leave it out, or give more groups"
        )
    return found


def prepare(
    folder: Path,
    arms: Sequence[Arm],
    benchmark: Benchmark,
    taught: Taught,
    settings: Settings,
    seed: int,
) -> None:
    """Fill the memories of the arms that are taught, and say what the others are made to show.

    Done again, it changes nothing.

    Args:
        folder: of the memories of the evaluation.
        arms: those that are run.
        benchmark: recurring problems.
        taught: entries by group.
        settings: name the embedder.
        seed: of the placebos.

    Raises:
        InputError: a problem has no placebo.
    """
    for arm in arms:
        if arm.keeps in ("taught", "lessons"):
            _fill(folder / arm.name, arm, benchmark.name, taught, settings)
        elif arm.keeps == "shown":
            shown = dict.fromkeys((p.id for p in benchmark.problems), FORM)
            if arm.name == "placebo":
                shown = _placebos(benchmark, taught, seed)
            path = shown_path(folder, arm)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = {key: entry.model_dump(mode="json") for key, entry in shown.items()}
            write_text(path, json.dumps(rows, ensure_ascii=False))


def _fill(folder: Path, arm: Arm, stream: str, taught: Taught, settings: Settings) -> None:
    memory = open_arm_memory(folder, Rule("stream", as_text=arm.keeps == "lessons"), settings)
    own = memory.with_namespace([part.format(stream=stream) for part in NAMESPACE])
    try:
        for entry in taught.values():
            origin = entry.provenance
            own.write(
                [Operation(kind="add", entry=entry)],
                run=origin.run, attempt=origin.attempt, problem_id=origin.problem_id,
            )  # fmt: skip
    finally:
        memory.close()


def shown_path(folder: Path, arm: Arm) -> Path:
    """The file that says which entry each problem is shown."""
    return folder / f"{arm.name}.json"


def read_shown(folder: Path, arm: Arm) -> Taught:
    """By problem id, the entry that an arm is made to show."""
    rows = json.loads(shown_path(folder, arm).read_text(encoding="utf-8"))
    return {key: MemoryEntry.model_validate(row) for key, row in rows.items()}
