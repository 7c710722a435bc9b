"""``vitarmm memory export`` and ``import``: as JSON Lines, and as Agent Skills."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vitarmm_agent.cli.console import counted, data_out, err, out, print_json, safe, unused
from vitarmm_agent.cli.memory_options import opened
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import Force, Json
from vitarmm_agent.errors import InputError
from vitarmm_agent.options import one_of

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.transfer import Imported


@takes_settings(*PLACE)
def export(
    file: Annotated[str, typer.Argument(help="File to write; - is standard output.")] = "-",
    skills: Annotated[
        str | None,
        typer.Option(
            help="Folder to write proven entries to, each as an Agent Skill (SKILL.md).",
            show_default="none",
        ),
    ] = None,
    proven: Annotated[
        str,
        typer.Option(
            help="Entries that become skills: helpful (more often than harmful), surely (in half of "
            "their uses) or all."
        ),
    ] = "helpful",
    given: Given = NOTHING,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write all entries as JSON Lines, or proven ones as Agent Skills."""
    one_of("--proven", proven, ("helpful", "surely", "all"))
    if skills is not None:
        if file != "-":
            raise InputError(f"give a file or --skills, not both; got {file!r} and {skills!r}")
        with opened(**given) as found:
            names = found.export_skills(skills, proof=cast(Any, proven), replace=force)
        if as_json:
            print_json({"folder": skills, "skills": names})
        else:
            out.print(safe("\n".join(names) or "no entry is proven; --proven all takes every one"))
        return
    if file != "-":
        unused(Path(file), force=force)
    with opened(**given) as found:
        count = found.export(data_out() if file == "-" else file)
    if as_json and file != "-":
        print_json({"file": file, "entries": count})
    else:
        err.print(counted(count, "entry", "entries"))


@takes_settings(*PLACE)
def import_(
    file: Annotated[
        str,
        typer.Argument(help="JSON Lines; - is standard input.", show_default="see --skills"),
    ] = "",
    skills: Annotated[
        str | None,
        typer.Option(help="Folder of Agent Skills to take in, not a file.", show_default="none"),
    ] = None,
    keep_good: Annotated[
        bool, typer.Option("--keep-good", help="Take the good lines of a file with bad ones.")
    ] = False,
    on_conflict: Annotated[
        str, typer.Option(help="If an id is here with other content: fail, skip or replace.")
    ] = "fail",
    trust: Annotated[
        bool, typer.Option("--trust", help="Take counts, provenance and state as the file says.")
    ] = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Take in entries from JSON Lines, or from Agent Skills.

    Anyone may have written them: counts and provenance are reset, and what seems to instruct the
    model, or has an example that is wrong, waits for review, unless they are your own and you say
    --trust.
    """
    from vitarmm_agent.verifiers.solution import objection_to_example

    one_of("--on-conflict", on_conflict, ("fail", "skip", "replace"))
    if bool(file) == (skills is not None):
        raise InputError("give a file of JSON Lines, or a folder with --skills; one of the two")
    options: dict[str, Any] = {"keep_good": keep_good, "on_conflict": on_conflict, "trust": trust}
    with opened(**given) as found:
        found.objection = objection_to_example
        if skills is not None:
            report = found.import_skills(skills, **options)
        else:
            report = found.import_(sys.stdin if file == "-" else file, **options)
    _say(report, as_json)


def _say(report: Imported, as_json: bool) -> None:
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for bad in report.bad:
        err.print(safe(bad))
    for note in report.notes:
        err.print(safe(note))
    what = "skills" if report.bad and report.bad[0].place else "lines"
    out.print(f"{report.added} added, {report.replaced} replaced, {report.skipped} skipped, "
              f"{len(report.bad)} bad {what}")  # fmt: skip
    if report.quarantined:
        out.print(f"{report.quarantined} wait for review: vitarmm memory review")
    if report.run:
        out.print(f"undo with: vitarmm memory undo {report.run}")
