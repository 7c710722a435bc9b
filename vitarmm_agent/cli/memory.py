"""``vitarmm memory``: look after what was learned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, cast

import typer

from vitarmm_agent.cli import memory_consolidate, memory_transfer
from vitarmm_agent.cli import memory_tables as tables
from vitarmm_agent.cli.console import (
    WIDE,
    counted,
    done_to,
    err,
    out,
    print_json,
    read_input,
    safe,
)
from vitarmm_agent.cli.memory_options import (
    TYPES,
    EntryId,
    Expires,
    entry_from,
    existing,
    expiry,
    memory_settings,
    moment,
    opened,
    say_done,
    whole_entry_id,
)
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import Json, Limit, Offset, Reason, Yes
from vitarmm_agent.errors import InputError
from vitarmm_agent.options import one_of

app = typer.Typer(no_args_is_help=True)
app.command("consolidate")(memory_consolidate.consolidate)
app.command("export")(memory_transfer.export)
app.command("import")(memory_transfer.import_)


@app.command("list")
@takes_settings(*PLACE)
def list_(
    entry_type: Annotated[
        str | None, typer.Option("--type", help=f"Only {TYPES}", show_default="any")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only live, expired, quarantined or superseded.", show_default="any"),
    ] = None,
    limit: Limit = 20,
    offset: Offset = 0,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """List entries, the last changed first."""
    one_of("--type", entry_type, ("correction", "insight", "fact"))
    one_of("--state", state, ("live", "expired", "quarantined", "superseded"))
    with opened(**given) as found:
        entries = found.list(
            entry_type=entry_type, state=cast(Any, state), limit=limit, offset=offset
        )
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        out.print(tables.entry_table(entries, wide=out.width >= WIDE) if entries else "no entries")


@app.command()
@takes_settings(*PLACE)
def show(
    entry_id: EntryId,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Show one entry, where it comes from and what happened to it."""
    with opened(**given) as found:
        entry = existing(found, entry_id)
        events = found.journal.events(found.namespace, entry_id=entry.id) if found.journal else []
    if as_json:
        history = [tables.event_data(event) for event in events]
        print_json({"entry": entry.model_dump(mode="json"), "history": history})
        return
    out.print(tables.entry_details(entry))
    out.print(tables.event_table(events, wide=out.width >= WIDE))


@app.command()
@takes_settings(*PLACE)
def search(
    query: Annotated[str, typer.Argument(help="A problem, or what an entry is about.")],
    limit: Limit = 3,
    as_of: Annotated[
        str | None,
        typer.Option(help="Recall as the memory was then: 2026-01-31T12:00.", show_default="now"),
    ] = None,
    exclude_problem: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out what was learned from the problem of this id; repeatable.",
            show_default="none",
        ),
    ] = None,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Recall entries for a problem as the agent does, and say why each was chosen."""
    if not query.strip():
        raise InputError(
            "there is no text to search for; give a problem, or what an entry is about"
        )
    with opened(**given) as found:
        recall = found.recall(
            query, k=limit, exclude_problems=exclude_problem or (), as_of=moment(as_of)
        )
    if as_json:
        print_json(recall.model_dump(mode="json"))
        return
    if recall.entries:
        out.print(tables.recall_table(recall))
    if recall.note:
        out.print(safe(recall.note))


@app.command()
@takes_settings(*PLACE)
def add(
    content: Annotated[str, typer.Argument(help="What to do or know; - reads standard input.")],
    entry_type: Annotated[str, typer.Option("--type", help=f"What it is: {TYPES}")] = "fact",
    title: Annotated[str, typer.Option(help="A few words.", show_default="none")] = "",
    when: Annotated[
        str, typer.Option(help="The condition under which it helps.", show_default="its content")
    ] = "",
    confidence: Annotated[float, typer.Option(help="How sure it is, from 0 to 1.")] = 0.9,
    related: Annotated[
        list[str] | None,
        typer.Option(help="Id of a linked entry; repeatable.", show_default="none"),
    ] = None,
    expires: Expires = None,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Add an entry; like the agent's own, it is compared with what is known already."""
    from vitarmm_agent.memory_store.curation import person_run
    from vitarmm_agent.memory_store.operations import Operation

    until = expiry(expires)
    if until is not None and until <= datetime.now(UTC):
        raise InputError(f"--expires {expires!r} is over already; give a time to come, such as 90d")
    entry = entry_from(
        entry_type=entry_type,
        title=title,
        applies_when=when,
        content=read_input() if content == "-" else content,
        confidence=confidence,
        related_to=tuple(related or ()),
        expires_at=until,
        provenance={"writer": "person"},
    )
    with opened(**given) as found:
        run = person_run("add")
        written = found.write([Operation(kind="add", entry=entry)], run=run, attempt=0)[0]
    if as_json:
        print_json(written.model_dump(mode="json") | {"run": run})
        return
    out.print(done_to(written.kind), safe(written.entry_id), safe(written.reason))


