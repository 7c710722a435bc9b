"""One entry: looked at, added, changed, decided on, forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, get_args

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.schema import EntryType, MemoryEntry
from vitarmm_agent.memory_store.write_plan import has_proved_itself
from vitarmm_agent.viewer.drawing import LinkedEntry, link_graph
from vitarmm_agent.viewer.entry_view import changed_fields, counts_over_time, uses_of
from vitarmm_agent.viewer.memory_pages import end_of
from vitarmm_agent.viewer.responses import go, one, site
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.share_chart import share_chart
from vitarmm_agent.viewer.whose_memory import asked_memory, memory_address, memory_page

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory

MOST_EVENTS = 250
MOST_USES = 50
WRITTEN = {
    "added": "added",
    "merged": "merged into this entry, which says the same",
    "superseded": "added, in place of one that it contradicts",
    "skipped": "nothing, since this entry says it already",
    "quarantined": "added, but it waits for review",
}
"""What became of an entry that was added by hand."""
TEXTS = ("entry_type", "title", "applies_when", "content", "confidence")


async def entry(request: Request) -> Response:
    """One entry: where it comes from, what it did, what it is linked with, and its history."""
    memory, entry_id = await asked_memory(request), request.path_params["entry"]
    now = await memory.aget(entry_id)
    events = []
    if memory.journal is not None:
        events = await asyncio.to_thread(
            memory.journal.events, memory.namespace, entry_id=entry_id, limit=MOST_EVENTS
        )
    shown = now or next((event.before for event in events if event.before), None)
    if shown is None:
        raise InputError(f"there is no entry {entry_id!r}, and there never was")
    neighbours = await _neighbours(request, memory, shown)
    uses, history = uses_of(events), [event for event in events if event.kind != "credit"]
    listed = uses[:MOST_USES]
    runs = {use.run for use in listed} | {event.run for event in history} | {shown.provenance.run}
    return memory_page(
        request,
        memory,
        "entry",
        entry=shown,
        gone=now is None,
        state="forgotten" if now is None else shown.state_at(),
        history=[(event, changed_fields(event)) for event in history],
        cut=len(events) == MOST_EVENTS,
        uses=listed,
        verdicts=len(uses),
        chart=share_chart(counts_over_time(events)),
        proven=has_proved_itself(shown),
        known_runs=await asyncio.to_thread(site(request).index.named, runs),
        graph=link_graph(shown.title or shown.id, neighbours) if neighbours else "",
        neighbours=neighbours,
        values=values_of(shown),
        kinds=get_args(EntryType),
        journal=memory.journal is not None,
    )


async def new(request: Request) -> Response:
    """The form for an entry written by hand."""
    memory = await asked_memory(request)
    blank = {"entry_type": "insight", "confidence": "0.9"}
    return memory_page(
        request, memory, "entry_new", values=blank, kinds=get_args(EntryType), fault=""
    )


async def add(request: Request) -> Response:
    """Write an entry, as ``vitarmm memory add`` does; a form that cannot be used keeps its words."""
    memory = await asked_memory(request)
    form = await checked_form(request)
    run = person_run("add")
    try:
        written = await memory.aadd(**entry_fields(form), run=run)
    except InputError as error:
        values = {name: one(form, name) for name in form}
        page = memory_page(
            request, memory, "entry_new", values=values, kinds=get_args(EntryType), fault=error
        )
        page.status_code = 400
        return page
    undo = run if written.kind != "skipped" else ""
    done = WRITTEN.get(written.kind, written.kind)
    return go(memory_address(request, "entry", written.entry_id, done=done, undo=undo))


async def edit(request: Request) -> Response:
    """Change an entry."""
    memory, entry_id = await asked_memory(request), request.path_params["entry"]
    form = await checked_form(request)
    run = await memory.aedit(entry_id, entry_fields(form), reason=one(form, "reason"))
    return _back(request, "edited", run)


async def forget(request: Request) -> Response:
    """Delete an entry; the journal keeps what it was."""
    memory, entry_id = await asked_memory(request), request.path_params["entry"]
    form = await checked_form(request)
    run = await memory.aforget(entry_id, reason=one(form, "reason"))
    return _back(request, "forgotten", run)


async def review(request: Request) -> Response:
    """Decide on an entry that waits for review."""
    memory, entry_id = await asked_memory(request), request.path_params["entry"]
    form = await checked_form(request)
    if one(form, "decision") not in ("accept", "reject"):
        raise InputError("decide to accept or to reject the entry")
    accept = one(form, "decision") == "accept"
    run = await memory.areview(entry_id, accept=accept, reason=one(form, "reason"))
    return _back(request, "accepted" if accept else "rejected", run)


def values_of(entry: MemoryEntry) -> dict[str, str]:
    """An entry as its form is filled in."""
    values = {name: str(getattr(entry, name)) for name in TEXTS}
    values["related_to"] = " ".join(entry.related_to)
    values["expires"] = entry.expires_at.isoformat() if entry.expires_at else ""
    if entry.example is not None:
        values |= {
            "example_problem": entry.example.problem,
            "example_steps": "\n".join(entry.example.steps),
            "example_answer": entry.example.answer,
            "example_verified_by": entry.example.verified_by,
            "example_images": " ".join(entry.example.images),
        }
    return values


def entry_fields(form: dict[str, list[object]]) -> dict[str, Any]:
    """The fields of an entry that a form names, as they were typed."""
    fields: dict[str, Any] = {name: one(form, name) for name in TEXTS if name in form}
    if "related_to" in form:
        fields["related_to"] = tuple(one(form, "related_to").replace(",", " ").split())
    if "expires" in form:
        fields["expires_at"] = end_of(one(form, "expires"), "expires")
    if "example_problem" in form:
        fields["example"] = _example(form)
    return fields


def _example(form: dict[str, list[object]]) -> dict[str, Any] | None:
    """A worked example as it was typed: none once its problem is emptied."""
    if not one(form, "example_problem").strip():
        return None
    lines = one(form, "example_steps").splitlines()
    return {
        "problem": one(form, "example_problem"),
        "steps": tuple(line.strip() for line in lines if line.strip()),
        "answer": one(form, "example_answer"),
        "verified_by": one(form, "example_verified_by"),
        "images": one(form, "example_images").split(),
    }


async def _neighbours(
    request: Request, memory: ReasoningMemory, entry: MemoryEntry
) -> list[LinkedEntry]:
    linked = {entry_id: "related" for entry_id in entry.related_to}
    if entry.superseded_by:
        linked[entry.superseded_by] = "superseded-by"
    for other in await memory.alist(superseded_by=entry.id):
        linked[other.id] = "supersedes"
    found = []
    for entry_id, relation in linked.items():
        other_entry = await memory.aget(entry_id)
        title = (other_entry.title or entry_id) if other_entry else "(forgotten)"
        found.append(LinkedEntry(memory_address(request, "entry", entry_id), title, relation))
    return found


def _back(request: Request, done: str, run: str) -> Response:
    return go(memory_address(request, "entry", request.path_params["entry"], done=done, undo=run))
