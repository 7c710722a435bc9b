"""Seconds to read, measure and report the samples of an evaluation.

The samples are made up, as many and as large as those of real runs: seven arms, three attempts at
most, entries shown and written. Times are of one process, the best of three.

Run: ``python -m vitarmm_agent.evals.speed.reporting [SAMPLES]``.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vitarmm_agent.evals.metrics import measure
from vitarmm_agent.evals.report import build_report, html_page, write_report
from vitarmm_agent.evals.run.folder import BenchmarkUsed, EvaluationFolder, describe
from vitarmm_agent.evals.run.samples import (
    Sample,
    SampleAttempt,
    SampleError,
    ShownEntry,
    WrittenEntry,
)
from vitarmm_agent.problem import Usage, Verdict

LIMIT = 30.0
ORDERS = {"single": 1, "empty": 1, "consistency": 1, "within": 1, "frozen": 1, "online": 3}
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "abstain")


def main(count: int = 10_000, repeat: int = 3) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        place = made_up(Path(name), count)
        config, samples = place.config(), place.samples()
        report = build_report(config, samples)
        rows = (
            ("read and check", lambda: place.samples()),
            ("measure", lambda: measure(samples)),
            ("draw the page", lambda: html_page(report, samples)),
            ("all of it, as `vitarmm eval report`", lambda: write_report(place.path)),
        )
        print(
            f"### Reporting {len(samples):,} samples\n\n| what | seconds | limit |\n|---|---|---|"
        )
        for what, do in rows:
            limit = f"{LIMIT:.0f}" if do is rows[-1][1] else ""
            print(f"| {what} | {_best(do, repeat):.2f} | {limit} |")
        size = (place.path / "report.html").stat().st_size
        print(f"\nThe page has {size / 1e6:.1f} MB.")


def _best(do: Callable[[], object], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        do()
        taken.append(time.perf_counter() - start)
    return min(taken)


def made_up(folder: Path, count: int) -> EvaluationFolder:
    """An evaluation of about ``count`` made-up samples."""
    problems = max(1, count // sum(ORDERS.values()))
    used = BenchmarkUsed(name="made-up", split="test", n=problems, sha256="0" * 64)
    config = describe(
        benchmarks=(used,), arms=tuple(ORDERS), orders=3, withhold=0.1, problem_sha256="0" * 64
    )
    place = EvaluationFolder(folder)
    place.config_path.write_text(config.model_dump_json())
    with place.samples_path.open("w") as lines:
        lines.writelines(f"{sample.model_dump_json()}\n" for sample in _samples(problems))
    return place


def _samples(problems: int) -> Iterator[Sample]:
    source = random.Random(0)
    hard = [source.random() for _ in range(problems)]
    for arm, orders in ORDERS.items():
        for order in range(orders):
            for position, problem in enumerate(source.sample(range(problems), problems)):
                yield _sample(source, arm, order, position, problem, hard[problem])


def _sample(
    source: random.Random, arm: str, order: int, position: int, problem: int, hard: float
) -> Sample:
    attempts: list[SampleAttempt] = []
    while len(attempts) < (1 if arm == "single" else 3):
        attempts.append(_attempt(source, len(attempts) + 1, arm, source.random() > hard))
        if attempts[-1].verdict != "fail":
            break
    usage = sum((attempt.usage for attempt in attempts), Usage())
    written = tuple(
        WrittenEntry(
            entry_id=f"m-{arm}-{order}-{problem}-{n}", action="added", entry_type="insight"
        )
        for n in range(source.randrange(3) if arm in ("within", "online") else 0)
    )
    return Sample(
        benchmark="made-up",
        problem_id=f"problem-{problem}",
        arm=arm,
        order=order,
        position=position,
        thread_id=f"{arm}-{order}-problem-{problem}",
        category=f"category {problem % 5}",
        answer=attempts[-1].answer,
        correct=attempts[-1].correct,
        attempts=tuple(attempts),
        written=written,
        usage=usage,
        seconds=2.0 * len(attempts),
        cost=usage.total_tokens * 1e-7,
    )


def _attempt(source: random.Random, number: int, arm: str, right: bool) -> SampleAttempt:
    steps = source.randint(2, 8)
    chosen = source.randrange(4) if arm in ("within", "frozen", "online") else 0
    held = source.randrange(chosen) if chosen and source.random() < 0.1 else -1
    error = SampleError(
        kind="arithmetic", signature=f"arithmetic:3*{source.randrange(40)}=1", step=1
    )
    return SampleAttempt(
        number=number,
        answer=str(source.randrange(100)),
        correct=right,
        verdict=source.choice(VERDICTS),
        source=source.choice(("arithmetic", "judge")),
        steps=steps,
        checked_steps=steps - 1,
        wrong_steps=0 if right else 1,
        errors=() if right else (error,),
        shown=tuple(
            ShownEntry(
                id=f"m-{source.randrange(300)}",
                entry_type="insight",
                origin=f"problem-{source.randrange(100)}",
                confidence=round(source.random(), 2),
                withheld=place == held,
            )
            for place in range(chosen)
        ),
        usage=Usage(input_tokens=source.randint(200, 600), output_tokens=150, calls=1),
        seconds=2.0,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
