"""``vitarmm learn``: learn from runs that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import done_to, err, out, print_json, safe
from vitarmm_agent.cli.memory_options import memory_settings, opened
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import Json

if TYPE_CHECKING:
    from vitarmm_agent.integrations.learning import Learned

SHOWN = 20


@takes_settings(*PLACE)
def learn(
    file: Annotated[
        Path,
        typer.Argument(
            help="Messages with verdicts (JSON Lines), OTLP JSON, or an export of LangSmith or Langfuse."
        ),
    ],
    rmm: Annotated[
        str | None,
        typer.Option(
            help="Chat model that is asked for a lesson on each run.", show_default="none"
        ),
    ] = None,
    score: Annotated[
        str,
        typer.Option(help="Name of the score that counts.", show_default="all, if they agree"),
    ] = "",
    pass_from: Annotated[
        float | None, typer.Option(help="Number from which a score passes.", show_default="1")
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Measured share of a model's verdicts that are right; without it they are advice, "
            "and teach nothing.",
            show_default="not measured",
        ),
    ] = None,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Learn from runs made elsewhere: right solutions, passes after fails, verdicts.

    Each run teaches once. What cannot be read is listed, and the rest is learned from.
    """
    from vitarmm_agent.integrations.exports.told import Judging
    from vitarmm_agent.integrations.learning import learn_runs
    from vitarmm_agent.rmm.load import load_writer

    settings = memory_settings(**given)
    writer = None if rmm is None else load_writer(rmm, settings)
    with opened(**given) as found:
        learned = learn_runs(
            found,
            file,
            writer=writer,
            judging=Judging(score, pass_from, precision),
            trusted=settings.trusted_precision,
        )
    if as_json:
        print_json(learned.model_dump(mode="json"))
    else:
        _say(learned)


def _say(learned: Learned) -> None:
    for what, lines in (
        ("cannot be read", learned.bad),
        ("no verdict", learned.unjudged),
        ("not kept", learned.failed),
    ):
        for line in lines[:SHOWN]:
            err.print(safe(f"{what}: {line}"))
        if len(lines) > SHOWN:
            err.print(f"{what}: {len(lines) - SHOWN} more; --json lists all")
    for done in learned.written:
        out.print(safe(f"{done_to(done.kind)} {done.entry_id}  {done.reason}"))
    out.print(f"{learned.runs} runs: {learned.known} known, {learned.nothing} with nothing to teach, "
              f"{len(learned.unjudged)} without a verdict; {len(learned.bad)} rows cannot be read")  # fmt: skip
    if learned.run and any(done.kind != "skipped" for done in learned.written):
        out.print(f"undo with: vitarmm memory undo {learned.run}")
