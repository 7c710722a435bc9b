"""``vitarmm memory compact``: remove what has expired, and old history."""

from __future__ import annotations

from typing import Annotated

import typer

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.memory_options import Json, Yes, opened, when
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings


@takes_settings(*PLACE)
def compact(
    keep_since: Annotated[
        str | None, typer.Option(help="History stays back to this time, or for so long: 90d.")
    ] = None,
    keep_batches: Annotated[
        int, typer.Option(min=0, help="So many of the newest changes stay together, as written.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Yes = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Remove entries whose time is over, and history that is old, and give the space back.

    Entries stay as they are. What was done before the history that is kept can no longer be undone,
    nor the memory be asked as of then.
    """
    since = None if keep_since is None else when(keep_since, option="--keep-since", past=True)
    with opened(**given) as found:
        planned = found.compact(since=since, keep_batches=keep_batches, dry_run=True)
        if not dry_run:
            words = (
                f"Remove {len(planned.expired)} expired entries and {planned.changes} old changes?"
            )
            if not yes and not typer.confirm(words, err=True):
                raise typer.Exit(1)
            planned = found.compact(since=since, keep_batches=keep_batches)
    if as_json:
        print_json(planned._asdict() | {"dry_run": dry_run})
        return
    for entry_id in planned.expired:
        out.print(safe(f"expired: {entry_id}"))
    what = "would remove" if dry_run else "removed"
    out.print(f"{what} {len(planned.expired)} expired entries and {planned.changes} old changes")
