"""A memory as a file: taken along, and taken in."""

from __future__ import annotations

import io
from typing import cast

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.transfer import Conflict
from vitarmm_agent.viewer.responses import attached, one
from vitarmm_agent.viewer.security import MAX_BODY, checked_form
from vitarmm_agent.viewer.whose_memory import asked_memory, memory_page


async def export(request: Request) -> Response:
    """All entries as JSON Lines, as ``vitarmm memory export`` writes them."""
    memory = await asked_memory(request)
    lines = io.StringIO()
    await memory.aexport(lines)
    name = "-".join(("memory", *memory.namespace))
    return Response(
        lines.getvalue(), media_type="application/jsonl", headers=attached(f"{name}.jsonl")
    )


async def import_form(request: Request) -> Response:
    """Choose a file."""
    return await _form(request)


async def import_(request: Request) -> Response:
    """Take in a file, as ``vitarmm memory import`` does, and say what became of it."""
    memory = await asked_memory(request)
    form = await checked_form(request)
    upload, on_conflict = form.get("file", [None])[0], one(form, "on_conflict", "fail")
    file = getattr(upload, "file", None)
    keep_good, trust = "keep_good" in form, "trust" in form
    values = {"on_conflict": on_conflict, "keep_good": keep_good, "trust": trust}
    try:
        if file is None or not getattr(upload, "filename", ""):
            raise InputError("choose a file of JSON Lines")
        report = await memory.aimport_(
            io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape"),
            keep_good=keep_good,
            on_conflict=cast(Conflict, on_conflict),  # which is checked there
            trust=trust,
        )
    except InputError as error:
        page = await _form(request, values=values, fault=error)
        page.status_code = 400
        return page
    return await _form(request, values=values, report=report)


async def _form(request: Request, **context: object) -> Response:
    memory = await asked_memory(request)
    shown = {"values": {}, "fault": "", "report": None, "mega": MAX_BODY // 2**20} | context
    return memory_page(request, memory, "memory_import", **shown)
