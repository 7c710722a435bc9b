"""What a second actor is worth where a model takes its time: samples per second with two over one.

Both are real evaluations on a Ray cluster of this machine. The model answers each call after the same
wait, so an actor is bound by its runs at a time, and so many are given for each. With two actors the one
driver stores the runs of both.

Run: ``python -m vitarmm_agent.evals.speed.cluster [WORKERS_PER_ACTOR] [SAMPLES_PER_ACTOR] [LATENCY]``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from vitarmm_agent.evals.cluster.session import Cluster
from vitarmm_agent.evals.run.arms import choose_arms
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.run.runner import evaluate
from vitarmm_agent.evals.speed.concurrency import settle
from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.evals.speed.throughput import ATTEMPT, benchmark
from vitarmm_agent.settings import Settings


def measure(folder: Path, actors: int, workers: int, samples: int, latency: float) -> float:
    """Samples per second after the first of each worker."""
    script = folder / f"{actors}.json"
    script.write_text(json.dumps([{"content": ATTEMPT, "delay": latency}] * samples * actors))
    times: list[float] = []
    workers *= actors
    plan = EvaluationPlan(
        folder=EvaluationFolder(folder / f"{actors}"),
        benchmarks=(benchmark(samples * actors),),
        arms=choose_arms("single"),
        settings=Settings.load(reasoner=f"scripted:{script}"),
        workers=workers,
        cluster=Cluster(actors=actors),
    )
    outcome = asyncio.run(evaluate(plan, on_sample=lambda _: times.append(time.perf_counter())))
    assert all(sample.correct for sample in outcome.samples), "the scripted answers are right"
    # Replies come in waves, so whole waves are counted: all but the first, from its last sample on.
    return (len(times) - workers) / (times[-1] - times[workers - 1])


def main(workers: int = 8, samples: int = 64, latency: float = 2.0) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        settle()
        one, two = [measure(Path(folder), n, workers, samples, latency) for n in (1, 2)]
    ideal = workers / latency
    row = Row(
        f"two actors, {workers} runs at a time each, {latency:g} s a call, {samples} samples each, "
        f"{os.cpu_count()} cores",
        two, one, "samples/s", f"one actor, {one / ideal:.2f} of what the model allows", "≥ 1.9",
    )  # fmt: skip
    print_table("Evaluation on a cluster", [row])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *map(float, sys.argv[3:4]))
