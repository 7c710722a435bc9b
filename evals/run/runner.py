"""Run an evaluation: benchmarks × arms × orders, resumable at any point to the same numbers.

Every finished sample is a line in ``samples.jsonl``; a run under way is in its checkpoints, and its
thread is named after arm, order and problem. Done again, a finished sample is skipped, a run that was
cut off goes on from its last checkpoint, and memory writes are keyed by run and attempt.

Self-consistency comes last, because how many votes it may have depends on what the loop cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.contamination import THRESHOLD, families, near_sources
from vitarmm_agent.evals.datasets.records import Benchmark, policy_of
from vitarmm_agent.evals.run.agents import Agents, Models, vote_temperature
from vitarmm_agent.evals.run.arms import (
    COST_REFERENCES,
    LEARNING,
    Arm,
    in_order,
    votes_at_equal_cost,
)
from vitarmm_agent.evals.run.budget import Budget, Meter
from vitarmm_agent.evals.run.folder import (
    BenchmarkUsed,
    EvaluationConfig,
    EvaluationFolder,
    Prices,
    describe,
    problems_sha256,
)
from vitarmm_agent.evals.run.processes import AgentProcesses, check_count
from vitarmm_agent.evals.run.recording import Task, sample_of_crash
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.worklist import PATIENCE, Job, WorkList, side_by_side

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

LEDGER_OF_LEARNING = "learning.jsonl"
FINISHED = "finished"


@dataclass(frozen=True)
class EvaluationPlan:
    """What is to be evaluated.

    Attributes:
        learning: training problems that the frozen arm's memory is learned from.
        orders: how many task orders the ordered arms are run in.
        withhold: probability with which a run has one recalled entry withheld.
        workers: runs at a time; they change no number.
        processes: over which the runs are spread; each loads the models itself.
        time_limit: seconds for one run; over it, the sample counts as crashed.
        patience: seconds for which a failing model server is asked again.
        first_wait: the first pause before it is asked again.
    """

    folder: EvaluationFolder
    benchmarks: tuple[Benchmark, ...]
    arms: tuple[Arm, ...]
    settings: Settings
    learning: Benchmark | None = None
    orders: int = 3
    seed: int = 0
    sample_size: int = -1
    withhold: float = 0.0
    prices: Prices | None = None
    workers: int = 8
    processes: int = 1
    budget: Budget | None = None
    time_limit: float | None = None
    patience: float = PATIENCE
    first_wait: float = 1.0

    def orders_of(self, arm: Arm) -> range:
        """The numbers of the task orders in which an arm is run."""
        return range(self.orders if arm.ordered else 1)

    def expected(self) -> dict[str, int]:
        """How many samples each arm will have."""
        n = sum(len(benchmark.problems) for benchmark in self.benchmarks)
        return {arm.name: n * len(self.orders_of(arm)) for arm in self.arms}


@dataclass(frozen=True)
class Outcome:
    """What an evaluation came to.

    Attributes:
        stopped: why it ended before all was done, or None.
    """

    config: EvaluationConfig
    samples: tuple[Sample, ...]
    stopped: str | None = None


OnSample = Callable[[Sample], None]


def checked(plan: EvaluationPlan) -> EvaluationPlan:
    """The plan with ids that are unique over all benchmarks, and without training on test problems.

    Raises:
        InputError: it cannot be run: no problem, no training problems for the frozen arm, dollars
            without prices, or a number out of range.
    """
    if not plan.benchmarks:
        raise InputError("no benchmark is given; name a file, such as --gsm8k-path FILE")
    if not 0 <= plan.withhold <= 1:
        raise InputError(f"withhold is a probability from 0 to 1, got {plan.withhold}")
    if "human" in [name.strip() for name in plan.settings.feedback.split(",")]:
        raise InputError("an evaluation cannot ask a person; take 'human' out of the feedback")
    check_count(plan.processes, plan.workers)
    if plan.orders < 1:
        raise InputError(f"orders must be 1 or more, got {plan.orders}")
    if any(arm.keeps == "learned" for arm in plan.arms):
        if plan.learning is None:
            raise InputError(
                "the arm 'frozen' needs training problems to learn from: give --train-path FILE"
            )
    else:
        plan = replace(plan, learning=None)
    if plan.budget and plan.budget.unit == "dollars" and plan.prices is None:
        raise InputError("a budget in dollars needs prices: give --price-in and --price-out")
    return replace(plan, benchmarks=tuple(_with_unique_ids(plan.benchmarks)))


def configuration(plan: EvaluationPlan, held_out: Sequence[str] = ()) -> EvaluationConfig:
    """The configuration that a plan's numbers depend on."""
    problems = [problem for benchmark in plan.benchmarks for problem in benchmark.problems]
    return describe(
        budget=str(plan.budget) if plan.budget else None,
        benchmarks=tuple(map(_used, plan.benchmarks)),
        arms=tuple(arm.name for arm in plan.arms),
        orders=plan.orders,
        seed=plan.seed,
        max_iterations=plan.settings.max_iterations,
        sample_size=plan.sample_size,
        withhold=plan.withhold,
        prices=plan.prices,
        settings=plan.settings.public(),
        problem_sha256=problems_sha256(problems),
        oracle_arms=tuple(arm.name for arm in plan.arms if arm.oracle),
        learning=_used(plan.learning) if plan.learning else None,
        held_out=tuple(held_out),
        details={
            "near_duplicate_threshold": THRESHOLD,
            "time_limit": plan.time_limit,
            "vote_temperature": vote_temperature(plan.settings),
        },
    )


