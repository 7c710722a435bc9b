"""Which problems a simulation runs: read, checked, drawn, and a share of them held out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import Benchmark, load_benchmark
from vitarmm_agent.evals.datasets.groups import group_of, own_solution
from vitarmm_agent.evals.run.teaching import entry_of, placebos
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.problem import Problem
from vitarmm_agent.training.simulated import SimulationConfig, Source

TEST_SPLITS = frozenset({"test", "testmini"})


@dataclass(frozen=True)
class ProblemDrawn:
    """One problem to run.

    Attributes:
        siblings: unseen problems of its kind, with a placebo each.
    """

    problem: Problem
    held_out: bool
    siblings: tuple[Probe, ...] = ()

    @property
    def key(self) -> str:
        """``BENCHMARK/PROBLEM``."""
        return f"{self.problem.metadata.get('benchmark', '')}/{self.problem.id}"


@dataclass(frozen=True)
class Problems:
    """The problems of a simulation.

    Attributes:
        tasks: what is run, in order.
        pool: training problems, by benchmark, among which similar ones are looked for.
        skipped: rows of the files that could not be used, by reason.
    """

    tasks: tuple[ProblemDrawn, ...]
    pool: dict[str, tuple[Problem, ...]]
    skipped: dict[str, int]


def load_problems(config: SimulationConfig) -> Problems:
    """Read, check and draw the problems.

    Raises:
        InputError: there are no sources, rows may not become training data, or a file cannot be
            used.
    """
    if not config.sources:
        raise InputError(
            "nothing to simulate: give --gsm8k-path, --mmlu-path, --mathvista-path or --problems-path"
        )
    if config.num_samples != -1 and config.num_samples < 1:
        raise InputError(f"num_samples must be -1 (all) or 1 and more, got {config.num_samples}")
    tasks, pool, skipped = list[ProblemDrawn](), dict[str, tuple[Problem, ...]](), Counter[str]()
    for source in config.sources:
        benchmark = load_benchmark(source.name, source.path, image_dir=source.image_dir)
        _refuse_test_rows(benchmark, config)
        if config.siblings:
            benchmark = _with_siblings(source, config)
        skipped.update(f"{source.name}: {row.reason}" for row in benchmark.skipped)
        if config.siblings:
            tasks += _groups(benchmark, config)
            continue
        drawn = draw(benchmark.problems, config)
        held = {task.problem.id for task in drawn if task.held_out}
        pool[source.name] = tuple(p for p in benchmark.problems if p.id not in held)
        tasks += drawn
    if len({task.key for task in tasks}) < len(tasks):
        raise InputError("two sources hold problems of the same name; give each file once")
    return Problems(tuple(tasks), pool, dict(skipped.most_common()))


def draw(problems: Sequence[Problem], config: SimulationConfig) -> list[ProblemDrawn]:
    """As many problems as asked for, in their order, a share of them held out."""
    dice = random.Random(config.seed)
    n = len(problems) if config.num_samples == -1 else min(config.num_samples, len(problems))
    chosen = sorted(dice.sample(range(len(problems)), n))
    wanted = round(n * config.holdout)
    if 0 < config.holdout < 1 and n > 1:
        wanted = min(max(wanted, 1), n - 1)
    held = set(dice.sample(chosen, wanted))
    return [ProblemDrawn(problems[index], index in held) for index in chosen]


def _with_siblings(source: Source, config: SimulationConfig) -> Benchmark:
    """The rows as groups of siblings.

    Raises:
        InputError: they are not of GSM8K, or none has siblings.
    """
    if source.name != "gsm8k":
        raise InputError(
            f"siblings are made of rows of GSM8K, not of {source.name}: give --gsm8k-path, or leave "
            "--on-siblings out"
        )
    return load_benchmark(
        "siblings",
        source.path,
        sample_size=config.num_samples,
        siblings=config.siblings + 1,
        seed=config.seed,
    )


def _groups(benchmark: Benchmark, config: SimulationConfig) -> list[ProblemDrawn]:
    """The first of each group to run, with the others to try entries on; a group is held out whole."""
    controls = _controls(benchmark.taught, benchmark.problems, config.seed)
    siblings = defaultdict[str, list[Probe]](list)
    for problem in sorted(benchmark.problems, key=lambda problem: problem.id):
        probe = Probe(problem=problem, placebo=controls.get(problem.id))
        siblings[group_of(problem)].append(probe)
    return [
        replace(task, siblings=tuple(siblings[group_of(task.problem)]))
        for task in draw(benchmark.taught, config)
    ]


def with_placebos(cases: Sequence[Case], seed: int) -> list[Case]:
    """The situations, each of their siblings with a placebo: the worked example of another situation."""
    probes = [probe for case in cases for probe in case.siblings]
    firsts = {case.problem.id: case.problem for case in cases if case.siblings}.values()
    controls = _controls(firsts, (probe.problem for probe in probes), seed)

    def controlled(probe: Probe) -> Probe:
        return probe.model_copy(update={"placebo": controls.get(probe.problem.id)})

    return [
        case.model_copy(update={"siblings": tuple(map(controlled, case.siblings))})
        for case in cases
    ]


def _controls(
    firsts: Iterable[Problem], problems: Iterable[Problem], seed: int
) -> dict[str, MemoryEntry]:
    """By problem, what is kept of the solution of another group's row."""
    firsts = list(firsts)
    entries: dict[str, MemoryEntry] = {}
    for problem in firsts:
        with suppress(InputError):  # one that cannot be taught is no control
            entries[group_of(problem)] = entry_of(problem, own_solution(problem))
    return placebos(firsts, problems, entries, seed)


def unseen(config: SimulationConfig, sources: Sequence[Source] = ()) -> dict[str, list[Problem]]:
    """By benchmark, the problems that give no training rows in a simulation.

    Args:
        config: the simulation.
        sources: where to look; default: where the simulation's problems are from.

    Raises:
        InputError: a file cannot be used.
    """
    trained = {
        task.problem.fingerprint for task in load_problems(config).tasks if not task.held_out
    }
    found: dict[str, list[Problem]] = {}
    for source in sources or config.sources:
        benchmark = load_benchmark(source.name, source.path, image_dir=source.image_dir)
        new = [p for p in benchmark.problems if p.fingerprint not in trained]
        found.setdefault(source.name, []).extend(new)
    return found


def _refuse_test_rows(benchmark: Benchmark, config: SimulationConfig) -> None:
    if config.holdout == 1:  # nothing becomes training data
        return
    if benchmark.test_only and not config.test_only_allowed:
        raise InputError(
            f"{benchmark.source}: the licence of {benchmark.name} rows allows testing, not training; "
            "if you have the right to train on them, say so with "
            "--i-have-the-right-to-train-on-mathvista"
        )
    if not benchmark.test_only and TEST_SPLITS.intersection(benchmark.split.split("+")):
        raise InputError(
            f"{benchmark.source} holds test rows of {benchmark.name}; training on them would spoil "
            "every later evaluation: give the file of the training split"
        )
