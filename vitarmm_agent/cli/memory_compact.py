"""``vitarmm memory compact``: remove what has expired, and old history."""

from __future__ import annotations

from typing import Annotated

import typer

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.memory_options import opened, when
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import DryRun, Json, Yes


@takes_settings(*PLACE)
def compact(
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Remove history from before this time, or older than this: 90d.",
            show_default="none is removed",
        ),
    ] = None,
    keep_last: Annotated[
        int, typer.Option(min=0, help="Keep this many of the newest changes.")
    ] = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Remove expired entries and old history, and free their space.

    Other entries stay as they are. What is older than the history that is kept can no longer be undone,
    and the memory can no longer be searched as of then.
    """
    since = None if older_than is None else when(older_than, option="--older-than", past=True)
    with opened(**given) as found:
        planned = found.compact(since=since, keep_batches=keep_last, dry_run=True)
        if not dry_run:
            words = (
                f"Remove {len(planned.expired)} expired entries and {planned.changes} old changes?"
            )
            if not yes and not typer.confirm(words, err=True):
                raise typer.Exit(1)
            planned = found.compact(since=since, keep_batches=keep_last)
    if as_json:
        print_json(planned._asdict() | {"dry_run": dry_run})
        return
    for entry_id in planned.expired:
        out.print(safe(f"expired: {entry_id}"))
    what = "would remove" if dry_run else "removed"
    out.print(f"{what} {len(planned.expired)} expired entries and {planned.changes} old changes")