async def evaluate(
    plan: EvaluationPlan,
    *,
    models: Models | None = None,
    resume: bool = False,
    on_sample: OnSample | None = None,
) -> Outcome:
    """Run a plan, or go on with it.

    Args:
        plan: what is to be evaluated.
        models: loaded already, where the plan has one process; default: those of its settings.
        resume: go on with the evaluation that lies in the folder.
        on_sample: is told of each sample, those of earlier sessions first.

    Raises:
        InputError: the plan cannot be run, or the folder holds something else, or loaded models are
            to be shared by several processes.
        UserError: a model cannot be loaded.
        ModelServerError: the model server denies every request alike.
    """
    plan = checked(plan)
    plan, held_out = _without_duplicates(plan)
    config = plan.folder.begin(configuration(plan, held_out), resume=resume)
    agents = await _agents(plan, models)
    try:
        run = _Run(plan, agents, on_sample or _ignore)
        stopped = await run.all()
    finally:
        agents.close()
    plan.folder.end(stopped or FINISHED)
    return Outcome(config, tuple(run.samples.done.values()), stopped)


async def _agents(plan: EvaluationPlan, models: Models | None) -> Agents | AgentProcesses:
    """What solves the plan's tasks: here, or in processes of its own."""
    choices: dict[str, Any] = {
        "prices": plan.prices,
        "withhold": plan.withhold,
        "seed": plan.seed,
        "alike": _alike(plan.benchmarks),
    }
    if plan.processes == 1:
        return Agents(plan.folder, plan.settings, models, **choices)
    if models is not None:
        raise InputError("models that are loaded already cannot be shared by several processes")
    open_agents = partial(Agents, plan.folder, plan.settings, **choices)
    return await AgentProcesses.open(plan.processes, open_agents)


