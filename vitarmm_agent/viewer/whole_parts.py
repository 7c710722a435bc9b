"""Names with a slash in addresses: a client that runs the graph may call its threads anything."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

SLASH = "\ue02f"
"""Stands for a quoted slash until an address has been taken apart; no character that anybody uses."""

NAMED = (b"/runs/", b"/api/runs/", b"/memory/entry/")
"""Below these stands a name; evaluations are called by their folders, whose slashes are meant."""


class WholeParts:
    """ASGI middleware: a quoted slash is part of a name, and parts no names."""

    def __init__(self, app: ASGIApp) -> None:
        """Read addresses for ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        raw = scope.get("raw_path", b"")
        if b"%2f" in raw.lower() and raw.startswith(NAMED):
            parts = raw.decode("latin-1").partition("?")[0].split("/")
            scope = {**scope, "path": "/".join(unquote(p).replace("/", SLASH) for p in parts)}
        await self.app(scope, receive, send)


class _Whole(Convertor[str]):
    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value.replace(SLASH, "/")

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("whole", _Whole())
