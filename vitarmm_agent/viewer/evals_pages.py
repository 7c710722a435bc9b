"""Reports of evaluations: the files under ``DATA_DIR/evaluations``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vitarmm_agent.viewer.responses import html, site

KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json",
         ".md": "text/plain; charset=utf-8"}  # fmt: skip
MOST = 500
# A report is a page of its own, from a file: it may style itself, but not run or fetch anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class Report(NamedTuple):
    """A file that an evaluation wrote."""

    name: str
    bytes: int
    changed: float


async def evaluations(request: Request) -> Response:
    """List the reports, newest first."""
    found = await asyncio.to_thread(_reports, folder(request))
    return html(request, "evaluations", reports=found, folder=str(folder(request)))


async def report(request: Request) -> Response:
    """One report, as the file is."""
    name = request.path_params["name"]
    found = await asyncio.to_thread(_reports, folder(request))
    if name not in {known.name for known in found}:
        raise HTTPException(404, "there is no such report")
    path = folder(request) / name
    download = "download" in request.query_params
    return FileResponse(
        path,
        media_type=KINDS[path.suffix],
        filename=path.name if download else None,
        headers={"content-security-policy": POLICY},
    )


def folder(request: Request) -> Path:
    """Where evaluations write their reports."""
    return site(request).settings.data_dir / "evaluations"


def _reports(where: Path) -> list[Report]:
    root = where.resolve()
    files = [
        path
        for path in (root.rglob("*") if root.is_dir() else ())
        if path.suffix in KINDS and path.is_file() and path.resolve().is_relative_to(root)
    ]
    reports = [
        Report(path.relative_to(root).as_posix(), path.stat().st_size, path.stat().st_mtime)
        for path in files
    ]
    return sorted(reports, key=lambda found: -found.changed)[:MOST]