class _Run:
    """One session of an evaluation."""

    def __init__(
        self, plan: EvaluationPlan, agents: Agents | AgentProcesses, on_sample: OnSample
    ) -> None:
        self.plan, self.agents, self.on_sample = plan, agents, on_sample
        self.samples = WorkList(plan.folder.samples_path, Sample)
        self.learned = WorkList(plan.folder.data_dir / LEDGER_OF_LEARNING, Sample)
        self.meter = Meter(plan.budget)

    async def all(self) -> str | None:
        """Run what is not done yet; why it stopped early, or None."""
        for sample in [*self.learned.done.values(), *self.samples.done.values()]:
            self._count(sample)
        votes = [arm for arm in self.plan.arms if arm.votes]
        taught = [arm for arm in self.plan.arms if arm.keeps == "learned"]
        others = [arm for arm in self.plan.arms if arm not in votes + taught]
        ends = await side_by_side(self._learn(), self._arms(others, self._solve))
        stopped = next(filter(None, ends), None)
        stopped = stopped or await self._arms(taught, self._solve)
        return stopped or await self._arms(votes, self._vote)

    async def _learn(self) -> str | None:
        """Let the frozen arm's memory learn, one training problem after another."""
        if self.plan.learning is None:
            return None
        tasks = list(_tasks(LEARNING, 0, self.plan.learning, self.plan.seed))
        stopped = await self._work(self.learned, [tasks], self._solve)
        await self.agents.release(LEARNING)
        return stopped

    async def _arms(
        self, arms: Sequence[Arm], do: Callable[[Job], Awaitable[Sample]]
    ) -> str | None:
        lanes: list[list[Task]] = []
        for arm in arms:
            for order in self.plan.orders_of(arm):
                for benchmark in self.plan.benchmarks:
                    tasks = list(_tasks(arm, order, benchmark, self.plan.seed))
                    lanes += [tasks] if arm.ordered else [[task] for task in tasks]
        return await self._work(self.samples, lanes, do)

    async def _work(
        self,
        ledger: WorkList[Sample],
        lanes: Sequence[Sequence[Task]],
        do: Callable[[Job], Awaitable[Sample]],
    ) -> str | None:
        return await ledger.run(
            [[Job(task.key, task) for task in lane] for lane in lanes],
            do,
            workers=self.plan.workers,
            crashed=lambda job, error: sample_of_crash(job.payload, error),
            time_limit=self.plan.time_limit,
            on_row=self._count,
            stop=self._over,
            patience=self.plan.patience,
            first_wait=self.plan.first_wait,
        )

    def _count(self, sample: Sample) -> None:
        self.meter.add(sample)
        self.on_sample(sample)

    def _over(self) -> str | None:
        return self.agents.broken() or self.meter.over()

    async def _solve(self, job: Job) -> Sample:
        return await self.agents.solve(job.payload)

    async def _vote(self, job: Job) -> Sample:
        return await self.agents.vote(job.payload, *self._votes())

    def _votes(self) -> tuple[int, str]:
        """How many votes self-consistency has, and what they are to cost as much as."""
        samples = [s for s in self.samples.done.values() if s.crash is None and s.attempts]
        ran = {sample.arm for sample in samples}
        reference = next((name for name in COST_REFERENCES if name in ran), None)
        if reference is None:
            return self.plan.settings.max_iterations, "max_iterations"
        loops = [s for s in samples if s.arm == reference]
        passes = [s.usage.total_tokens for s in samples if s.arm == "single"]
        if not passes:
            passes = [s.attempts[0].usage.total_tokens for s in loops]
        return votes_at_equal_cost([s.usage.total_tokens for s in loops], passes), reference


def _tasks(arm: Arm, order: int, benchmark: Benchmark, seed: int) -> Iterator[Task]:
    for position, problem in enumerate(in_order(benchmark.problems, order, seed)):
        yield Task(arm, problem, benchmark.name, order, position, policy_of(problem))


def _used(benchmark: Benchmark) -> BenchmarkUsed:
    return BenchmarkUsed(
        name=benchmark.name,
        split=benchmark.split,
        n=len(benchmark.problems),
        sha256=benchmark.sha256,
        source=benchmark.source,
        skipped=dict(Counter(row.reason for row in benchmark.skipped)),
    )


def _with_unique_ids(benchmarks: Sequence[Benchmark]) -> Iterator[Benchmark]:
    """Where two benchmarks share an id, all ids of both get the benchmark's name in front."""
    count = Counter(problem.id for b in benchmarks for problem in b.problems)
    for benchmark in benchmarks:
        if all(count[problem.id] == 1 for problem in benchmark.problems):
            yield benchmark
            continue
        problems = tuple(
            p.model_copy(update={"id": f"{benchmark.name}-{p.id}"}) for p in benchmark.problems
        )
        yield benchmark.model_copy(update={"problems": problems})


def _without_duplicates(plan: EvaluationPlan) -> tuple[EvaluationPlan, list[str]]:
    """The plan without training problems that nearly equal a test problem, and their ids."""
    if plan.learning is None:
        return plan, []
    tests = [problem for benchmark in plan.benchmarks for problem in benchmark.problems]
    held_out = near_sources(plan.learning.problems, tests)
    kept = tuple(p for p in plan.learning.problems if p.id not in held_out)
    if not kept:
        raise InputError(
            "every training problem nearly equals a test problem; give another --train-path"
        )
    learning = plan.learning.model_copy(update={"problems": kept})
    return replace(plan, learning=learning), sorted(held_out)


def _alike(benchmarks: Sequence[Benchmark]) -> dict[str, frozenset[str]]:
    """By problem id, the problems of the same benchmark that nearly equal it."""
    found: dict[str, frozenset[str]] = {}
    for benchmark in benchmarks:
        found |= families(benchmark.problems)
    return found


def _ignore(sample: Sample) -> None:
    """Tell nobody."""
