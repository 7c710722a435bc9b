"""Evaluations: the list, one with its samples, its reports and runs, and two side by side."""

from __future__ import annotations

import asyncio
import html as entities
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.report.figures import p_value, points
from vitarmm_agent.evals.report.sample_index import OUTCOMES, SampleFilter
from vitarmm_agent.graphs.checkpoints import read_checkpoints
from vitarmm_agent.media import MediaStore
from vitarmm_agent.traces import Trace, read_trace
from vitarmm_agent.viewer.evaluation_files import KINDS, inside, look, names
from vitarmm_agent.viewer.responses import html, pager, site, whole
from vitarmm_agent.viewer.run_view import run_context

PER_PAGE = 50
# A report is a page of its own, from a file: it may style itself, but not run or fetch anything, nor send
# a form. It is of this origin, or no browser would send the cookie with its links.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-same-origin"
_RUN = re.compile(r'<span class="run">([^<]*)</span>')
_BODY = re.compile(r"<body[^>]*>")


async def evaluations(request: Request) -> Response:
    """List evaluations and other reports, newest first."""
    found, reports = await asyncio.to_thread(look, folder(request))
    return html(
        request, "evaluations", evaluations=found, reports=reports, folder=str(folder(request))
    )


async def one(request: Request) -> Response:
    """What an address below the list names: an evaluation, or a file that one wrote."""
    place = inside(folder(request), request.path_params["name"], a_folder=True)
    if place is not None and (place / "config.json").is_file():
        return await _samples(request, place)
    return await _report(request)


async def _samples(request: Request, place: Path) -> Response:
    """An evaluation with its samples, a page of them at a time."""
    name = request.path_params["name"]
    where = SampleFilter(*(request.query_params.get(field, "") for field in SampleFilter._fields))
    if where.outcome not in ("", *OUTCOMES):
        raise InputError(f"outcome must be one of {', '.join(OUTCOMES)}, got {where.outcome!r}")
    number = whole(request.query_params.get("page", "1"), "page", low=1) or 1
    index = site(request).evaluations.samples(place)
    start = (number - 1) * PER_PAGE
    found = await asyncio.to_thread(index.page, where, limit=PER_PAGE, offset=start)
    others = await asyncio.to_thread(names, folder(request))
    read = site(request).evaluations
    return html(
        request,
        "evaluation",
        shown=await asyncio.to_thread(read.summary, place, name),
        samples=found.samples,
        total=found.total,
        page_number=number,
        pages=max(1, -(-found.total // PER_PAGE)),
        where=where,
        outcomes=OUTCOMES,
        arms=index.arms(),
        sources=index.sources(),
        others=[other for other in others if other != name],
        traced=_traces(place).is_file(),
        to=pager(request),
    )


async def _report(request: Request) -> Response:
    """One report, as the file is, with a way back; the runs that an evaluation names become links."""
    name = request.path_params["name"]
    path = inside(folder(request), name)
    if path is None or path.suffix not in KINDS:
        raise HTTPException(404, "there is no such report")
    headers = {"content-security-policy": POLICY}
    download = "download" in request.query_params
    if path.suffix == ".html" and not download:
        text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
        own = path.name == "report.html" and (path.parent / "config.json").is_file()
        if own and _traces(path.parent).is_file():
            text = _RUN.sub(_link, text)
        back = f"evaluations/{name.rpartition('/')[0]}" if own else "evaluations"
        link = f'<p style="margin:1rem"><a href="/{quote(back)}">← {entities.escape(back)}</a></p>'
        text = _BODY.sub(lambda body: body.group() + link, text, count=1)
        return HTMLResponse(text, headers=headers)
    return FileResponse(
        path,
        media_type=KINDS[path.suffix],
        filename=path.name if download else None,
        headers=headers,
    )


async def evaluation_run(request: Request) -> Response:
    """One run of an evaluation, read from its own traces."""
    name, place = request.path_params["name"], _with_traces(request)
    thread = request.query_params.get("thread", "")
    trace = await asyncio.to_thread(_trace, place, thread)
    samples = await asyncio.to_thread(site(request).evaluations.samples(place).of_run, thread)
    images = _Images(f"/evaluations/{quote(name)}/media/")
    context = run_context(trace, live=None, thread=trace.result.thread_id)
    return html(
        request, "evaluation_run", **context, evaluation=name, samples=samples,
        exported=True, image_of=images,
    )  # fmt: skip


async def evaluation_media(request: Request) -> Response:
    """An image of an evaluation, by its hash only."""
    place = _with_traces(request)
    store = MediaStore(place / "data" / "media")
    try:
        data, mime = await asyncio.to_thread(store.read, request.path_params["sha256"])
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    return Response(data, media_type=mime, headers={"cache-control": "private, max-age=86400"})


async def compare(request: Request) -> Response:
    """Two evaluations on the same problems, as ``vitarmm eval compare``; why not, if they differ."""
    asked = [request.query_params.get(field, "") for field in ("a", "b")]
    places = [inside(folder(request), name, a_folder=True) for name in asked]
    if places[0] is None or places[1] is None:
        raise InputError("choose two evaluations of the list to compare them")
    anyway = request.query_params.get("anyway") == "1"
    context: dict[str, Any] = {"names": asked, "anyway": anyway, "section": "evaluations"}
    try:
        found = await asyncio.to_thread(
            site(request).evaluations.compared, places[0], places[1], anyway=anyway
        )
    except InputError as error:
        return html(request, "compare", status=400, **context, fault=error, comparison=None)
    row = whole(request.query_params.get("row", "0"), "row", high=len(found.problems) - 1) or 0
    number = whole(request.query_params.get("page", "1"), "page", low=1) or 1
    start = (number - 1) * PER_PAGE
    problems = found.problems[row]
    return html(
        request,
        "compare",
        **context,
        fault="",
        comparison=found.comparison,
        row=row,
        problems=problems[start : start + PER_PAGE],
        total=len(problems),
        differ=sum(pair.difference != 0 for pair in problems),
        page_number=number,
        pages=max(1, -(-len(problems) // PER_PAGE)),
        traced=[_traces(place).is_file() for place in places if place],
        to=pager(request),
        points=points,
        p_value=p_value,
    )


def folder(request: Request) -> Path:
    """Where evaluations write their reports."""
    return site(request).settings.data_dir / "evaluations"


class _Images(dict[str, str]):
    """Addresses of images by their hash, whether they are there or not."""

    def __init__(self, root: str) -> None:
        self.root = root

    def get(self, sha256: str, default: Any = None) -> str:
        return self.root + sha256


def _with_traces(request: Request) -> Path:
    place = inside(folder(request), request.path_params["name"], a_folder=True)
    if place is None or not _traces(place).is_file():
        raise HTTPException(404, "there is no evaluation with traces here")
    return place


def _trace(place: Path, thread: str) -> Trace:
    kept = read_checkpoints(_traces(place))
    try:
        return read_trace(kept, thread)
    finally:
        kept.close()


def _traces(place: Path) -> Path:
    return place / "data" / "traces.sqlite"


def _link(match: re.Match[str]) -> str:
    """A run's name, escaped as the report has it, as a link beside the report."""
    thread = entities.unescape(match.group(1))
    return f'<a class="run" href="run?thread={quote(thread, safe="")}">{match.group(1)}</a>'
