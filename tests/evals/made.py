"""Samples written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitarmm_agent.evals.run.folder import (
    BenchmarkUsed,
    EvaluationConfig,
    EvaluationFolder,
    describe,
)
from vitarmm_agent.evals.run.samples import Sample, SampleAttempt, SampleError, ShownEntry
from vitarmm_agent.problem import Usage


def shown(name: str, **fields: Any) -> ShownEntry:
    return ShownEntry(**{"id": name, "entry_type": "insight", **fields})


def attempt(number: int, right: bool, verdict: str = "fail", **fields: Any) -> SampleAttempt:
    """An attempt whose answer is "right" or "wrong N"; ``errors`` are signatures."""
    errors = tuple(SampleError(kind="arithmetic", signature=s) for s in fields.pop("errors", ()))
    given = {"answer": "right" if right else f"wrong {number}", "source": "judge", **fields}
    return SampleAttempt.model_validate(
        {"number": number, "correct": right, "verdict": verdict, "errors": errors, **given}
    )


def sample(problem: str, *rights: bool, arm: str = "online", **fields: Any) -> Sample:
    """A sample whose attempts are right or wrong as given; the last one stands."""
    attempts = fields.pop("attempts", None)
    if attempts is None:
        attempts = tuple(attempt(n, right) for n, right in enumerate(rights, 1))
    given = {
        "benchmark": "made",
        "problem_id": problem,
        "arm": arm,
        "thread_id": f"{arm}-{fields.get('order', 0)}-{problem}",
        "answer": attempts[-1].answer if attempts else None,
        "correct": attempts[-1].correct if attempts else False,
        "status": "failed",
    }
    return Sample.model_validate({**given, "attempts": attempts, **fields})


def crash(problem: str, arm: str = "online", **fields: Any) -> Sample:
    return sample(problem, arm=arm, crash="TimeoutError: after 60 s", attempts=(), **fields)


def tokens(count: int) -> Usage:
    return Usage(input_tokens=count - 1, output_tokens=1, calls=1)


def evaluation(folder: Path, samples: list[Sample], **config: Any) -> EvaluationFolder:
    """A folder as `vitarmm eval` writes it, without traces."""
    place = EvaluationFolder(folder)
    folder.mkdir(parents=True)
    place.config_path.write_text(configuration(samples, **config).model_dump_json())
    place.samples_path.write_text("".join(f"{s.model_dump_json()}\n" for s in samples))
    return place


def configuration(samples: list[Sample], **config: Any) -> EvaluationConfig:
    problems = {s.problem_id for s in samples}
    used = BenchmarkUsed(name="made", split="test", n=len(problems), sha256="f" * 64)
    given = {
        "benchmarks": (used,),
        "arms": tuple(dict.fromkeys(s.arm for s in samples)),
        "problem_sha256": "e" * 64,
        "settings": {"reasoner": "local:one", "data_dir": "/somewhere"},
    }
    return describe(**given | config)