@app.command()
@takes_settings(*PLACE)
def edit(
    entry_id: EntryId,
    content: Annotated[
        str | None, typer.Option(help="What to do or know.", show_default="as it is")
    ] = None,
    title: Annotated[str | None, typer.Option(help="A few words.", show_default="as it is")] = None,
    when: Annotated[
        str | None,
        typer.Option(help="The condition under which it helps.", show_default="as it is"),
    ] = None,
    entry_type: Annotated[
        str | None, typer.Option("--type", help=f"What it is: {TYPES}", show_default="as it is")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="How sure it is, from 0 to 1.", show_default="as it is"),
    ] = None,
    expires: Expires = None,
    reason: Reason = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Change an entry."""
    said = {"content": content, "title": title, "applies_when": when, "entry_type": entry_type,
            "confidence": confidence}  # fmt: skip
    fields: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if expires is not None:
        fields["expires_at"] = expiry(expires)
    if not fields:
        raise InputError("nothing to change: give --content, --title, --when, --type, …")
    with opened(**given) as found:
        entry_id = existing(found, entry_id).id
        run = found.edit(entry_id, fields, reason=reason)
    say_done(f"changed {entry_id}", run, as_json)


@app.command()
@takes_settings(*PLACE)
def forget(
    entry_ids: Annotated[list[str], typer.Argument(help="Ids of entries.")],
    yes: Yes = False,
    reason: Reason = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Delete entries; asks first, and can be undone."""
    with opened(**given) as found:
        entries = [existing(found, entry_id) for entry_id in entry_ids]
        entry_ids = [entry.id for entry in entries]
        for entry in entries:
            err.print(safe(tables.one_line(entry)))
        if not yes and not typer.confirm(f"Forget {len(entry_ids)}?", err=True):
            raise typer.Exit(1)
        run = found.change(dict.fromkeys(entry_ids), kind="forget", reason=reason)
    say_done(f"forgot {', '.join(entry_ids)}", run, as_json)


