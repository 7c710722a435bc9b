"""The agent as an MCP server: its tools, and its runs and entries as resources.

Tools: ``solve``, ``resume``, ``judge``, ``explain``, ``teach``, ``recall``, ``remember``, ``forget``.
Resources: ``vitarmm://runs``, ``vitarmm://runs/{thread}``, ``vitarmm://entries/{entry_id}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from vitarmm_agent import __version__
from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.hosts import LOOPBACK
from vitarmm_agent.integrations.caller_memory import CallerMemory, recall_in_words, written_in_words
from vitarmm_agent.integrations.explain import explain as explain_result
from vitarmm_agent.integrations.own_runs import OwnRuns
from vitarmm_agent.memory_store.schema import EntryType
from vitarmm_agent.problem import Problem

try:
    from mcp.server import MCPServer
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp_types import ToolAnnotations

    from vitarmm_agent.integrations.mcp_solving import (
        CLIENT,
        add_solving,
        add_verdicts,
        or_not_found,
        told_to_client,
        written_ids,
    )
except ImportError as error:
    raise MissingExtraError("the MCP server", "mcp") from error

INSTRUCTIONS = (
    "Solves problems step by step, checks its own attempts and remembers what it learned. "
    "Use solve for a problem, explain to see why a run answered as it did."
)
MAX_BODY = 64 * 1024 * 1024
"""Bytes of an HTTP request: room for an image as a data URL."""
READS = ToolAnnotations(read_only_hint=True)


def build_mcp_server(
    agent: ReasoningAgent,
    *,
    configurable: dict[str, Any] | None = None,
    name: str = "vitarmm",
) -> MCPServer[Any]:
    """An MCP server over an agent; ``server.run("stdio")`` serves it.

    Args:
        agent: what solves, with its memory and traces. Its setting ``local_files`` lets clients name
            image files of this machine; else images must be data URLs.
        configurable: fills the memory's namespace template, for all clients of this server.
        name: what the server calls itself.
    """
    server = MCPServer[Any](name, instructions=INSTRUCTIONS, version=__version__)
    runs = OwnRuns(agent, configurable or {})
    add_solving(server, agent, runs)
    add_verdicts(server, agent, runs)
    _add_traces(server, runs)
    if agent.memory is not None:
        _add_teaching(server, agent, runs)
        _add_memory(server, CallerMemory(agent.memory, configurable or {}, writer=CLIENT))
    return server


def _add_teaching(server: MCPServer[Any], agent: ReasoningAgent, runs: OwnRuns) -> None:
    @server.tool()
    @told_to_client
    async def teach(
        solution: Annotated[
            str, Field(description="A right one: steps, a line each, then 'Answer: …'.")
        ],
        thread: Annotated[str, Field(description="The run whose problem it solves.")] = "",
        problem: Annotated[str, Field(description="The problem, where there is no run.")] = "",
    ) -> list[str]:
        """Keep a right solution; it is shown to problems of its kind. Returns ids of entries."""
        if bool(thread) == bool(problem):
            raise InputError("name a run as thread, or give a problem; one of the two")
        if thread:
            await runs.trace(thread)
        solved = thread or Problem.parse(problem)
        taught = await agent.ateach(solved, solution, by=CLIENT, configurable=runs.configurable)
        return written_ids(taught.operations)


def _add_traces(server: MCPServer[Any], own: OwnRuns) -> None:
    @server.tool(annotations=READS)
    @told_to_client
    async def explain(
        thread: Annotated[str, Field(description="The run, as solve named it.")],
    ) -> str:
        """Say why a run answered as it did, step by step."""
        return explain_result((await own.trace(thread)).result)

    @server.resource("vitarmm://runs", name="runs", mime_type="application/json")
    async def runs() -> str:
        """The newest runs: thread, problem, status and answer."""
        return _json([summary.model_dump(mode="json") for summary in await own.newest()])

    @server.resource("vitarmm://runs/{thread}", name="run", mime_type="application/json")
    @or_not_found
    async def run(thread: str) -> str:
        """The whole trace of one run."""
        return _json((await own.trace(thread)).model_dump(mode="json"))


def _add_memory(server: MCPServer[Any], caller: CallerMemory) -> None:
    @server.tool(annotations=READS)
    @told_to_client
    async def recall(
        question: Annotated[str, Field(description="The problem at hand, in its own words.")],
    ) -> str:
        """Recall what was learned on problems like this one."""
        return recall_in_words(await arun(caller.recall(question)))

    @server.tool()
    @told_to_client
    async def remember(
        content: Annotated[str, Field(description="What to do or know, one to three sentences.")],
        title: Annotated[str, Field(description="A few words.")] = "",
        applies_when: Annotated[str, Field(description="The condition under which it helps.")] = "",
        entry_type: EntryType = "insight",
        confidence: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> str:
        """Keep one lesson for later problems."""
        done = await arun(
            caller.remember(
                content,
                title=title,
                applies_when=applies_when,
                entry_type=entry_type,
                confidence=confidence,
            )
        )
        return written_in_words(done)

    @server.tool(annotations=ToolAnnotations(destructive_hint=True, idempotent_hint=True))
    @told_to_client
    async def forget(
        entry_id: Annotated[str, Field(description="Id of the entry, as recall shows it.")],
    ) -> str:
        """Delete an entry that turned out to be wrong."""
        return await arun(caller.forget(entry_id))

    @server.resource("vitarmm://entries/{entry_id}", name="entry", mime_type="application/json")
    @or_not_found
    async def entry(entry_id: str) -> str:
        """One memory entry."""
        return _json((await arun(caller.entry(entry_id))).model_dump(mode="json"))


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2)


def http_app(
    server: MCPServer[Any],
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> Any:
    """The server as an ASGI app at ``/mcp`` (streamable HTTP), also to mount in another app.

    Args:
        server: from :func:`build_mcp_server`.
        host: address it will be served at; on loopback, other Host headers are refused.
        token: what clients must send as ``Authorization: Bearer TOKEN``.
        hosts: names in the Host header that are answered besides, such as those that a proxy keeps.
        origins: web origins whose pages may use it besides.
    """
    security = None
    if host in LOOPBACK:
        own = [f"[{name}]" if ":" in name else name for name in sorted(LOOPBACK)]
        security = TransportSecuritySettings(
            allowed_hosts=[name for known in (*own, *hosts) for name in (known, f"{known}:*")],
            allowed_origins=[*(f"http://{name}:*" for name in own), *origins],
        )
    app = server.streamable_http_app(
        host=host, max_request_body_size=MAX_BODY, transport_security=security
    )
    if token:
        from vitarmm_agent.integrations.bearer import BearerToken

        app.add_middleware(BearerToken, token=token)
    return app
