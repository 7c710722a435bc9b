"""Reports of an evaluation: JSON with everything in it, a Markdown table, and one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitarmm_agent.lazy import lazy_names

if TYPE_CHECKING:
    from vitarmm_agent.evals.report.build import Headline, Report, build_report
    from vitarmm_agent.evals.report.page import html_page
    from vitarmm_agent.evals.report.write import write_report

__all__ = ["Headline", "Report", "build_report", "html_page", "write_report"]

__getattr__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Headline", "Report", "build_report"), "build"),
        "html_page": "page",
        "write_report": "write",
    },
)
