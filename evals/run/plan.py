"""What is to be evaluated, checked before anything runs, and the configuration its numbers depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.cluster.session import Cluster
from vitarmm_agent.evals.contamination import THRESHOLD
from vitarmm_agent.evals.datasets.records import Benchmark
from vitarmm_agent.evals.run.agents import vote_temperature
from vitarmm_agent.evals.run.arms import Arm
from vitarmm_agent.evals.run.budget import Budget
from vitarmm_agent.evals.run.folder import (
    BenchmarkUsed,
    EvaluationConfig,
    EvaluationFolder,
    Prices,
    describe,
    problems_sha256,
)
from vitarmm_agent.evals.run.teaching import REFERENCE, TEACHER, teachable
from vitarmm_agent.evals.worklist import PATIENCE
from vitarmm_agent.models.load import adapter_hashes

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings


@dataclass(frozen=True)
class EvaluationPlan:
    """What is to be evaluated.

    Attributes:
        learning: training problems that the frozen arm's memory is learned from.
        orders: how many task orders the ordered arms are run in.
        withhold: probability with which a run has one recalled entry withheld.
        workers: runs at a time; they change no number.
        cluster: of actors, over which the runs are spread; default: they go on in this process.
        time_limit: seconds for one run; over it, the sample counts as crashed.
        patience: seconds for which a failing model server is asked again.
        first_wait: the first pause before it is asked again.
        taught_by: whose solutions the arms of recurring problems are taught: ``reference`` or
            ``teacher``.
        one_pass: every run makes one attempt that nothing judges, so that no memory writer is asked.
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
    cluster: Cluster | None = None
    budget: Budget | None = None
    time_limit: float | None = None
    patience: float = PATIENCE
    first_wait: float = 1.0
    taught_by: str = REFERENCE
    one_pass: bool = False

    def orders_of(self, arm: Arm) -> range:
        """The numbers of the task orders in which an arm is run."""
        return range(self.orders if arm.ordered else 1)

    def expected(self) -> dict[str, int]:
        """How many samples each arm will have."""
        n = sum(len(benchmark.problems) for benchmark in self.benchmarks)
        return {arm.name: n * len(self.orders_of(arm)) for arm in self.arms}


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
    verifiers = [name.strip() for name in plan.settings.feedback.split(",")]
    if "human" in verifiers:
        raise InputError("an evaluation cannot ask a person; take 'human' out of the feedback")
    if (
        "reference" in verifiers
        and not plan.settings.oracle
        and not all(a.oracle for a in plan.arms)
    ):
        raise InputError(
            "the verifier 'reference' sees the gold answer; take it out of the feedback, and run the arm "
            "'oracle' to see what it would do"
        )
    if plan.cluster:
        plan.cluster.check(plan.workers)
    if plan.orders < 1:
        raise InputError(f"orders must be 1 or more, got {plan.orders}")
    if any(arm.keeps == "learned" for arm in plan.arms):
        if plan.learning is None:
            raise InputError(
                "the arm 'frozen' needs training problems to learn from: give --train-path FILE"
            )
    else:
        plan = replace(plan, learning=None)
    plan = _recurring(plan)
    if plan.one_pass:
        settings = plan.settings.model_copy(update={"max_iterations": 1})
        plan = replace(plan, settings=settings)
    if plan.budget and plan.budget.unit == "dollars" and plan.prices is None:
        raise InputError("a budget in dollars needs prices: give --price-in and --price-out")
    return replace(plan, benchmarks=tuple(_with_unique_ids(plan.benchmarks)))


def _recurring(plan: EvaluationPlan) -> EvaluationPlan:
    """The plan with those groups alone that can be taught, where that can be known before."""
    recurring = [arm.name for arm in plan.arms if arm.recurs]
    if recurring and (len(plan.benchmarks) > 1 or not plan.benchmarks[0].taught):
        raise InputError(
            f"the arm {recurring[0]!r} needs recurring problems and no other benchmark: "
            "give --siblings-path FILE alone"
        )
    if plan.taught_by not in (REFERENCE, TEACHER):
        raise InputError(f"taught-by must be reference or teacher, got {plan.taught_by!r}")
    if recurring and plan.taught_by == TEACHER and plan.settings.teacher is None:
        raise InputError("no teacher is named; give --teacher SPEC, or --taught-by reference")
    if recurring and plan.taught_by == REFERENCE:
        kept = teachable(plan.benchmarks[0], recurring, plan.seed)
        return replace(plan, benchmarks=(kept,))
    return plan


def configuration(plan: EvaluationPlan, held_out: Sequence[str] = ()) -> EvaluationConfig:
    """The configuration that a plan's numbers depend on."""
    problems = [problem for benchmark in plan.benchmarks for problem in benchmark.problems]
    models = plan.settings
    adapters = adapter_hashes((models.reasoner, models.rmm, models.judge, models.teacher))
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
            "taught_by": plan.taught_by,
            "one_pass": plan.one_pass,
            "taught_sha256": problems_sha256([p for b in plan.benchmarks for p in b.taught]),
            **({"adapters": adapters} if adapters else {}),
        },
    )


def _used(benchmark: Benchmark) -> BenchmarkUsed:
    skipped = [row.reason for row in benchmark.skipped]
    untaught = [f"group {name!r}: {why}" for name, why in benchmark.untaught.items()]
    return BenchmarkUsed(
        name=benchmark.name,
        split=benchmark.split,
        n=len(benchmark.problems),
        sha256=benchmark.sha256,
        source=benchmark.source,
        skipped=dict(Counter([*skipped, *untaught])),
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
