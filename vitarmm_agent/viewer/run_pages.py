"""Looking at runs: the list, one run, two runs, their events, images and exports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vitarmm_agent.errors import InputError, UserError
from vitarmm_agent.traces import RunFilter, Trace, word_diff
from vitarmm_agent.viewer.export import export_html
from vitarmm_agent.viewer.live import as_server_sent
from vitarmm_agent.viewer.responses import address, attached, fragment_wanted, html, site, whole
from vitarmm_agent.viewer.run_view import run_context, view_of
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.typed import Typed
from vitarmm_agent.viewer.whose_memory import of_namespace

Form = dict[str, list[object]]
Handler = Callable[[Request], Awaitable[Response]]
Action = Callable[[Request, Form], Awaitable[Response]]

PER_PAGE = 50
READ_SECONDS = 0.2
"""How long one request reads runs that the index does not know yet; the page says what is left."""
FIELDS = tuple(RunFilter.model_fields)


async def runs(request: Request) -> Response:
    """The list of runs."""
    here = site(request)
    where = RunFilter(**{name: request.query_params.get(name, "").strip() for name in FIELDS})
    number = whole(request.query_params.get("page", "1"), "page", low=1) or 1
    sort = request.query_params.get("sort", "")
    going = here.live.going()  # before they are read
    found = await asyncio.to_thread(
        here.index.page,
        where,
        limit=PER_PAGE,
        offset=(number - 1) * PER_PAGE,
        seconds=READ_SECONDS,
        sort=sort,
    )
    known = {run.thread_id for run in found.runs}
    starting = [
        run
        for run in here.live.runs.values()
        if run.going and run.thread_id not in known and run.problem
        if number == 1 and where.empty and not sort
    ]
    return html(
        request,
        "runs_table" if fragment_wanted(request) else "runs",
        runs=found.runs,
        total=found.total,
        unread=found.unread,
        where=where,
        page_number=number,
        pages=max(1, -(-found.total // PER_PAGE)),
        going=going,
        starting=starting,
        benchmarks=await asyncio.to_thread(here.index.benchmarks),
        tags=await asyncio.to_thread(here.index.tags),
        link=str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
        pager=_pager(request),
        sort=sort,
        sorted_by=_sorted(request),
    )


async def run(request: Request) -> Response:
    """One run."""
    return await _run(request, Typed())


def keeping(name: str) -> Callable[[Action], Handler]:
    """A handler of a form on the page of a run, which is shown again where it cannot be used."""

    def around(action: Action) -> Handler:
        async def handler(request: Request) -> Response:
            form = await checked_form(request)
            try:
                return await action(request, form)
            except UserError as error:
                return await _run(request, Typed.of(name, form, error), status=400)

        return handler

    return around


async def _run(request: Request, typed: Typed, *, status: int = 200) -> Response:
    here, thread = site(request), request.path_params["thread"]
    live = here.live.live(thread)
    turn = whole(request.query_params.get("turn", ""), "turn", low=1)
    name = "run_body" if fragment_wanted(request) else "run"
    try:
        trace = await here.trace(thread, turn)
    except InputError:
        if live is None or live.phase == "done":
            raise
        return html(request, name, status=status, thread=thread, live=live, view=None, typed=typed)
    open_end = bool(trace.moments and trace.moments[-1].next)
    others = await here.others(thread) if open_end else ""
    context = run_context(trace, live=live, others=others, settings=here.settings, typed=typed)
    context["of_namespace"] = of_namespace([trace.namespace], here.settings.namespace)
    return html(request, name, status=status, **context, thread=thread)


async def pair(request: Request) -> Response:
    """Two runs of one problem side by side, live: with and without memory."""
    here = site(request)
    names = [request.query_params.get(name, "") for name in ("with", "without")]
    if not all(names):
        raise InputError("name the run with memory and the one without: /pair?with=RUN&without=RUN")
    going = here.live.going()  # before they are read
    columns = [await _column(request, name) for name in names]
    return html(request, "pair", columns=columns, going=going, problem=columns[0]["problem"])


async def column(request: Request) -> Response:
    """One of the two, as it is now."""
    return html(request, "pair_column", **await _column(request, request.path_params["thread"]))


async def _column(request: Request, thread: str) -> dict[str, Any]:
    """What a column shows; a run that is only beginning has no trace yet."""
    here = site(request)
    live = here.live.live(thread)
    try:
        trace = await here.trace(thread)
        context = run_context(trace, live=live)
        context["of_namespace"] = of_namespace([trace.namespace], here.settings.namespace)
        problem = context["result"].problem
    except InputError:
        if live is None or live.problem is None or live.phase == "done":
            raise
        context, problem = {"view": None, "live": live}, live.problem
    return {**context, "thread": thread, "problem": problem}


async def diff(request: Request) -> Response:
    """Two runs side by side."""
    here = site(request)
    names = [request.query_params.get(name, "") for name in ("a", "b")]
    names = request.query_params.getlist("run") or names
    if len(names) != 2 or not all(names):
        raise InputError("tick two runs in the list of runs to compare them")
    one, other = [await here.trace(name) for name in names]
    texts = ["\n\n".join(a.text for a in trace.result.attempts[-1:]) for trace in (one, other)]
    changes = await asyncio.to_thread(word_diff, *texts)
    views = (view_of(one), view_of(other))
    whose = of_namespace([one.namespace, other.namespace], here.settings.namespace)
    return html(
        request, "diff", one=one, other=other, views=views, changes=changes, of_namespace=whose
    )


async def run_events(request: Request) -> Response:
    """Server-sent events of one run."""
    return _events(request, request.path_params["thread"])


async def all_events(request: Request) -> Response:
    """Server-sent events of all runs of this server."""
    return _events(request, "")


def _events(request: Request, thread: str) -> Response:
    return StreamingResponse(
        as_server_sent(site(request).live.watch(thread)),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def export(request: Request) -> Response:
    """One run as a file that opens without this server."""
    trace = await site(request).trace(request.path_params["thread"])
    text = await asyncio.to_thread(export_html, trace, site(request).media)
    return Response(text, media_type="text/html; charset=utf-8", headers=_as_file(trace, "html"))


async def export_json(request: Request) -> Response:
    """One run as data."""
    trace = await site(request).trace(request.path_params["thread"])
    text = json.dumps(trace.model_dump(mode="json"), indent=2)
    return Response(text, media_type="application/json", headers=_as_file(trace, "json"))


def _as_file(trace: Trace, suffix: str) -> dict[str, str]:
    return attached(f"run-{trace.result.thread_id}.{suffix}")


async def media(request: Request) -> Response:
    """An image, by its hash only."""
    try:
        data, mime = await asyncio.to_thread(
            site(request).media.read, request.path_params["sha256"]
        )
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(data, media_type=mime, headers=headers)


def _pager(request: Request) -> Any:
    return lambda number: _list(request, page=number)


def _sorted(request: Request) -> Any:
    return lambda name: _list(request, sort=name, page="")


def _list(request: Request, **changes: object) -> str:
    """The address of this list with other values of its query; what is empty is left out."""
    query = {**request.query_params, **changes}
    url = request.url.replace(query="")
    url = url.include_query_params(**{name: value for name, value in query.items() if value})
    return f"{request.url.path}?{url.query}"


def run_address(thread: str) -> str:
    """Where a run is shown."""
    return address("runs", thread)
