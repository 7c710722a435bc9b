"""What stands before the LangGraph server's own routes: no other web site may use them.

The server answers any origin by default, and runs what a form of any page posts to it.
``langgraph.json`` names :data:`app`, whose middleware comes before all else: it refuses requests of
other sites and names, and lets in the origins that ``VITARMM_SERVER_ORIGINS`` names, such as LangGraph
Studio's. It asks no one who they are: that is for the server's own authentication.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, Response

from vitarmm_agent.hosts import LOOPBACK, host_name, is_address, is_own_origin
from vitarmm_agent.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

IN_PROCESS = "/noauth"
"""The root path under which LangGraph's SDK reaches the server from within it; no request from
outside has one."""


class OwnOrigin:
    """ASGI middleware that refuses what another web site sends."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings | None = None,
        refuse: Callable[[str, int], Response] = PlainTextResponse,
    ) -> None:
        """Guard ``app``; the settings are read on the first request when not given.

        ``refuse`` makes the answer to a request of another site or name.
        """
        self.app = app
        self._refuse = refuse
        self._settings = settings
        self._shared: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] not in ("http", "websocket") or scope.get("root_path") == IN_PROCESS:
            await self.app(scope, receive, send)
            return
        if self._settings is None:
            self._settings = await asyncio.to_thread(Settings.load)
        settings = self._settings
        headers = Headers(scope=scope)
        origin, host = headers.get("origin"), headers.get("host", "")
        known = LOOPBACK | {name.lower() for name in settings.server_hosts}
        if not (host_name(host) in known or is_address(host_name(host))):
            words = f"Host {host[:100]!r} is not served here; see VITARMM_SERVER_HOSTS\n"
            await self._refuse(words, 421)(scope, receive, send)
        elif origin in settings.server_origins:
            await self._cors(settings)(scope, receive, send)
        elif not is_own_origin(origin, headers.get("sec-fetch-site"), host):
            words = "this request comes from another site; see VITARMM_SERVER_ORIGINS\n"
            await self._refuse(words, 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _cors(self, settings: Settings) -> ASGIApp:
        """The same app, for origins that were allowed: their pages may read what it answers."""
        if self._shared is None:
            self._shared = CORSMiddleware(
                self.app,
                allow_origins=settings.server_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["x-pagination-total", "x-pagination-next", "content-location"],
            )
        return self._shared


app = Starlette(middleware=[Middleware(OwnOrigin)])
"""Has no route of its own."""
