"""``vitarmm serve``: the agent as an OpenAI-compatible server."""

from __future__ import annotations

import gc
import os
from typing import Annotated, Any

import typer

from vitarmm_agent.cli.console import err, safe
from vitarmm_agent.cli.mcp import pairs
from vitarmm_agent.cli.options import NOTHING, ROLES, Given, takes_settings
from vitarmm_agent.cli.shared import AllowHost, Fill, Host, Port
from vitarmm_agent.cli.solve import open_agent
from vitarmm_agent.cli.ui import checked_token, listen
from vitarmm_agent.errors import InputError
from vitarmm_agent.hosts import LOOPBACK
from vitarmm_agent.integrations.chat_api import RUNS_PER_CLIENT
from vitarmm_agent.redaction import keep_secret

KEY = "VITARMM_API_KEY"


@takes_settings(*ROLES, "max_iterations", "base_url")
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8766,
    api_key_env: Annotated[
        str,
        typer.Option(
            help="Environment variable with the key that clients must send; if it is empty, a key is made."
        ),
    ] = KEY,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Let in every user of this machine; at 127.0.0.1 only.")
    ] = False,
    allow_host: AllowHost = None,
    set_: Fill = None,
    runs_per_client: Annotated[
        int,
        typer.Option(min=1, help="Runs that one client may have under way; more are refused: 429."),
    ] = RUNS_PER_CLIENT,
    given: Given = NOTHING,
) -> None:
    """Serve the agent at /v1 to any client of OpenAI's chat completions. Ctrl-C stops it."""
    import uvicorn

    from vitarmm_agent.integrations.chat_api.app import create_chat_app
    from vitarmm_agent.settings import Settings

    key, configurable = _key(api_key_env, host, no_key), pairs(set_)
    keep_secret(key)
    settings = Settings.load(**given)
    hosts = (*settings.server_hosts, *(allow_host or ()), *([host] if host not in LOOPBACK else []))
    agent = open_agent(settings.model_copy(update={"server_hosts": hosts}), quiet=False)
    app = create_chat_app(
        agent, api_key=key, configurable=configurable, runs_per_client=runs_per_client
    )
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    err.print(safe(f"vitarmm serve at http://{shown}:{listening.getsockname()[1]}/v1"))
    err.print(safe(f"clients send the API key {key}" if key else "clients need no API key"))
    gc.collect()
    gc.freeze()  # a collection of all that was imported would stop the event loop for 100 ms
    config: Any = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])


def _key(variable: str, host: str, no_key: bool) -> str | None:
    """The key that clients must send; None where none is needed.

    Raises:
        InputError: others can reach the server without one, or the variable that was named is empty.
    """
    found = os.environ.get(variable, "")
    if no_key:
        if host not in LOOPBACK:
            raise InputError(
                f"host {host!r} can be reached by others: leave out --no-key, or listen at 127.0.0.1"
            )
        return None
    if not found and variable != KEY:
        raise InputError(f"--api-key-env names {variable!r}, which is not set or empty; set it")
    return checked_token(found or None)
