"""Run an evaluation: benchmarks × arms × orders, resumable at any point to the same numbers.

Every finished sample is a line in ``samples.jsonl``; a run under way is in its checkpoints, and its
thread is named after arm, order and problem. Done again, a finished sample is skipped, a run that was
cut off goes on from its last checkpoint, and memory writes are keyed by run and attempt.

Self-consistency comes last, because how many votes it may have depends on what the loop cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.contamination import copies, families, near_sources
from vitarmm_agent.evals.datasets.groups import group_of
from vitarmm_agent.evals.datasets.records import Benchmark, policy_of
from vitarmm_agent.evals.run.agent_cluster import AgentCluster
from vitarmm_agent.evals.run.agents import Agents, Models
from vitarmm_agent.evals.run.arms import (
    COST_REFERENCES,
    LEARNING,
    TEACHING,
    Arm,
    in_order,
    votes_at_equal_cost,
)
from vitarmm_agent.evals.run.budget import Meter
from vitarmm_agent.evals.run.folder import EvaluationConfig
from vitarmm_agent.evals.run.plan import EvaluationPlan, checked, configuration
from vitarmm_agent.evals.run.recording import Task, sample_of_crash
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.run.teaching import TEACHER, paid_lessons, prepare, taught_entries
from vitarmm_agent.evals.worklist import Job, WorkList, side_by_side

LEDGER_OF_LEARNING = "learning.jsonl"
LEDGER_OF_TEACHING = "teaching.jsonl"
FINISHED = "finished"


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
        models: loaded already, where the plan has no cluster; default: those of its settings.
        resume: go on with the evaluation that lies in the folder.
        on_sample: is told of each sample, those of earlier sessions first.

    Raises:
        InputError: the plan cannot be run, or the folder holds something else, or loaded models are
            to be used on a cluster.
        UserError: a model cannot be loaded.
        ModelServerError: the model server denies every request alike.
    """
    plan, config = _prepared(plan)
    config = plan.folder.begin(config, resume=resume)
    agents = await _agents(plan, models)
    try:
        run = _Run(plan, agents, on_sample or _ignore)
        stopped = await run.all()
    finally:
        agents.close()
    plan.folder.end(stopped or FINISHED)
    return Outcome(config, tuple(run.samples.done.values()), stopped)


def check_folder(plan: EvaluationPlan, *, resume: bool = False) -> None:
    """Refuse what :func:`evaluate` would refuse of the plan and its folder; nothing is written."""
    plan, config = _prepared(plan)
    plan.folder.earlier(config, resume=resume)


def _prepared(plan: EvaluationPlan) -> tuple[EvaluationPlan, EvaluationConfig]:
    plan, held_out = _without_duplicates(checked(plan))
    return plan, configuration(plan, held_out)


async def _agents(plan: EvaluationPlan, models: Models | None) -> Agents | AgentCluster:
    """What solves the plan's tasks: here, or on a cluster."""
    choices: dict[str, Any] = {
        "prices": plan.prices,
        "withhold": plan.withhold,
        "seed": plan.seed,
        "alike": _alike(plan.benchmarks),
        "one_pass": plan.one_pass,
    }
    if plan.cluster is None:
        return Agents(plan.folder, plan.settings, models, **choices)
    if models is not None:
        raise InputError("models that are loaded in this process cannot be used on a cluster")
    return await AgentCluster.open(
        plan.cluster, plan.folder, plan.settings, runs=plan.workers, **choices
    )


class _Run:
    """One session of an evaluation."""

    def __init__(
        self, plan: EvaluationPlan, agents: Agents | AgentCluster, on_sample: OnSample
    ) -> None:
        self.plan, self.agents, self.on_sample = plan, agents, on_sample
        self.samples = WorkList(plan.folder.samples_path, Sample)
        self.learned = WorkList(plan.folder.data_dir / LEDGER_OF_LEARNING, Sample)
        self.lessons = WorkList(plan.folder.data_dir / LEDGER_OF_TEACHING, Sample)
        self.paid: dict[str, Sample] = {}
        self.meter = Meter(plan.budget)

    async def all(self) -> str | None:
        """Run what is not done yet; why it stopped early, or None."""
        ledgers = (self.lessons, self.learned, self.samples)
        for sample in (sample for ledger in ledgers for sample in ledger.done.values()):
            self._count(sample)
        if stopped := await self._teach():
            return stopped
        votes = [arm for arm in self.plan.arms if arm.votes]
        taught = [arm for arm in self.plan.arms if arm.keeps == "learned"]
        others = [arm for arm in self.plan.arms if arm not in votes + taught]
        ends = await side_by_side(self._learn(), self._arms(others, self._solve))
        stopped = next(filter(None, ends), None)
        stopped = stopped or await self._arms(taught, self._solve)
        return stopped or await self._arms(votes, self._vote)

    async def _teach(self) -> str | None:
        """Have the first problem of each group solved, and put the solutions where arms find them."""
        arms = [arm for arm in self.plan.arms if arm.recurs]
        if not arms:
            return None
        (benchmark,) = self.plan.benchmarks
        lessons: dict[str, Sample] | None = None
        if self.plan.taught_by == TEACHER:
            tasks = [
                [Task(TEACHING, problem, benchmark.name, policy=policy_of(problem))]
                for problem in benchmark.taught
            ]
            if stopped := await self._work(self.lessons, tasks, self._solve):
                return stopped
            lessons = {sample.problem_id: sample for sample in self.lessons.done.values()}
            self.paid = paid_lessons(benchmark, lessons)
        taught = await asyncio.to_thread(taught_entries, benchmark, lessons)
        place = self.plan.folder.memories
        await asyncio.to_thread(
            prepare, place, arms, benchmark, taught, self.plan.settings, self.plan.seed
        )
        return None

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
        """Problem by problem through all arms, so that one that is stopped early has pairs to compare."""
        lanes: list[list[Task]] = []
        alone: list[Task] = []
        for arm in arms:
            for order in self.plan.orders_of(arm):
                for benchmark in self.plan.benchmarks:
                    tasks = list(_tasks(arm, order, benchmark, self.plan.seed))
                    if arm.ordered:
                        lanes.append(tasks)
                    else:
                        alone += tasks
        alone.sort(key=lambda task: task.position)
        return await self._work(self.samples, [*lanes, *([task] for task in alone)], do)

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
        task: Task = job.payload
        sample = await self.agents.solve(task)
        lesson = self.paid.get(task.problem.id)
        if lesson is None or task.arm.keeps not in ("taught", "lessons"):
            return sample
        return sample.model_copy(update={"teacher": lesson.usage})

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
    kin: dict[str, set[str]] = {}
    for problem in (*benchmark.taught, *benchmark.problems):
        kin.setdefault(group_of(problem), set()).add(problem.id)
    for position, problem in enumerate(in_order(benchmark.problems, order, seed)):
        group = group_of(problem)
        yield Task(
            arm, problem, benchmark.name, order, position, policy_of(problem),
            frozenset(kin[group]) if group else frozenset(),
        )  # fmt: skip


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
    """By problem id, the problems of the same benchmark that nearly equal it.

    Of recurring problems those that are quite the same: their siblings are what they learn from.
    """
    found: dict[str, frozenset[str]] = {}
    for benchmark in benchmarks:
        if benchmark.taught:
            found |= copies([*benchmark.taught, *benchmark.problems])
        else:
            found |= families(benchmark.problems)
    return found


def _ignore(sample: Sample) -> None:
    """Tell nobody."""
