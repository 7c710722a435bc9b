"""Simulation: the loop over training problems, and what its memory writer's decisions are worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from vitarmm_agent.errors import ModelError
from vitarmm_agent.evals.cluster.session import Cluster
from vitarmm_agent.evals.output_folder import begin
from vitarmm_agent.evals.run.folder import problems_sha256
from vitarmm_agent.evals.worklist import Job, WorkList
from vitarmm_agent.evals.writers.replay import Neighbours
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.models.load import adapter_hashes
from vitarmm_agent.private import write_text
from vitarmm_agent.redaction import redact
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.labels import preferences
from vitarmm_agent.training.rows import write_rows
from vitarmm_agent.training.sampling import ProblemDrawn, Problems, load_problems
from vitarmm_agent.training.simulated import (
    HELD_OUT,
    LEDGER,
    SUMMARY,
    SimulatedRow,
    SimulationConfig,
    Summary,
    summarise,
    training_rows,
)
from vitarmm_agent.training.simulator import Baselines, Simulator, own_settings
from vitarmm_agent.training.simulator_cluster import SimulatorCluster


async def simulate(
    config: SimulationConfig,
    folder: Path,
    *,
    settings: Settings | None = None,
    workers: int = 1,
    cluster: Cluster | None = None,
    resume: bool = False,
    on_start: Callable[[int, int], None] | None = None,
    on_row: Callable[[SimulatedRow], None] | None = None,
) -> Summary:
    """Run the loop over training problems and write the decisions as training data.

    Args:
        config: what is run.
        folder: where everything goes; new, empty, or with ``resume`` that of the same simulation.
        settings: everything that the configuration leaves open, such as decoding.
        workers: problems at a time.
        cluster: over which they are spread. Then each of the workers has a memory of its own and takes
            its problems one after another, so that rows depend on no actor's speed.
        resume: go on with an interrupted simulation; finished problems are not run again, nor those on
            which a model failed; other crashes are.
        on_start: is told how many problems there are, and how many are finished.
        on_row: is told of each finished problem.

    Raises:
        InputError: rows that may not become training data, a folder that is in use, or an option
            that cannot be used.
        ModelServerError: a server denies every request.
    """
    if cluster is not None:
        cluster.check(workers)
        config = config.model_copy(update={"lanes": workers})
    problems = await asyncio.to_thread(load_problems, config)
    begin(folder, _with_contents(config, problems), resume=resume, what="simulation")
    work = WorkList(folder / LEDGER, SimulatedRow, again=lambda row: row.may_pass)
    jobs = [Job(task.key, task) for task in problems.tasks]
    lanes = [jobs[n :: config.lanes] for n in range(config.lanes)]
    lane_of = {job.key: n for n, lane in enumerate(lanes) for job in lane}
    settings = own_settings(config, folder, settings)
    known = {key: right for row in work.done.values() for key, right in row.baselines.items()}
    similar = await asyncio.to_thread(Similar, config, problems, settings)
    simulator = await _simulator(cluster, config, known, settings, workers)
    if on_start:
        on_start(len(jobs), sum(job.key in work.done for job in jobs))

    async def row(job: Job) -> SimulatedRow:
        task: ProblemDrawn = job.payload
        others = await asyncio.to_thread(similar.to, task)
        return await simulator.row(task, others, lane_of[job.key])

    try:
        stopped = await work.run(
            lanes if config.lanes > 1 else [[job] for job in jobs],
            row, workers=workers, crashed=_crashed, on_row=on_row, stop=simulator.broken,
        )  # fmt: skip
    finally:
        simulator.close()
    rows = [work.done[job.key] for job in jobs if job.key in work.done]
    return write_results(folder, rows, problems.skipped, stopped)


def _with_contents(config: SimulationConfig, problems: Problems) -> SimulationConfig:
    """The configuration with what its files hold now."""
    models = (config.vita_model, config.feedback_model, config.rmm, config.teacher)
    drawn = problems_sha256(task.problem for task in problems.tasks)
    return config.model_copy(update={"problems": drawn, "adapters": adapter_hashes(models)})


async def _simulator(
    cluster: Cluster | None,
    config: SimulationConfig,
    known: Baselines,
    settings: Settings,
    runs: int,
) -> Simulator | SimulatorCluster:
    """What runs the problems: here, or on a cluster."""
    if cluster is None:
        return await asyncio.to_thread(Simulator.open, config, known, settings)
    return await SimulatorCluster.open(cluster, config, known, settings, runs=runs)


class Similar:
    """Finds what a problem's entries are tried on: its siblings, or the training problem most like it."""

    def __init__(self, config: SimulationConfig, problems: Problems, settings: Settings) -> None:
        """Embed the problems, where entries are tried on any.

        Raises:
            UserError: the embedder cannot be had.
        """
        from vitarmm_agent.memory_store.embedding import load_embeddings

        self._among: dict[str, Neighbours] = {}
        if config.replay and problems.pool:
            embeddings = load_embeddings(settings.embedder, settings)
            self._among = {name: Neighbours(p, embeddings) for name, p in problems.pool.items()}

    def to(self, task: ProblemDrawn) -> list[Probe]:
        """Its siblings, else the nearest problem, or none."""
        if task.siblings or task.held_out:
            return list(task.siblings)
        among = self._among.get(str(task.problem.metadata.get("benchmark", "")))
        return [Probe(problem=p) for p in among.nearest(task.problem)] if among else []


def write_results(
    folder: Path, rows: Sequence[SimulatedRow], skipped: dict[str, int], stopped: str | None
) -> Summary:
    """Write the training data, the held-out situations and the summary.

    Raises:
        OSError: the folder cannot be written.
    """
    decisions = training_rows(rows)
    pairs = preferences(decisions)
    summary = summarise(rows, pairs, skipped, stopped)
    write_rows(folder, decisions, pairs)
    held = [case.model_dump_json() for row in rows for case in row.cases]
    write_text(folder / HELD_OUT, "".join(f"{line}\n" for line in held))
    write_text(folder / SUMMARY, summary.model_dump_json(indent=2) + "\n")
    return summary


def _crashed(job: Job, error: Exception) -> SimulatedRow:
    task: ProblemDrawn = job.payload
    crash = redact(f"{type(error).__name__}: {error}")
    declined = isinstance(error, ModelError)
    return SimulatedRow(key=job.key, held_out=task.held_out, crash=crash, declined=declined)
