"""Evaluations: the folders and files under ``DATA_DIR/evaluations``, and the runs behind them."""

from __future__ import annotations

import asyncio
import html as entities
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from vitarmm_agent.graphs.checkpoints import read_checkpoints
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.media import MediaStore
from vitarmm_agent.traces import read_trace
from vitarmm_agent.viewer.export import export_with_policy
from vitarmm_agent.viewer.responses import html, site

KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json",
         ".md": "text/plain; charset=utf-8"}  # fmt: skip
MOST = 500
MOST_BYTES = 32 * 1024 * 1024
REPORTS = ("report.html", "report.md", "report.json")
# A report is a page of its own, from a file: it may style itself, but not run or fetch anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_RUN = re.compile(r'<span class="run">([^<]*)</span>')


class ReportFile(NamedTuple):
    """A file that an evaluation wrote."""

    name: str
    bytes: int
    changed: float


class Headline(NamedTuple):
    """One arm's headline: shares of 1, None where they are not known."""

    name: str
    oracle: bool
    n: int
    crashed: int
    accuracy: float | None
    low: float | None
    high: float | None


class Evaluation(NamedTuple):
    """A folder that ``vitarmm eval`` wrote."""

    name: str
    title: str
    arms: tuple[Headline, ...]
    complete: bool
    files: tuple[str, ...]
    changed: float
    fault: str = ""


async def evaluations(request: Request) -> Response:
    """List evaluations and other reports, newest first."""
    found, reports = await asyncio.to_thread(_look, folder(request))
    return html(
        request, "evaluations", evaluations=found, reports=reports, folder=str(folder(request))
    )


async def report(request: Request) -> Response:
    """One report, as the file is; the runs that an evaluation names become links."""
    name = request.path_params["name"]
    path = _inside(folder(request), name)
    if path is None or path.suffix not in KINDS:
        raise HTTPException(404, "there is no such report")
    headers = {"content-security-policy": POLICY}
    download = "download" in request.query_params
    if path.name == "report.html" and not download and _traces(path.parent).is_file():
        text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
        return HTMLResponse(_RUN.sub(_link, text), headers=headers)
    return FileResponse(
        path,
        media_type=KINDS[path.suffix],
        filename=path.name if download else None,
        headers=headers,
    )


async def evaluation_run(request: Request) -> Response:
    """One run of an evaluation, read from its own traces."""
    place = _inside(folder(request), request.path_params["name"], a_folder=True)
    if place is None or not _traces(place).is_file():
        raise HTTPException(404, "there is no evaluation with traces here")
    thread = request.query_params.get("thread", "")
    text, policy = await asyncio.to_thread(_run, place, thread)
    return HTMLResponse(text, headers={"content-security-policy": policy})


def folder(request: Request) -> Path:
    """Where evaluations write their reports."""
    return site(request).settings.data_dir / "evaluations"


def _run(place: Path, thread: str) -> tuple[str, str]:
    kept = read_checkpoints(_traces(place))
    try:
        trace = read_trace(kept, thread)
    finally:
        kept.close()
    return export_with_policy(trace, MediaStore(place / "data" / "media"))


def _traces(place: Path) -> Path:
    return place / "data" / "traces.sqlite"


def _link(match: re.Match[str]) -> str:
    """A run's name, escaped as the report has it, as a link beside the report."""
    thread = entities.unescape(match.group(1))
    return f'<a class="run" href="run?thread={quote(thread, safe="")}">{match.group(1)}</a>'


def _inside(where: Path, name: str, *, a_folder: bool = False) -> Path | None:
    """The file or folder of this name, if it lies in ``where`` and not among an evaluation's data."""
    root = where.resolve()
    path = root / name
    try:
        there = path.is_dir() if a_folder else path.is_file()
        fits = there and path.resolve() == path and path.is_relative_to(root) and path != root
    except (OSError, ValueError):
        return None
    return path if fits and not _is_data(path.relative_to(root), root) else None


def _is_data(path: Path, root: Path) -> bool:
    return any(
        parent.name == "data" and (root / parent.parent / "config.json").is_file()
        for parent in path.parents
    )


def _look(where: Path) -> tuple[list[Evaluation], list[ReportFile]]:
    """The evaluations, and the reports that are not in one of them."""
    root = where.resolve()
    found, loose = [], []
    for place, files in _folders(root):
        name = place.relative_to(root).as_posix()
        if {"config.json", "report.json"} <= set(files):
            found.append(_evaluation(place, name, files))
            continue
        loose += [place / file for file in files if Path(file).suffix in KINDS]
    reports = [
        ReportFile(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime)
        for path in loose
        if path.resolve() == path and path.is_file()
    ]
    return (
        sorted(found, key=lambda one: -one.changed)[:MOST],
        sorted(reports, key=lambda one: -one.changed)[:MOST],
    )


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their files; what an evaluation keeps as data is passed over."""
    for place, folders, files in os.walk(root):
        if "config.json" in files and "data" in folders:
            folders.remove("data")
        yield Path(place), files


def _evaluation(place: Path, name: str, files: list[str]) -> Evaluation:
    path = place / "report.json"
    there = tuple(file for file in REPORTS if file in files)
    changed = path.stat().st_mtime
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        data = parse_json(path.read_text(encoding="utf-8"))
        arms = tuple(_arm(line) for line in data["headline"])
        used = [f"{b['name']} {b['split']}".strip() for b in data["config"]["benchmarks"]]
        complete = bool(data["complete"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fault = f"report.json cannot be read ({type(error).__name__})"
        return Evaluation(name, "", (), False, there, changed, fault)
    return Evaluation(name, ", ".join(used), arms, complete, there, changed)


def _arm(line: dict[str, Any]) -> Headline:
    shares = [
        None if line[key] is None else float(line[key]) for key in ("accuracy", "low", "high")
    ]
    counts = int(line["n"]), int(line["crashed"])
    return Headline(str(line["arm"]), bool(line["oracle"]), *counts, *shares)
