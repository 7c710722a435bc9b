"""The figures of a report, as SVG. Pure."""

from __future__ import annotations

from vitarmm_agent.evals.report.build import Report


def all_figures(report: Report) -> list[object]:
    """None yet."""
    return []
