"""``vitarmm trace tag`` and ``vitarmm trace note``: what people put on runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import Json, Run
from vitarmm_agent.cli.trace import checkpoints

if TYPE_CHECKING:
    from vitarmm_agent.traces import Remark


@takes_settings("database")
def tag(
    thread: Run,
    tags: Annotated[
        list[str] | None,
        typer.Argument(metavar="TAG", help="Tags that it gets.", show_default="none"),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="A tag to take off; repeatable.", show_default="none")
    ] = None,
    as_json: Json = False,
    given: Given = NOTHING,
) -> None:
    """Put tags on a run, or take them off: `vitarmm trace list --tag TAG` finds it."""
    from vitarmm_agent.traces import note_run, whole_id

    kept = checkpoints(**given, write=True)
    thread = whole_id(kept, thread)
    _print(thread, note_run(kept, thread, add=tags or (), remove=remove or ()), as_json)


@takes_settings("database")
def note(
    thread: Run,
    text: Annotated[
        str,
        typer.Argument(metavar="TEXT", help='The note, in place of the one before; "" for none.'),
    ],
    as_json: Json = False,
    given: Given = NOTHING,
) -> None:
    """Put a note on a run."""
    from vitarmm_agent.traces import note_run, whole_id

    kept = checkpoints(**given, write=True)
    thread = whole_id(kept, thread)
    _print(thread, note_run(kept, thread, note=text), as_json)


def _print(thread: str, remark: Remark, as_json: bool) -> None:
    if as_json:
        print_json({"thread": thread, **remark.model_dump()})
        return
    out.print(safe(f"{thread}  {', '.join(remark.tags) or 'no tags'}"))
    if remark.note:
        out.print(safe(f"  {remark.note}"))
