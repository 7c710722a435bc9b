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
from vitarmm_agent.settings import Settings
from vitarmm_agent.viewer.responses import go, html, one, site, whole
from vitarmm_agent.viewer.run_pages import run_address
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.site import ROLES, Site
from vitarmm_agent.weights import CATALOG, installed

MODELS = (*ROLES, "feedback")
FIELDS = ("text", "choices", "answer_type", "unit", "reference", *MODELS, "max_iterations")
TICKS = ("human", "oracle", "no_memory")
MAX_GIVEN = 4_000
"""Characters of a field that an address gives."""
MAX_NAME = 200


async def form(request: Request) -> Response:
    """The form: empty, with what its address holds, or as a run was asked that is asked again."""
    if thread := request.query_params.get("again", ""):
        return await _form(request, *await _as_asked(site(request), thread))
    given = {name: request.query_params.get(name, "")[:MAX_GIVEN] for name in FIELDS}
    return await _form(request, given, [])


async def start(request: Request) -> Response:
    """Start a run, and show it live; what cannot be used is shown again, with its images."""
    here = site(request)
    sent = await checked_form(request)
    values = {name: one(sent, name) for name in FIELDS}
    values |= {name: "yes" for name in TICKS if name in sent}
    images: list[ImageRef] = []
    try:
        await _images(sent, here.media, images)
        problem = _problem(values, images)
        options = run_options(values, here.settings.feedback)
        here.check(options)
        if "both" in sent:
            here.memory()  # says so where it is off
    except UserError as error:
        return await _form(request, values, images, str(error), status=400)
    if "both" not in sent:
        return go(run_address(_start(here, problem, options)))
    options.pop("memory", None)
    one_run, other = (_start(here, problem, options | more) for more in ({}, {"memory": "off"}))
    return go(f"/pair?with={one_run}&without={other}")


def _start(here: Site, problem: Problem, options: dict[str, Any]) -> str:
    """Begin a run of the problem; its thread."""
    thread, inputs = new_thread(), {"problem": problem.model_dump(mode="json")}
    here.live.start(thread, lambda: here.agent(**options), inputs, problem=problem, options=options)
    return thread


async def _as_asked(here: Site, thread: str) -> tuple[dict[str, str], list[ImageRef]]:
    """What a run was asked, and with which models, as the form takes it.

    Raises:
        InputError: there is no such run.
    """
    live = here.live.live(thread)
    try:
        trace = await here.trace(thread)
        problem, settings = trace.result.problem, trace.settings
    except InputError:
        if live is None or live.problem is None:
            raise
        problem, settings = live.problem, live.options
    values = {name: str(settings.get(name) or "") for name in (*MODELS, "max_iterations")}
    values |= {
        "text": problem.text,
        "choices": "\n".join(problem.choices),
        "answer_type": problem.answer_type if problem.answer_type != "text" else "",
        "unit": problem.unit or "",
        "reference": "" if problem.reference is None else str(problem.reference),
        "oracle": "yes" if settings.get("oracle") else "",
        "no_memory": "yes" if settings.get("memory") == "off" else "",
    }
    return values, [image for image in problem.images if image.sha256]


async def _form(
    request: Request,
    values: dict[str, str],
    images: list[ImageRef],
    fault: str = "",
    *,
    status: int = 200,
) -> Response:
    here = site(request)
    return html(
        request,
        "solve",
        status=status,
        values=values,
        images=images,
        fault=fault,
        settings=here.settings,
        models=await asyncio.to_thread(models_there, here.settings),
    )


def models_there(settings: Settings) -> list[str]:
    """Specs that can be chosen: those of the settings, local weights that are here, what is allowed."""
    own = [spec for role in ROLES if (spec := getattr(settings, role))]
    pulled = [f"local:{w.name}" for w in installed(settings.home) if CATALOG[w.name].kind == "chat"]
    allowed = [spec for spec in settings.page_models if spec != "*"]
    return list(dict.fromkeys([*own, *pulled, *allowed]))


async def _images(sent: dict[str, list[object]], media: MediaStore, images: list[ImageRef]) -> None:
    """Add those that were sent before and kept, and uploads, stored by hash, to ``images``."""
    for value in sent.get("kept", []):
        sha256, _, name = str(value).partition(" ")
        data, _ = await asyncio.to_thread(media.read, sha256)
        kept = await asyncio.to_thread(media.put, data)
        images.append(kept.model_copy(update={"name": name[:MAX_NAME]}))
    for upload in sent.get("images", []):
        if not isinstance(upload, UploadFile) or not upload.filename:
            continue
        data = await upload.read(MAX_BYTES + 1)
        name = upload.filename.replace("\\", "/").rpartition("/")[2][:MAX_NAME]
        try:
            kept = await asyncio.to_thread(media.put, data)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        images.append(kept.model_copy(update={"name": name}))


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
    options: dict[str, Any] = {name: values.get(name, "").strip() for name in MODELS}
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
    named = {name: one(sent, name).strip() for name in MODELS}
    try:
        return run_options({**named, "max_iterations": one(sent, "max_iterations")}, "")
    except ValidationError as error:
        raise InputError(str(error)) from None


async def settings_page(request: Request) -> Response:
    """What this server was started with, without secrets."""
    settings = site(request).settings
    chosen = settings.public(only_set=True)
    defaults = {k: v for k, v in settings.public().items() if k not in chosen}
    models = await asyncio.to_thread(models_there, settings)
    return html(request, "settings", chosen=chosen, defaults=defaults, models=models)
