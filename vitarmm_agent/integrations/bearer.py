"""An ASGI middleware that lets in only who knows a token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

from vitarmm_agent.hosts import bearer_token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class BearerToken:
    """Answers 401 unless a request carries ``Authorization: Bearer TOKEN``, the scheme in any case."""

    def __init__(
        self, app: ASGIApp, token: str, refuse: Callable[[str, int], Response] | None = None
    ) -> None:
        """Guard ``app`` with ``token``; ``refuse`` makes the answer to who does not know it."""
        self.app = app
        self._refuse = refuse or _plainly
        self._expected = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "http":
            given = bearer_token(Headers(scope=scope).get("authorization", ""))
            if not hmac.compare_digest(given.encode(), self._expected):
                refusal = self._refuse("missing or wrong bearer token", 401)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _plainly(words: str, status: int) -> Response:
    return PlainTextResponse(words, status, {"WWW-Authenticate": "Bearer"})
