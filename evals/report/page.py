"""A report as Markdown and as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vitarmm_agent.evals.metrics import Estimate
from vitarmm_agent.evals.report import drawing, figures
from vitarmm_agent.evals.report.build import Report
from vitarmm_agent.evals.run.samples import Sample

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MARKDOWN = str.maketrans(
    {"|": "\\|", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " ", "`": "'", "[": "\\[", "]": "\\]"}
)


def markdown(report: Report) -> str:
    """The report as Markdown tables."""
    return _environment().get_template("report.md").render(_context(report))


def html_page(
    report: Report,
    samples: Sequence[Sample],
    *,
    run_link: Callable[[Sample], str | None] | None = None,
    body_end: str = "",
    head_end: str = "",
    policy: str = POLICY,
) -> str:
    """The report as one page that needs nothing else.

    Args:
        report: what it says.
        samples: the rows of its table.
        run_link: address of a sample's run, or None where there is none; default: runs are named,
            not linked.
        body_end: markup to put at the end of the body, as it is.
        head_end: markup to put at the end of the head, as it is.
        policy: the page's Content-Security-Policy.
    """
    order = {m.arm: number for number, m in enumerate(report.metrics.arms)}
    rows = sorted(samples, key=lambda s: (order[s.arm], s.order, s.position, s.key))
    return (
        _environment()
        .get_template("report.html")
        .render(
            _context(report),
            figures=figures.all_figures(report),
            groups=[(arm, [s for s in rows if s.arm == arm]) for arm in order],
            run_link=run_link or (lambda sample: None),
            linked=run_link is not None,
            kinds=kinds,
            seen=_seen,
            key=drawing.key,
            policy=policy,
            head_end=Markup(head_end),
            body_end=Markup(body_end),
        )
    )


def kinds(sample: Sample) -> str:
    """The classes of a row: ``crashed``, or ``right``/``wrong`` and ``mended``/``spoiled``."""
    if sample.crash is not None:
        return "crashed"
    found = ["right" if sample.correct else "wrong"]
    if sample.attempts and sample.attempts[0].correct != sample.correct:
        found.append("mended" if sample.correct else "spoiled")
    return " ".join(found)


def _seen(sample: Sample) -> int:
    """Entries that the run's attempts were shown."""
    return sum(not entry.withheld for a in sample.attempts for entry in a.shown)


def _context(report: Report) -> dict[str, Any]:
    config = report.config
    return {
        "report": report,
        "config": config,
        "metrics": report.metrics,
        "names": ", ".join(used.name for used in config.benchmarks),
        "problems": sum(used.n for used in config.benchmarks),
        "oracle": {line.arm for line in report.headline if line.oracle},
        "ks": range(1, max((len(m.iterations) for m in report.metrics.arms), default=0) + 1),
        "made_with": list(_made_with(report)),
        "settings": json.dumps(config.model_dump(mode="json"), indent=2, ensure_ascii=False),
    }


def _made_with(report: Report) -> list[tuple[str, str]]:
    config = report.config
    rows = [
        (f"{used.name} {used.split}".strip(), f"{used.n} problems, sha256 {used.sha256[:16]}")
        for used in config.benchmarks
    ]
    rows += [
        ("left out", f"{n}: {why}") for used in config.benchmarks for why, n in used.skipped.items()
    ]
    for name in ("reasoner", "judge", "rmm", "feedback", "memory", "embedder"):
        if name == "feedback" and config.details.get("one_pass"):
            rows.append((name, "none: one attempt each, which nothing judges"))
        elif config.settings.get(name) is not None:
            rows.append((name, str(config.settings[name])))
    rows += [
        ("problems", f"sha256 {config.problem_sha256[:16]}"),
        ("prompts", f"sha256 {config.prompts_sha256[:16]}"),
        ("git revision", config.git_revision or "not known"),
        ("versions", ", ".join(f"{name} {v}" for name, v in config.versions.items())),
    ]
    return rows


@lru_cache(maxsize=1)
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("vitarmm_agent.evals.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {
        "md": _md,
        "p": figures.p_value,
        "points": figures.points,
        "counted": _counted,
        "number": _number,
    }
    return env


def _printable(value: Any) -> Any:
    """Characters that cannot be seen (control, direction, broken) become a mark that can."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)


def _md(value: Any) -> str:
    return str(value).translate(_MARKDOWN)


def _counted(estimate: Estimate) -> str:
    """``12.5 % [8.1, 18.0], n 160``."""
    return "–" if estimate.value is None else f"{estimate.text()}, n {estimate.n:,}"


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
