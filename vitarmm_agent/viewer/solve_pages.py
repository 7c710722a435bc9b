"""The form that starts a run."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.agent import new_thread
from vitarmm_agent.errors import InputError, UserError
from vitarmm_agent.media import MAX_BYTES, ImageRef, MediaStore
from vitarmm_agent.problem import Problem
from vitarmm_agent.viewer.responses import go, html, one, site, whole
from vitarmm_agent.viewer.run_pages import run_address
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.site import Site

FIELDS = ("text", "choices", "answer_type", "unit", "reference", "reasoner", "judge", "rmm",
          "feedback", "max_iterations")  # fmt: skip

MAX_GIVEN = 4_000
"""Characters of a field that an address gives."""


async def form(request: Request) -> Response:
    """The form, empty or with what its address holds."""
    given = {name: request.query_params.get(name, "")[:MAX_GIVEN] for name in FIELDS}
    return _form(request, given, "")


async def start(request: Request) -> Response:
    """Start a run, and show it live."""
    here = site(request)
    sent = await checked_form(request)
    values = {name: one(sent, name) for name in FIELDS}
    values |= {name: "yes" for name in ("human", "oracle", "no_memory") if name in sent}
    try:
        images = await _images(sent, here.media)
        problem = _problem(values, images)
        options = run_options(values, here.settings.feedback)
        if "both" in sent:
            here.memory()  # says so where it is off
    except UserError as error:
        return _form(request, values, str(error), status=400)
    if "both" not in sent:
        return go(run_address(_start(here, problem, options)))
    options.pop("memory", None)
    one_run, other = (_start(here, problem, options | more) for more in ({}, {"memory": "off"}))
    return go(f"/pair?with={one_run}&without={other}")


def _start(here: Site, problem: Problem, options: dict[str, Any]) -> str:
    """Begin a run of the problem; its thread."""
    thread, inputs = new_thread(), {"problem": problem.model_dump(mode="json")}
    here.live.start(thread, lambda: here.agent(**options), inputs, problem=problem)
    return thread


def _form(request: Request, values: dict[str, str], fault: str, *, status: int = 200) -> Response:
    settings = site(request).settings
    return html(request, "solve", status=status, values=values, fault=fault, settings=settings)


async def _images(sent: dict[str, list[object]], media: MediaStore) -> list[ImageRef]:
    """Uploaded images, stored by hash, with the names of their files."""
    images = []
    for upload in sent.get("images", []):
        if not isinstance(upload, UploadFile) or not upload.filename:
            continue
        data = await upload.read(MAX_BYTES + 1)
        name = upload.filename.replace("\\", "/").rpartition("/")[2][:200]
        try:
            kept = await asyncio.to_thread(media.put, data)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        images.append(kept.model_copy(update={"name": name}))
    return images


def _problem(values: dict[str, str], images: list[ImageRef]) -> Problem:
    fields: dict[str, Any] = {
        "text": values["text"],
        "images": [image.model_dump() for image in images],
        "choices": [line.strip() for line in values["choices"].splitlines() if line.strip()],
        "unit": values["unit"] or None,
        "reference": values["reference"] or None,
    }
    if values["answer_type"]:
        fields["answer_type"] = values["answer_type"]
    return Problem.parse(fields)


def run_options(values: dict[str, str], feedback: str) -> dict[str, Any]:
    """Settings that a form changes.

    Raises:
        InputError: a value cannot be used.
    """
    options: dict[str, Any] = {
        name: values.get(name, "").strip() for name in ("reasoner", "judge", "rmm", "feedback")
    }
    options["max_iterations"] = whole(
        values.get("max_iterations", ""), "attempts at most", low=1, high=100
    )
    if values.get("human"):
        named = options["feedback"] or feedback
        options["feedback"] = named if "human" in named.split(",") else f"{named},human"
    if values.get("oracle"):
        if not values.get("reference"):
            raise InputError("an oracle run needs the gold answer: fill in the reference")
        options["oracle"] = True
    if values.get("no_memory"):
        options["memory"] = "off"
    return {name: value for name, value in options.items() if value not in (None, "")}


def model_options(sent: dict[str, list[object]]) -> dict[str, Any]:
    """Models that a smaller form names."""
    named = {name: one(sent, name).strip() for name in ("reasoner", "judge", "rmm", "feedback")}
    try:
        return run_options({**named, "max_iterations": one(sent, "max_iterations")}, "")
    except ValidationError as error:
        raise InputError(str(error)) from None
