"""``vitarmm mcp``: the agent as an MCP server."""

from __future__ import annotations

import gc
from typing import Annotated, Any, cast

import typer

from vitarmm_agent.cli.console import err, safe
from vitarmm_agent.cli.options import NOTHING, ROLES, Given, takes_settings
from vitarmm_agent.cli.shared import AllowHost, Fill, Host, Port
from vitarmm_agent.cli.solve import open_agent
from vitarmm_agent.errors import InputError
from vitarmm_agent.hosts import LOOPBACK
from vitarmm_agent.redaction import keep_secret


@takes_settings(*ROLES, "max_iterations")
def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Serve streamable HTTP at /mcp, instead of stdio.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VITARMM_MCP_TOKEN",
            help="Bearer token that clients must send, with --http; it is printed.",
            show_default="a new one at each start",
        ),
    ] = None,
    allow_host: AllowHost = None,
    set_: Fill = None,
    given: Given = NOTHING,
) -> None:
    """Serve the agent to MCP clients such as Claude Desktop."""
    from vitarmm_agent.cli.ui import checked_token
    from vitarmm_agent.integrations.mcp import build_mcp_server, http_app
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces.upkeep import Upkeep

    if http and host not in LOOPBACK and not token:
        raise InputError(
            f"host {host!r} can be reached by others: give a --token that clients must send, "
            "or listen at 127.0.0.1"
        )
    keep_secret(token)
    configurable = pairs(set_)
    settings = Settings.load(**given)
    agent = open_agent(settings, quiet=not http)
    server = build_mcp_server(agent, configurable=configurable)
    with Upkeep(settings, cast(Any, agent.graph.checkpointer)):
        if not http:
            server.run("stdio")
            return
        hosts = (*settings.server_hosts, *(allow_host or ()))
        token = checked_token(token)
        app = http_app(server, host=host, token=token, hosts=hosts, origins=settings.server_origins)
        _serve_http(app, host, port, token)


def _serve_http(app: Any, host: str, port: int, token: str) -> None:
    import uvicorn

    from vitarmm_agent.cli.ui import listen

    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    err.print(safe(f"vitarmm mcp at http://{shown}:{listening.getsockname()[1]}/mcp"))
    err.print(safe(f"clients send the header Authorization: Bearer {token}"))
    gc.collect()
    gc.freeze()  # a collection of all that was imported would stop the event loop for 100 ms
    uvicorn.Server(uvicorn.Config(app, log_level="info")).run(sockets=[listening])


def pairs(given: list[str] | None) -> dict[str, str]:
    """What ``--set NAME=VALUE`` sets.

    Raises:
        InputError: one is malformed.
    """
    values = {}
    for one in given or ():
        name, separator, value = one.partition("=")
        if not separator or not name.isidentifier():
            raise InputError(f"--set takes NAME=VALUE, got {one!r}")
        values[name] = value
    return values
