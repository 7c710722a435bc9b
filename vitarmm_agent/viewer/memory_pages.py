"""Looking at what was learned, and looking after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.schema import EntryType, MemoryEntry, State
from vitarmm_agent.viewer.drawing import LinkedEntry, link_graph
from vitarmm_agent.viewer.entry_view import Use, changed_fields, counts_over_time, uses_of
from vitarmm_agent.viewer.responses import address, go, html, one, site, whole
from vitarmm_agent.viewer.security import checked_form

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory

PER_PAGE = 50
FOUND = 20
EDITABLE = ("entry_type", "title", "applies_when", "content", "confidence", "related_to")


async def entries(request: Request) -> Response:
    """Table of entries, or a search with the terms that recall ranks by; as of a date if asked."""
    memory = await _memory(request)
    asked = request.query_params.get("q", "").strip()
    kind, state = request.query_params.get("type", ""), request.query_params.get("state", "")
    as_of = _moment(request.query_params.get("as_of", ""))
    number = whole(request.query_params.get("page", "1"), "page", low=1) or 1
    found = await memory.arecall(asked, k=FOUND, as_of=as_of) if asked else None
    shown, more = ([], False) if found else await _table(memory, kind, state, as_of, number)
    return html(
        request,
        "memory",
        memory=memory,
        found=found,
        shown=shown,
        page_number=number,
        more=more,
        as_of=as_of,
        kinds=get_args(EntryType),
        states=get_args(State),
        waiting=len(await memory.alist(state="quarantined", limit=100)),
    )


async def _table(
    memory: ReasoningMemory, kind: str, state: str, as_of: datetime | None, number: int
) -> tuple[list[MemoryEntry], bool]:
    start = (number - 1) * PER_PAGE
    if as_of is not None:
        journal = _journal(memory)
        past = await asyncio.to_thread(lambda: [*journal.entries(memory.namespace, as_of)])
        past = [e for e in past if kind in ("", e.entry_type) and state in ("", e.state)]
        return past[start : start + PER_PAGE], len(past) > start + PER_PAGE
    found = await memory.alist(
        entry_type=kind if kind in get_args(EntryType) else None,
        state=cast(State, state) if state in get_args(State) else None,
        limit=PER_PAGE + 1,
        offset=start,
    )
    return found[:PER_PAGE], len(found) > PER_PAGE


async def entry(request: Request) -> Response:
    """One entry: where it comes from, what it did, what it is linked with, and its history."""
    memory = await _memory(request)
    entry_id = request.path_params["entry"]
    now = await memory.aget(entry_id)
    events = []
    if memory.journal is not None:
        events = await asyncio.to_thread(
            memory.journal.events, memory.namespace, entry_id=entry_id, limit=500
        )
    shown = now or next((event.before for event in events if event.before), None)
    if shown is None:
        raise InputError(f"there is no entry {entry_id!r}, and there never was")
    neighbours = await _neighbours(memory, shown)
    uses = uses_of(events)
    return html(
        request,
        "entry",
        entry=shown,
        gone=now is None,
        state=shown.state,
        history=[(event, changed_fields(event)) for event in events],
        uses=uses,
        series=counts_over_time(events),
        known_runs=await _known_runs(request, [*uses, Use(shown.provenance.run, 0, "")]),
        graph=link_graph(shown.title or shown.id, neighbours) if neighbours else "",
        neighbours=neighbours,
        kinds=get_args(EntryType),
        journal=memory.journal is not None,
    )


async def review_queue(request: Request) -> Response:
    """Entries that wait for a person's decision."""
    memory = await _memory(request)
    waiting = await memory.alist(state="quarantined", limit=PER_PAGE)
    return html(request, "review", waiting=waiting)


async def edit(request: Request) -> Response:
    """Change an entry."""
    memory, entry_id = await _memory(request), request.path_params["entry"]
    form = await checked_form(request)
    fields: dict[str, Any] = {name: one(form, name) for name in EDITABLE if name in form}
    if "related_to" in fields:
        fields["related_to"] = tuple(fields["related_to"].replace(",", " ").split())
    if "example_problem" in form:
        fields["example"] = _example(form)
    run = await memory.aedit(entry_id, fields, reason=one(form, "reason"))
    return go(f"{entry_address(entry_id)}?done=edited&undo={run}")


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


async def forget(request: Request) -> Response:
    """Delete an entry; the journal keeps what it was."""
    memory, entry_id = await _memory(request), request.path_params["entry"]
    form = await checked_form(request)
    run = await memory.aforget(entry_id, reason=one(form, "reason"))
    return go(f"{entry_address(entry_id)}?done=forgotten&undo={run}")


async def review(request: Request) -> Response:
    """Decide on an entry that waits for review."""
    memory, entry_id = await _memory(request), request.path_params["entry"]
    form = await checked_form(request)
    if one(form, "decision") not in ("accept", "reject"):
        raise InputError("decide to accept or to reject the entry")
    accept = one(form, "decision") == "accept"
    run = await memory.areview(entry_id, accept=accept, reason=one(form, "reason"))
    done = "accepted" if accept else "rejected"
    return go(f"{entry_address(entry_id)}?done={done}&undo={run}")


async def undo(request: Request) -> Response:
    """Take back what one run, or one decision of a person, changed."""
    memory = await _memory(request)
    form = await checked_form(request)
    changed = await memory.aundo(one(form, "run"))
    back = (
        f"{entry_address(changed[0])}?done=undone" if len(changed) == 1 else "/memory?done=undone"
    )
    return go(back)


async def _memory(request: Request) -> ReasoningMemory:
    return await asyncio.to_thread(site(request).memory)


async def _neighbours(memory: ReasoningMemory, entry: MemoryEntry) -> list[LinkedEntry]:
    linked = {entry_id: "related" for entry_id in entry.related_to}
    if entry.superseded_by:
        linked[entry.superseded_by] = "superseded-by"
    for other in await memory.alist(state="superseded", limit=500):
        if other.superseded_by == entry.id:
            linked[other.id] = "supersedes"
    found = []
    for entry_id, relation in linked.items():
        other_entry = await memory.aget(entry_id)
        title = other_entry.title if other_entry else "(forgotten)"
        found.append(LinkedEntry(entry_id, title, relation))
    return found


async def _known_runs(request: Request, uses: Sequence[Use]) -> set[str]:
    """Which of these runs still have a trace to look at."""
    here = site(request)

    def known() -> set[str]:
        names = {use.run for use in uses if use.run}
        configs = {n: {"configurable": {"thread_id": n, "checkpoint_ns": ""}} for n in names}
        return {n for n, c in configs.items() if here.checkpointer.get_tuple(c)}  # type: ignore[arg-type]

    return await asyncio.to_thread(known)


def _journal(memory: ReasoningMemory) -> Any:
    if memory.journal is None:
        raise InputError("this memory keeps no journal, so it cannot be shown as of a date")
    return memory.journal


def _moment(text: str) -> datetime | None:
    """A date or time of a form; a bare date means its end.

    Raises:
        InputError: it is neither.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"as of must be a date or time like 2026-01-31, got {text!r}") from None
    if len(text) == 10:
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def entry_address(entry_id: str) -> str:
    """Where an entry is shown."""
    return address("memory", "entry", entry_id)
