"""Write the three files of a report."""

from __future__ import annotations

import logging
from pathlib import Path

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.report.build import Report, build_report
from vitarmm_agent.evals.report.page import html_page, markdown
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.private import write_text

log = logging.getLogger(__name__)


def write_report(folder: Path | str) -> Report:
    """Make ``report.json``, ``report.md`` and ``report.html`` of an evaluation's folder anew.

    Raises:
        InputError: it is no evaluation, has no finished sample, or cannot be written to.
    """
    place = EvaluationFolder(folder)
    config, samples = place.config(), place.samples()
    if not samples:
        raise InputError(
            f"{str(place.path)!r} has no finished sample yet; run `vitarmm eval` with --resume"
        )
    report = build_report(config, samples)
    _write(place.path / "report.json", report.model_dump_json(indent=2) + "\n")
    _write(place.path / "report.md", markdown(report))
    _write(place.path / "report.html", html_page(report, samples))
    log.info("wrote the report of %d samples to %s", len(samples), place.path)
    return report


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text.encode("utf-8", "replace").decode("utf-8"))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from None
