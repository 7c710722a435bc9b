"""``vitarmm eval`` and what belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli import eval_reports, eval_rmm, eval_run, eval_siblings
from vitarmm_agent.cli.console import out, print_json
from vitarmm_agent.cli.render_mmlu import render_mmlu
from vitarmm_agent.cli.shared import Json
from vitarmm_agent.cli.spelling import spelled

if TYPE_CHECKING:
    from vitarmm_agent.evals.verifiers import AgreementRow, VerdictRow

app = typer.Typer(help="Measure what memory does.", invoke_without_command=True)
app.callback(invoke_without_command=True)(eval_run.evaluate)
app.command("render-mmlu")(render_mmlu)
app.command("siblings")(eval_siblings.siblings)
app.command("rmm", context_settings=spelled(vita_model="reasoner"))(eval_rmm.rmm)
app.command("report")(eval_reports.report)
app.command("compare", context_settings=spelled(arms="pair"))(eval_reports.compare)
app.command("export")(eval_reports.export)


@app.command()
def verifiers(
    data: Annotated[Path, typer.Option(help="Folder of the labelled solutions.")],
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="gsm8k, mathv or mathvista; repeatable.", show_default="all"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure precision, coverage and lift of each verifier that needs no model, and of grading."""
    from vitarmm_agent.evals.verifiers import (
        FILES,
        load_solutions,
        measure_grading,
        measure_verifiers,
    )

    verdicts: list[VerdictRow] = []
    agreement: list[AgreementRow] = []
    for name in benchmark or list(FILES):
        solutions = load_solutions(data, name)
        verdicts += measure_verifiers(solutions)
        agreement += measure_grading(solutions)
        if name == "mathv":
            agreement += measure_grading(solutions, policy="strict")
    if as_json:
        print_json(
            {"verifiers": [r.data() for r in verdicts], "grading": [r.data() for r in agreement]}
        )
        return
    _print_verdicts(verdicts)
    _print_agreement(agreement)


def _print_verdicts(rows: list[VerdictRow]) -> None:
    from rich.table import Table

    table = Table(
        "data", "verifier", "verdict", "n", "coverage", "precision [95 %]", "base rate", "lift",
        title="Verdicts against the label of the final answer",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.dataset, row.verifier, row.verdict, f"{row.n} of {row.total}",
            f"{row.coverage:.1%}", str(row.precision), f"{row.base:.3f}", f"{row.lift:.2f}×",
        )  # fmt: skip
    out.print(table)


def _print_agreement(rows: list[AgreementRow]) -> None:
    from rich.table import Table

    table = Table(
        "data", "policy", "rows", "n", "agreement [95 %]", "disagreements", title="Grading"
    )
    for row in rows:
        table.add_row(
            row.dataset, row.policy, row.rows, str(row.n), str(row.agreement),
            str(len(row.disagreements)),
        )  # fmt: skip
    out.print(table)
