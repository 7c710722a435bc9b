"""``vitarmm eval siblings``: what memory does to recurring problems, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import out, safe
from vitarmm_agent.cli.eval_run import finish, run_plan, show_plan
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings

if TYPE_CHECKING:
    from vitarmm_agent.evals.report import Report

ARMS = "empty,placebo,taught"
GROUPS = 30


@takes_settings("base_url", "max_tokens")
def siblings(
    path: Annotated[
        str | None,
        typer.Argument(help="GSM8K, or rows that name their group; default: problems of its own."),
    ] = None,
    groups: Annotated[int, typer.Option(help="Groups at most; -1 is all.")] = GROUPS,
    each: Annotated[int, typer.Option(help="Problems of a group: one taught, others solved.")] = 3,
    arms: Annotated[str, typer.Option(help="As in `vitarmm eval`.")] = ARMS,
    reasoner: Annotated[
        str | None, typer.Option("--reasoner", "--model", help="Chat model that solves.")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Default: a new folder under DATA_DIR/evaluations.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the siblings and of decoding.")] = 0,
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; run nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")] = False,
    given: Given = NOTHING,
    as_json: Annotated[bool, typer.Option("--json", help="Print the headline as JSON.")] = False,
) -> None:
    """Does a worked example in memory help with problems of its kind? One attempt each, unjudged.

    The first problem of each group is taught with its right solution; the others are solved with an
    empty memory, with the example of another group shown by force, and with what recall finds.
    """
    from vitarmm_agent.evals.datasets import load_benchmark
    from vitarmm_agent.evals.datasets.groups import OWN
    from vitarmm_agent.evals.run.arms import choose_arms
    from vitarmm_agent.evals.run.folder import EvaluationFolder
    from vitarmm_agent.evals.run.plan import EvaluationPlan, checked
    from vitarmm_agent.settings import Settings

    settings = Settings.load(reasoner=reasoner, seed=seed, **given)
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
        show_plan(plan)
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
