"""``vitarmm eval siblings``: what memory does to recurring problems, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import out, safe
from vitarmm_agent.cli.eval_run import finish, reasoner_of, run_plan, show_plan
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import DryRun, Json, Resume, Seed, Workers
from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.evals.report import Report

ARMS = "empty,placebo,taught"
GROUPS = 30


@takes_settings("reasoner", "base_url", "max_tokens")
def siblings(
    path: Annotated[
        str | None,
        typer.Argument(
            help="Rows of GSM8K, or rows that name their group.", show_default="our own problems"
        ),
    ] = None,
    groups: Annotated[int, typer.Option(help="Groups of siblings at most; -1 is all.")] = GROUPS,
    each: Annotated[
        int, typer.Option(help="Problems of a group: one is taught, the others solved.")
    ] = 3,
    arms: Annotated[str, typer.Option(help="Arms to run, joined by commas.")] = ARMS,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="New or empty folder for all that is written.",
            show_default="a new one under DATA_DIR/evaluations",
        ),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 1,
    dry_run: DryRun = False,
    resume: Resume = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Measure whether a worked example in memory helps with problems of its kind, in a few minutes.

    One attempt each, which nothing judges. The first problem of each group is taught with its right solution; the others are solved with an
    empty memory, with the example of another group shown by force, and with what recall finds.
    """
    from vitarmm_agent.evals.datasets import load_benchmark
    from vitarmm_agent.evals.datasets.groups import OWN
    from vitarmm_agent.evals.run.arms import choose_arms
    from vitarmm_agent.evals.run.folder import EvaluationFolder
    from vitarmm_agent.evals.run.plan import EvaluationPlan, checked
    from vitarmm_agent.settings import Settings

    if groups < 1 and groups != -1:
        raise InputError(f"--groups must be 1 or more, or -1 for all; got {groups}")
    named = reasoner_of(given.get("reasoner"), None, given.get("base_url"))
    settings = Settings.load(**{**given, "seed": seed, "reasoner": named})
    benchmark = load_benchmark(
        "siblings", path or OWN, sample_size=groups, siblings=each, seed=seed
    )
    folder = output_dir or new_folder(settings.data_dir / "evaluations")
    plan = checked(
        EvaluationPlan(
            EvaluationFolder(folder), (benchmark,), choose_arms(arms), settings,
            seed=seed, sample_size=groups, workers=workers, one_pass=True,
        )
    )  # fmt: skip
    if dry_run:
        show_plan(plan, resume=resume)
        return
    report = finish(run_plan(plan, resume=resume, quiet=as_json), plan, as_json)
    if report is not None and not as_json:
        print_lift(report)


def new_folder(place: Path) -> Path:
    """``siblings-1``, or the first number that is free."""
    number = 1
    while (place / f"siblings-{number}").exists():
        number += 1
    return place / f"siblings-{number}"


def print_lift(report: Report) -> None:
    """Print how each arm differs from its controls, and how often an example's answer was copied."""
    from rich.table import Table

    from vitarmm_agent.evals.report.figures import p_value, points

    table = Table("arm − control", "pairs", "points [95 %]", "p", title="Differences")
    for c in report.metrics.comparisons:
        shown = safe(points(c.difference)), p_value(c.p)
        table.add_row(f"{c.first} − {c.second}", str(c.pairs), *shown)
    out.print(table)
    for arm in report.metrics.arms:
        if (found := arm.recurring) is not None and found.copied.n:
            copied = f"copied {found.copied.text()} of {found.copied.n} examples' answers"
            out.print(safe(f"{arm.arm}: {copied}, shown nothing {found.withheld.text()}"))
