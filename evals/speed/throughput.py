"""How near an evaluation comes to the throughput that its model server allows.

The server is OpenAI-compatible, a process of its own, and answers each call after 100 ms, however
many are waiting. With ``w`` workers no more than ``w / 0.1`` calls a second are possible. The
evaluation is the production one: LangChain's OpenAI client, the graph with its checkpoints on disk,
grading, and a synced line for each sample. It needs the processor's time too, here as much as the
server does: the table says over how many actors of a local Ray cluster it is spread (0: it stays in this
process), and on how many cores.

Run: ``python -m vitarmm_agent.evals.speed.throughput [WORKERS] [SAMPLES] [ACTORS] [LATENCY]``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vitarmm_agent.evals.cluster.session import Cluster
from vitarmm_agent.evals.datasets.records import Benchmark
from vitarmm_agent.evals.run.arms import choose_arms
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.run.runner import evaluate
from vitarmm_agent.evals.speed.concurrency import settle
from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.evals.speed.server import ScriptedServer
from vitarmm_agent.problem import Problem
from vitarmm_agent.settings import Settings

LATENCY = 0.1
ATTEMPT = "1. The side is 20 / 4 = 5 m.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
WARM_UP = 64


@dataclass(frozen=True)
class Throughput:
    """Samples per second, reached and possible."""

    reached: float
    ideal: float
    cpu: float

    @property
    def share(self) -> float:
        """Reached over ideal."""
        return self.reached / self.ideal


@contextmanager
def server_process(latency: float = LATENCY) -> Iterator[str]:
    """A server in a process of its own; gives its base URL."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, latency), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, latency: float) -> None:
    async def forever() -> None:
        listening = await ScriptedServer(_reply, latency=latency).serve()
        pipe.send(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    asyncio.run(forever())


def _reply(request: dict[str, Any]) -> str:
    return ATTEMPT


def benchmark(samples: int) -> Benchmark:
    """Problems of one kind, each with an answer."""
    problems = tuple(
        Problem(
            id=f"plot-{n}",
            text=f"Plot {n}: a square has a perimeter of 20 m. What is its area?",
            reference="25",
            answer_type="integer",
        )
        for n in range(samples)
    )
    return Benchmark(name="problems", split="", problems=problems, source="made", sha256="")


def measure(
    url: str, folder: Path, workers: int, samples: int, actors: int = 0, latency: float = LATENCY
) -> Throughput:
    """Run the single pass over so many problems, and time it from the first call to the last line."""
    settings = Settings.load(reasoner="openai:scripted", base_url=url)
    times: list[float] = []
    plan = EvaluationPlan(
        folder=EvaluationFolder(folder / "out"),
        benchmarks=(benchmark(samples),),
        arms=choose_arms("single"),
        settings=settings,
        workers=workers,
        cluster=Cluster(actors=actors) if actors else None,
    )
    before = os.times()
    outcome = asyncio.run(evaluate(plan, on_sample=lambda _: times.append(time.perf_counter())))
    spent = sum(os.times()[:4]) - sum(before[:4])  # ours and that of the processes that ended
    assert all(sample.correct for sample in outcome.samples), "the server's answers are right"
    start = WARM_UP  # connections are made, modules are loaded
    seconds = times[-1 - workers] - times[start]
    reached = (len(times) - 1 - workers - start) / seconds
    return Throughput(reached, workers / latency, spent / samples)


def main(workers: int = 32, samples: int = 2000, actors: int = 0, latency: float = LATENCY) -> None:
    """Print the table."""
    with server_process(latency) as url, tempfile.TemporaryDirectory() as folder:
        settle()
        measured = measure(url, Path(folder), workers, samples, actors, latency)
    row = Row(
        f"{workers} workers on {actors or 'no'} actors, {os.cpu_count()} cores, "
        f"{samples} samples, one call each of {latency * 1000:.0f} ms",
        measured.reached, measured.ideal, "samples/s", "the server alone", "≥ 0.95",
    )  # fmt: skip
    print_table("Throughput of an evaluation", [row])
    print(f"{measured.cpu * 1000:.2f} ms of CPU per sample, the start included")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *map(float, sys.argv[4:5]))
