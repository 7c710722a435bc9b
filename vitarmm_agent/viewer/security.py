"""What stands between the page and the rest of the web.

* The Host header must name this server, so that another site cannot reach it by rebinding its name.
* Beyond loopback a token is needed: once in the address, then as a cookie, or as a bearer token.
* Every change is a POST with a CSRF token bound to the session cookie, from this very origin.
* The Content-Security-Policy allows nothing but this server's own files.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
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
        await (refusal or self.app)(scope, receive, sealed)

    def csrf(self, session: str) -> str:
        """The token that forms of this session carry."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def _refusal(self, scope: Scope, headers: Headers, cookies: dict[str, str]) -> Response | None:
        host = headers.get("host", "")
        if not self._served(host_name(host)):
            return PlainTextResponse(
                f"Host {host[:100]!r} is not served here; start with --allow-host NAME\n", 421
            )
        if scope["method"] not in ("GET", "HEAD") and not _same_origin(headers, host):
            return PlainTextResponse("this request comes from another site\n", 403)
        if self.token is None or self._shown(headers, cookies):
            return None
        return self._first_visit(scope)

    def _served(self, name: str) -> bool:
        """A name that was given; beyond loopback any bare address, which no rebinding can fake."""
        return name in self.hosts or (self.token is not None and is_address(name))

    def _shown(self, headers: Headers, cookies: dict[str, str]) -> bool:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return any(_equal(given, self.token or "") for given in (cookies.get(TOKEN, ""), bearer))

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
        response.headers.append("set-cookie", _cookie(TOKEN, given))
        return response


async def checked_form(request: Request) -> dict[str, list[object]]:
    """The form of a POST whose CSRF token is right: name → values, text or uploads.

    Raises:
        HTTPException: the token is missing or wrong (403).
    """
    form = await request.form(max_files=32, max_fields=400, max_part_size=2 * 1024 * 1024)
    if not _equal(str(form.get("csrf", "")), request.state.csrf):
        raise HTTPException(403, "the form is out of date: reload the page and send it again")
    values: dict[str, list[object]] = {}
    for name, value in form.multi_items():
        values.setdefault(name, []).append(value)
    return values


def host_name(host: str) -> str:
    """Name in a Host header, without port or brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def is_address(name: str) -> bool:
    """Whether a host name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def read_cookies(header: str) -> dict[str, str]:
    """Cookies of a request; a malformed header has none."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in jar.items()}


def _same_origin(headers: Headers, host: str) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == host


def _equal(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _cookie(name: str, value: str) -> str:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict"
