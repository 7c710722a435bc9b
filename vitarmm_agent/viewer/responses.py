"""How handlers answer, and read what they are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from vitarmm_agent.errors import InputError
from vitarmm_agent.viewer.render import page
from vitarmm_agent.viewer.site import Site


def site(request: Request) -> Site:
    """What requests share."""
    shared: Site = request.app.state.site
    return shared


def html(request: Request, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page; a fragment of it when only that was asked for."""
    common = {
        "csrf": getattr(request.state, "csrf", ""),
        "section": request.url.path.split("/")[1],
        "path": request.url.path,
        "query": dict(request.query_params),
        "done": request.query_params.get("done", ""),
        "undo": request.query_params.get("undo", ""),
    }
    text = page(name, **common | context)
    return HTMLResponse(text, status, headers={"cache-control": "no-store", "vary": "X-Fragment"})


def fragment_wanted(request: Request) -> bool:
    """Whether a script asks for a part of the page only."""
    return request.headers.get("x-fragment") == "1"


def go(path: str) -> Response:
    """Look at another page after a change."""
    return RedirectResponse(path, 303)


def address(*parts: str) -> str:
    """A path of this server from its parts, each quoted whole."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def attached(name: str) -> dict[str, str]:
    """Headers of a file to keep, under this name as far as every disk takes it."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    return {"content-disposition": f'attachment; filename="{plain}"'}


def one(form: dict[str, list[object]], name: str, default: str = "") -> str:
    """The text of a field."""
    value = form.get(name, [default])[0]
    return value.replace("\r\n", "\n") if isinstance(value, str) else default


def whole(text: str, name: str, *, low: int = 0, high: int = 10_000_000) -> int | None:
    """A whole number of a form or address; None for "".

    Raises:
        InputError: it is none, or out of range.
    """
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not low <= int(text) <= high:
        raise InputError(f"{name} must be a whole number from {low} to {high}, got {text!r}")
    return int(text)


def pager(request: Request) -> Callable[..., str]:
    """Addresses of this list's other pages, with other values of its query where they are given."""

    def to(page: int, **changes: object) -> str:
        query = {**request.query_params, **changes, "page": page if page > 1 else ""}
        kept = urlencode({name: value for name, value in query.items() if value != ""})
        return request.url.path + (f"?{kept}" if kept else "")

    return to
