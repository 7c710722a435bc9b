"""What an evaluation measures. Pure: samples in, figures with their intervals out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.evals.metrics.arm import ArmMetrics
    from vitarmm_agent.evals.metrics.estimate import Estimate
    from vitarmm_agent.evals.metrics.overall import Metrics, measure
    from vitarmm_agent.evals.metrics.pairs import Comparison, compare_samples

__all__ = ["ArmMetrics", "Comparison", "Estimate", "Metrics", "compare_samples", "measure"]

__getattr__ = lazy_names(
    __name__,
    {
        "ArmMetrics": "arm",
        "Estimate": "estimate",
        **dict.fromkeys(("Metrics", "measure"), "overall"),
        **dict.fromkeys(("Comparison", "compare_samples"), "pairs"),
    },
)
