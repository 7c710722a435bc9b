"""``vitarmm ui``: the web page."""

from __future__ import annotations

import errno
import secrets
import socket
from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

import typer

from vitarmm_agent.cli.console import out, safe
from vitarmm_agent.cli.options import NOTHING, ROLES, Given, takes_settings
from vitarmm_agent.cli.shared import AllowHost, Host, Port
from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.redaction import keep_secret


@takes_settings(*ROLES)
def ui(
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VITARMM_UI_TOKEN",
            help="Secret that lets visitors in; it is in the printed address.",
            show_default="a new one at each start",
        ),
    ] = None,
    allow_host: AllowHost = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
    given: Given = NOTHING,
) -> None:
    """Serve the page: runs, memory, and a form to start a run. Ctrl-C stops it.

    Open the address that is printed: it holds the token that lets you in, and keeps out the other
    users of this machine.
    """
    import uvicorn

    from vitarmm_agent.memory_store.open import open_memory
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.viewer import create_app

    settings = Settings.load(**given)
    memory = None
    with suppress(WeightsError):  # runs can be looked at without an embedder
        memory = open_memory(settings)
    token = checked_token(token)
    keep_secret(token)
    listening = listen(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/?token={quote(token)}"
    out.print(safe(f"vitarmm ui at {url}"))
    if open_browser:
        import webbrowser

        webbrowser.open(url)
    app = create_app(settings, memory=memory, token=token, hosts=[host, *(allow_host or [])])
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])


def checked_token(token: str | None) -> str:
    """The token that was given, or a new one.

    Raises:
        InputError: it can be guessed, or sent in no header.
    """
    if not token:
        return secrets.token_urlsafe(24)
    if len(token) < 16 or not token.isascii() or not token.isprintable():
        raise InputError(
            f"a token needs 16 or more plain characters, got {len(token)}; leave it out to have "
            "one made"
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        InputError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        no_address = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise InputError(
            f"cannot listen on {host} port {port}: {reason}; choose another with "
            + ("--host" if no_address else "--port")
        ) from None
    return listening
