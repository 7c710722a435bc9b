"""Benchmarks from files or from the hub, row by row: GSM8K and its siblings, MathVista, MMLU, MATH-V."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.evals.datasets.loading import load_benchmark
    from vitarmm_agent.evals.datasets.records import (
        BENCHMARKS,
        Benchmark,
        SkippedRow,
        policy_of,
    )

__all__ = ["BENCHMARKS", "Benchmark", "SkippedRow", "load_benchmark", "policy_of"]

__getattr__ = lazy_names(
    __name__,
    {
        "BENCHMARKS": "records",
        "Benchmark": "records",
        "SkippedRow": "records",
        "load_benchmark": "loading",
        "policy_of": "records",
    },
)
