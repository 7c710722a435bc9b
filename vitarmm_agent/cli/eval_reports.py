"""``vitarmm eval report``, ``compare`` and ``export``: what an evaluation came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import out, print_json, safe, unused
from vitarmm_agent.cli.shared import Force, Json
from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.evals.report.compare import EvaluationComparison

Folder = Annotated[Path, typer.Argument(help="Folder of an evaluation.")]


def report(folder: Folder, as_json: Json = False) -> None:
    """Write the reports of an evaluation again, from its samples."""
    from vitarmm_agent.cli.eval_run import print_headline
    from vitarmm_agent.evals.report import write_report

    written = write_report(folder)
    if as_json:
        print_json([line.model_dump(mode="json") for line in written.headline])
        return
    print_headline(written)
    for name in ("report.html", "report.md", "report.json"):
        out.print(safe(folder / name))


def compare(
    first: Folder,
    second: Annotated[Path, typer.Argument(help="Folder of another evaluation.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="Arms to compare, such as online,empty; repeatable.",
            show_default="arms of the same name",
        ),
    ] = None,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway", help="Compare in spite of objections, if the problems are the same."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two evaluations problem by problem; refuses what is not comparable, and says why."""
    from vitarmm_agent.evals.report.compare import compare as compare_folders

    found = compare_folders(first, second, [_pair(names) for names in pair or ()], anyway=anyway)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    _print_comparison(found)


def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="HTML file to write.")],
    arms: Annotated[
        str | None,
        typer.Option(help="Only runs of these arms, joined by commas.", show_default="all"),
    ] = None,
    force: Force = False,
) -> None:
    """Write an evaluation with every step of every run as one HTML file that opens offline."""
    from vitarmm_agent.cli.eval_export import export_evaluation

    chosen = [name.strip() for name in arms.split(",")] if arms else None
    runs, missing = export_evaluation(folder, unused(file, force=force), chosen)
    out.print(safe(f"wrote {file}: {runs} runs, {file.stat().st_size / 1e6:.1f} MB"))
    if missing:
        out.print(safe(f"{missing} runs have no readable trace; the file says so where they are"))


def _pair(text: str) -> tuple[str, str]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names):
        raise InputError(f"--pair needs two names, such as online,empty; got {text!r}")
    return names[0], names[1]


def _print_comparison(found: EvaluationComparison) -> None:
    from rich.table import Column, Table

    from vitarmm_agent.evals.report.figures import p_value, points

    for objection in found.objections:
        out.print(safe(f"objection: {objection}"))
    for note in found.notes:
        out.print(safe(f"note: {note}"))
    table = Table(
        "first", "second", "pairs", "left out",
        Column("difference, points [95 %]", min_width=20), "only one right", "p", "p, Holm",
        Column("test", overflow="fold"), box=None,
        title="First less second, on the same problems",
    )  # fmt: skip
    for row in found.rows:
        only = "–" if row.only_first is None else f"{row.only_first} / {row.only_second}"
        p_values = map(p_value, (row.p, row.p_holm))
        table.add_row(
            safe(row.first), safe(row.second), str(row.pairs), str(row.dropped),
            points(row.difference), only, *p_values, row.test,
        )  # fmt: skip
    out.print(table)
