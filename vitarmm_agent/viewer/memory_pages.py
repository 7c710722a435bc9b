"""Looking at what was learned: the list, a search, the review queue, whose memories there are."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.namespaces import written_namespace
from vitarmm_agent.memory_store.schema import EntryType, MemoryEntry, State
from vitarmm_agent.viewer.responses import go, one, whole
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.whose_memory import asked_memory, memory_address, memory_page

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory

PER_PAGE = 50
FOUND = 20
MOST_WAITING = 100


async def entries(request: Request) -> Response:
    """Table of entries, or a search with the terms that recall ranks by; as of a date if asked."""
    memory = await asked_memory(request)
    asked = request.query_params.get("q", "").strip()
    kind, state = request.query_params.get("type", ""), request.query_params.get("state", "")
    as_of = end_of(request.query_params.get("as_of", ""), "as of")
    number = whole(request.query_params.get("page", "1"), "page", low=1) or 1
    found = await memory.arecall(asked, k=FOUND, as_of=as_of) if asked else None
    shown, more = ([], False) if found else await _table(memory, kind, state, as_of, number)
    waiting = await memory.alist(state="quarantined", limit=MOST_WAITING + 1)
    return memory_page(
        request,
        memory,
        "memory",
        found=found,
        shown=shown,
        page_number=number,
        more=more,
        as_of=as_of,
        kinds=get_args(EntryType),
        states=get_args(State),
        waiting=len(waiting),
        most_waiting=MOST_WAITING,
    )


async def _table(
    memory: ReasoningMemory, kind: str, state: str, as_of: datetime | None, number: int
) -> tuple[list[MemoryEntry], bool]:
    start = (number - 1) * PER_PAGE
    if as_of is not None:
        entries = partial(_journal(memory).entries, memory.namespace, as_of)
        if not kind and not state:
            past = await asyncio.to_thread(lambda: [*entries(limit=PER_PAGE + 1, offset=start)])
            return past[:PER_PAGE], len(past) > PER_PAGE
        past = await asyncio.to_thread(lambda: [*entries()])
        past = [e for e in past if kind in ("", e.entry_type) and state in ("", e.state_at(as_of))]
        return past[start : start + PER_PAGE], len(past) > start + PER_PAGE
    found = await memory.alist(
        entry_type=kind if kind in get_args(EntryType) else None,
        state=cast(State, state) if state in get_args(State) else None,
        limit=PER_PAGE + 1,
        offset=start,
    )
    return found[:PER_PAGE], len(found) > PER_PAGE


async def namespaces(request: Request) -> Response:
    """Whose memories there are, each to be looked at."""
    memory = await asked_memory(request)
    sizes = await asyncio.to_thread(memory.namespaces)
    sizes.setdefault(memory.namespace, 0)
    listed = [(written_namespace(labels), count) for labels, count in sorted(sizes.items())]
    return memory_page(request, memory, "namespaces", listed=listed)


async def review_queue(request: Request) -> Response:
    """Entries that wait for a person's decision."""
    memory = await asked_memory(request)
    waiting = await memory.alist(state="quarantined", limit=PER_PAGE)
    return memory_page(request, memory, "review", waiting=waiting)


async def undo(request: Request) -> Response:
    """Take back what one run, or one decision of a person, changed."""
    memory = await asked_memory(request)
    form = await checked_form(request)
    changed = await memory.aundo(one(form, "run"))
    parts = ("entry", changed[0]) if len(changed) == 1 else ()
    return go(memory_address(request, *parts, done="undone"))


def _journal(memory: ReasoningMemory) -> Any:
    if memory.journal is None:
        raise InputError("this memory keeps no journal, so it cannot be shown as of a date")
    return memory.journal


def end_of(text: str, name: str) -> datetime | None:
    """A date or time of a form; a bare date means its end.

    Raises:
        InputError: it is neither.
    """
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{name} must be a date or time like 2026-01-31, got {text!r}") from None
    if len(text.strip()) == 10:
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
