"""What stands between the page and the rest of the web.

* The Host header must name this server, so that another site cannot reach it by rebinding its name.
* A token is needed: once in the address, then as a cookie, or as a bearer token.
* Every change is a POST with a CSRF token bound to the session cookie, from this very origin.
* The Content-Security-Policy allows nothing but this server's own files.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitarmm_agent.hosts import LOOPBACK, bearer_token, host_name, is_address, is_own_origin
from vitarmm_agent.problem import MAX_IMAGES

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request: room for two of the largest images, or for many of the usual size."""
SESSION, TOKEN = "vitarmm_session", "vitarmm_token"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware that lets through only requests meant for this server."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], token: str | None) -> None:
        """Guard ``app``; ``hosts`` are accepted besides loopback names."""
        self.app = app
        self.hosts = LOOPBACK | {host.lower() for host in hosts}
        self.token = token
        self.cookie = f"{TOKEN}_{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"
        self._secret = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = read_cookies(headers.get("cookie", ""))
        session = cookies.get(SESSION, "")
        fresh = len(session) < 32
        if fresh:
            session = secrets.token_urlsafe(32)
        scope.setdefault("state", {})["csrf"] = self.csrf(session)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    sent.setdefault(name, value)
                if fresh:
                    sent.append("set-cookie", _cookie(SESSION, session))
            await send(message)

        refusal = self._refusal(scope, headers, cookies)
        await (refusal or self.app)(scope, bounded(receive), sealed)

    def csrf(self, session: str) -> str:
        """The token that forms of this session carry."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def _refusal(self, scope: Scope, headers: Headers, cookies: dict[str, str]) -> Response | None:
        host = headers.get("host", "")
        if not self._served(host_name(host)):
            return PlainTextResponse(
                f"Host {host[:100]!r} is not served here; start with --allow-host NAME\n", 421
            )
        own = is_own_origin(headers.get("origin"), headers.get("sec-fetch-site"), host)
        if scope["method"] not in ("GET", "HEAD") and not own:
            return PlainTextResponse("this request comes from another site\n", 403)
        if self.token is None or self._shown(headers, cookies):
            return None
        return self._first_visit(scope)

    def _served(self, name: str) -> bool:
        """A name that was given; beyond loopback any bare address, which no rebinding can fake."""
        return name in self.hosts or (self.token is not None and is_address(name))

    def _shown(self, headers: Headers, cookies: dict[str, str]) -> bool:
        bearer = bearer_token(headers.get("authorization", ""))
        return any(
            _equal(given, self.token or "") for given in (cookies.get(self.cookie, ""), bearer)
        )

    def _first_visit(self, scope: Scope) -> Response:
        """A token in the address becomes a cookie, and leaves the address."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for name, value in query if name == "token"), "")
        if scope["method"] != "GET" or not _equal(given, self.token or ""):
            return PlainTextResponse(
                "a token is needed: open the address vitarmm ui printed\n", 401
            )
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        path = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        response.headers.append("set-cookie", _cookie(self.cookie, given))
        return response


def bounded(receive: Receive) -> Receive:
    """Stops reading a request that is larger than any form: nothing more of it is kept or written.

    Raises:
        HTTPException: there are more than 64 MiB (413).
    """
    read = 0

    async def part() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY:
            raise HTTPException(413, f"a form may have {MAX_BODY // 2**20} MiB; send less")
        return message

    return part


async def checked_form(request: Request) -> dict[str, list[object]]:
    """The form of a POST whose CSRF token is right: name → values, text or uploads.

    Raises:
        HTTPException: the token is missing or wrong (403).
    """
    form = await request.form(max_files=MAX_IMAGES, max_fields=400, max_part_size=2 * 1024 * 1024)
    if not _equal(str(form.get("csrf", "")), request.state.csrf):
        raise HTTPException(403, "the form is out of date: reload the page and send it again")
    values: dict[str, list[object]] = {}
    for name, value in form.multi_items():
        values.setdefault(name, []).append(value)
    return values


def read_cookies(header: str) -> dict[str, str]:
    """Cookies of a request; a malformed header has none."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _equal(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _cookie(name: str, value: str) -> str:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