@app.command()
@takes_settings(*PLACE)
def review(
    entry_id: Annotated[
        str | None,
        typer.Argument(
            help="The entry: its id, or how the id begins.", show_default="all are listed"
        ),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Recall it again.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Forget it.")] = False,
    reason: Reason = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Decide about entries that were put aside: harmful ones, and those that seem to instruct the model."""
    with opened(**given) as found:
        if entry_id is None:
            waiting = found.list(state="quarantined")
            if as_json:
                print_json([entry.model_dump(mode="json") for entry in waiting])
            else:
                out.print(tables.review_table(waiting) if waiting else "nothing waits for review")
            return
        if accept == reject:
            raise InputError("give --accept or --reject")
        entry_id = existing(found, entry_id).id
        run = found.review(entry_id, accept=accept, reason=reason)
    say_done(f"{'accepted' if accept else 'rejected'} {entry_id}", run, as_json)


@app.command()
@takes_settings(*PLACE)
def merge(
    entry_id: EntryId,
    other_id: Annotated[str, typer.Argument(help="Entry to merge into it.")],
    reason: Reason = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Merge the second entry into the first: counts are summed, the second stays superseded."""
    with opened(**given) as found:
        entry_id, other_id = (whole_entry_id(found, name) for name in (entry_id, other_id))
        run = found.merge(entry_id, other_id, reason=reason)
    say_done(f"merged {other_id} into {entry_id}", run, as_json)


@app.command()
@takes_settings(*PLACE)
def stats(given: Given = NOTHING, as_json: Json = False) -> None:
    """Count entries, by type and state, and what came of them."""
    with opened(**given) as found:
        counts = tables.statistics(found.list())
        counts |= {"floor": found.floor, "namespace": list(found.namespace)}
    if as_json:
        print_json(counts)
    else:
        out.print(tables.statistics_table(counts))


@app.command()
@takes_settings(*PLACE)
def reindex(
    embedder: Annotated[
        str | None,
        typer.Option(
            help="Embedder to change to: local:NAME or provider:model.",
            show_default="the settings'",
        ),
    ] = None,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Rebuild the store and its vectors from the journal, if you like with another embedder."""
    from vitarmm_agent.memory_store.namespaces import written_namespace
    from vitarmm_agent.memory_store.reindex import reindex as make_again

    settings = memory_settings(**given, embedder=embedder)
    with err.status("reading the journal and embedding"):
        done = make_again(settings)
    counts, left = (
        {written_namespace(name): count for name, count in some.items()}
        for some in (done.entries, done.left)
    )
    if as_json:
        print_json({"entries": counts, "others": done.others, "adopted": done.adopted,
                    "damaged": done.damaged, "left": left, "embedder": settings.embedder})  # fmt: skip
        return
    if done.damaged:
        err.print(safe(done.damaged))
    for name, count in counts.items():
        out.print(safe(f"{name}: {counted(count, 'entry', 'entries')}"))
    for name, count in left.items():
        out.print(safe(f"{name}: {count} entries that the journal does not know, left"))
    if done.adopted:
        out.print(f"{done.adopted} entries that the journal did not know, taken in")
    out.print(safe(f"embedder: {settings.embedder}"))


@app.command()
@takes_settings(*PLACE)
def undo(
    run: Annotated[str, typer.Argument(help="A run's id, or what a command printed.")],
    yes: Yes = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Take back what one run wrote; what later runs changed stays."""
    with opened(**given) as found:
        if not yes and not as_json and found.journal is not None:
            events = found.journal.events(found.namespace, run=run)
            if events:
                err.print(tables.event_table(events, wide=out.width >= WIDE))
                if not typer.confirm("Take this back?", err=True):
                    raise typer.Exit(1)
        changed = found.undo(run)
    if as_json:
        print_json({"undone": run, "entries": changed})
    else:
        out.print(safe(f"took back {run}: {', '.join(changed)}"))


@app.command()
@takes_settings(*PLACE)
def log(
    entry: Annotated[
        str | None, typer.Option(help="Only changes of this entry.", show_default="any")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Only changes by this run.", show_default="any")
    ] = None,
    limit: Limit = 30,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Print the journal, the newest change first."""
    with opened(**given) as found:
        journal, wanted = found.journal, entry and whole_entry_id(found, entry)
        events = (
            journal.events(found.namespace, entry_id=wanted, run=run, limit=limit)
            if journal
            else []
        )
    if as_json:
        print_json([tables.event_data(event) for event in events])
    else:
        out.print(tables.event_table(events, wide=out.width >= WIDE) if events else "no changes")


@app.command()
@takes_settings("memory", "database")
def namespaces(given: Given = NOTHING, as_json: Json = False) -> None:
    """List all namespaces, and how many entries each has."""
    with opened(**given) as found:
        counts = found.namespaces()
    if as_json:
        print_json([{"namespace": list(name), "entries": n} for name, n in counts.items()])
    else:
        out.print(tables.namespace_table(counts) if counts else "no memories")
