"""``vitarmm memory consolidate``: merge what says the same, put aside what never helps."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.memory_options import opened
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import Json


@takes_settings(*PLACE)
def consolidate(
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the changes; without it they are only shown.")
    ] = False,
    shown: Annotated[
        int, typer.Option(min=1, help="Put an entry aside only after it was shown this often.")
    ] = 8,
    below: Annotated[
        float,
        typer.Option(help="Put it aside if it surely helped in less than this share of them."),
    ] = 0.2,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Go over the memory: merge entries that say the same, and put aside those that never help.

    Nothing is deleted: what is put aside waits for review, and one undo takes all of it back.
    """
    with opened(**given) as found:
        done = found.consolidate(apply=apply, shown=shown, below=below)
    if as_json:
        print_json(done.model_dump(mode="json"))
        return
    if done.proposals:
        table = Table("change", "entry", "into", "why")
        for one in done.proposals:
            table.add_row(one.kind, safe(one.entry_id), safe(one.into), safe(one.reason))
        out.print(table)
    out.print(f"{len(done.proposals)} changes, {done.examined} live entries")
    if done.run:
        out.print(f"undo with: vitarmm memory undo {done.run}")
    elif done.proposals:
        out.print("nothing was changed; make the changes with --apply")
