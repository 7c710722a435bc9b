"""How many problems a minute a simulation runs, with 1, 4 and 8 workers.

The model server is OpenAI-compatible and answers each call after 100 ms, however many are waiting;
the simulation is the production one: the graph with its checkpoints and memory on disk, three
decisions per situation, each entry tried on two problems, a synced line per problem. The baseline is
what that server allows: as many calls at once as there are workers, and nothing in between. With
``--model local:NAME`` a model of this process takes the server's place, and there is no baseline but
one worker.

Run: ``python -m vitarmm_agent.evals.speed.simulation [--problems N] [--model SPEC]``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.evals.speed.server import ScriptedServer, asked_for, running
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.simulate import simulate
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig

LATENCY = 0.1
WORKERS = (1, 4, 8)
TOPICS = "area perimeter speed price weight volume time interest".split()
ATTEMPT = "1. Each has 3 * 4 = 12.\n2. Together they have 12 + 12 = 24.\nAnswer: 24"


def measure(folder: Path, workers: int, problems: int, model: str | None) -> tuple[float, float]:
    """Problems per minute, and what the server would allow; 0 where there is no server.

    Timed from the first finished problem to the last: models are loaded and connections made.
    """
    server = ScriptedServer(_replies(), latency=LATENCY)
    times: list[float] = []
    calls: list[int] = []

    def finished(row: SimulatedRow) -> None:
        if row.crash:
            raise RuntimeError(row.crash)
        times.append(time.perf_counter())
        calls.append(server.requests)

    with running(server) as url:
        settings = Settings.load(base_url=None if model else url)
        flow = simulate(
            _config(folder, problems, model),
            folder / f"out-{workers}",
            settings=settings,
            workers=workers,
            on_row=finished,
        )
        asyncio.run(flow)
    minutes = (times[-1] - times[0]) / 60
    allowed = 0.0
    if not model:
        each = (calls[-1] - calls[0]) / (len(calls) - 1)
        allowed = 60 * workers / (each * LATENCY)
    return (len(times) - 1) / minutes, allowed


def _config(folder: Path, problems: int, model: str | None) -> SimulationConfig:
    rows = folder / "problems_train.jsonl"
    texts = (
        f"Shelf {n} about {TOPICS[n % len(TOPICS)]}: Ann has 3 boxes of 4 pens and Bob has as many. "
        "How many pens do they have together?"
        for n in range(problems)
    )
    lines = [
        json.dumps({"id": f"s-{n}", "question": text, "answer": "#### 24"})
        for n, text in enumerate(texts)
    ]
    rows.write_text("\n".join(lines) + "\n")
    spec = model or "openai:scripted"
    return SimulationConfig.of(
        sources=[{"name": "gsm8k", "path": str(rows)}],
        vita_model=spec,
        feedback_model=spec,
        holdout=0.0,
    )


def _replies() -> Any:
    """Answers by role; every decision is a new one, so that each entry is tried."""
    numbers = itertools.count()

    def reply(request: dict[str, Any]) -> str:
        form = asked_for(request)
        if form == "Judgement":
            judged = {"step": 1, "check": "3 * 4 = 12", "verdict": "right"}
            return json.dumps({"steps": [judged], "verdict": "right"})
        if form is None:
            return ATTEMPT
        topic = TOPICS[next(numbers) % len(TOPICS)]
        word = "".join(chr(97 + int(digit)) for digit in str(next(numbers)))
        operation = {
            "kind": "add",
            "title": f"Shelf {word} of {topic}",
            "applies_when": f"shelves of kind {word} are counted by {topic}",
            "content": f"Count {topic} on one {word} shelf first, then add the shelves.",
            "entry_type": "insight",
            "confidence": 0.8,
        }
        return json.dumps({"operations": [operation]})

    return reply


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--model", help="spec of a model in this process instead of the server")
    given = parser.parse_args()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    found: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in WORKERS:
            found[workers] = measure(Path(folder), workers, given.problems, given.model)
    rows = [
        Row(
            what=f"simulation, {workers} worker{'' if workers == 1 else 's'}",
            ours=reached,
            baseline=allowed or found[1][0],
            unit="problems/min",
            baseline_name="what the server allows" if allowed else "one worker",
        )
        for workers, (reached, allowed) in found.items()
    ]
    print_table(f"Simulation, {given.model or f'a server of {1000 * LATENCY:g} ms a call'}", rows)


if __name__ == "__main__":
    main()
