"""Whose memory a page shows: its address names the namespace, and every link and form keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.memory_store.namespaces import parse_namespace, written_namespace
from vitarmm_agent.viewer.responses import address, html, site

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory

ASKED = "namespace"


async def asked_memory(request: Request) -> ReasoningMemory:
    """The memory of the namespace that the address names; default: that of the settings.

    Raises:
        InputError: memory is off, or the namespace cannot be used.
    """
    memory = await asyncio.to_thread(site(request).memory)
    asked = request.query_params.get(ASKED, "")
    return memory.with_namespace(parse_namespace(asked)) if asked else memory


def of_namespace(namespaces: Iterable[Sequence[str]], own: Sequence[str]) -> str:
    """What the address of an entry that runs were shown ends in: nothing for the server's own memory."""
    told = {tuple(name) for name in namespaces if name}
    if len(told) != 1 or told == {tuple(own)}:
        return ""
    return f"?{urlencode({ASKED: written_namespace(told.pop())})}"


def memory_address(request: Request, *parts: str, **query: object) -> str:
    """An address below ``/memory`` that stays with the namespace; what is empty is left out."""
    said = {ASKED: request.query_params.get(ASKED, ""), **query}
    kept = urlencode({name: value for name, value in said.items() if value not in ("", None)})
    return address("memory", *parts) + (f"?{kept}" if kept else "")


def memory_page(request: Request, memory: ReasoningMemory, name: str, **context: Any) -> Response:
    """A page about ``memory``."""
    asked = request.query_params.get(ASKED, "")

    def to(*parts: str, **query: object) -> str:
        return memory_address(request, *parts, **query)

    return html(
        request,
        name,
        memory=memory,
        whose=written_namespace(memory.namespace),
        asked=asked,
        of_namespace=f"?{urlencode({ASKED: asked})}" if asked else "",
        to=to,
        **context,
    )
