"""The agent as an MCP server: its tools, and its runs and entries as resources.

Tools: ``solve``, ``resume``, ``explain``, ``recall``, ``remember``, ``forget``.
Resources: ``vitarmm://runs``, ``vitarmm://runs/{thread}``, ``vitarmm://entries/{entry_id}``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from pydantic import BaseModel, Field, ValidationError

from vitarmm_agent import __version__
from vitarmm_agent.agent import ReasoningAgent, new_thread
from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError, MissingExtraError, ModelError, UserError
from vitarmm_agent.hosts import LOOPBACK
from vitarmm_agent.integrations.caller_memory import CallerMemory, recall_in_words, written_in_words
from vitarmm_agent.integrations.explain import explain as explain_result
from vitarmm_agent.integrations.own_runs import OwnRuns
from vitarmm_agent.memory_store.schema import EntryType
from vitarmm_agent.nodes.events import Event
from vitarmm_agent.problem import Problem, Result, Status

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
    from mcp.server.transport_security import TransportSecuritySettings
    from mcp_types import ToolAnnotations
except ImportError as error:
    raise MissingExtraError("the MCP server", "mcp") from error

INSTRUCTIONS = (
    "Solves problems step by step, checks its own attempts and remembers what it learned. "
    "Use solve for a problem, explain to see why a run answered as it did."
)
STAGES = {
    "recalled": 1,
    "attempt_token": 2,
    "verdict": 3,
    "written": 4,
    "taught": 4,
    "stopped_because": 4,
}
MAX_BODY = 64 * 1024 * 1024
"""Bytes of an HTTP request: room for an image as a data URL."""
READS = ToolAnnotations(read_only_hint=True)
P = ParamSpec("P")
T = TypeVar("T")


class Solved(BaseModel):
    """What ``solve`` and ``resume`` answer with.

    Attributes:
        thread: name of the run; ``explain`` takes it, and ``resume`` when it did not finish.
    """

    answer: str | None
    status: Status
    stopped_because: str
    thread: str
    attempts: int
    recalled: list[str]
    written: list[str]


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
    _add_solving(server, agent, runs)
    _add_traces(server, runs)
    if agent.memory is not None:
        _add_memory(server, CallerMemory(agent.memory, configurable or {}, writer="MCP client"))
    return server


def _add_solving(server: MCPServer[Any], agent: ReasoningAgent, runs: OwnRuns) -> None:
    iterations = agent.settings.max_iterations

    @server.tool()
    @_told
    async def solve(
        problem: Annotated[str, Field(description="The problem in full.")],
        ctx: Context[Any, Any],
        images: Annotated[
            list[str] | None, Field(description="Images as data URLs, or paths where allowed.")
        ] = None,
        choices: Annotated[
            list[str] | None, Field(description="Options of a multiple-choice problem, in order.")
        ] = None,
    ) -> Solved:
        """Solve one problem and say what the answer rests on; reports progress."""
        fields = {"text": problem, "images": images or [], "choices": choices or []}
        _refuse_files(fields["images"], agent.settings.local_files)
        parsed, thread = Problem.parse(fields), new_thread()
        events = agent.astream(
            parsed, thread_id=thread, stream_mode="custom", configurable=runs.configurable
        )
        await _report(ctx, events, iterations)
        return _solved(await agent.aresult(thread))

    @server.tool()
    @_told
    async def resume(
        thread: Annotated[str, Field(description="The run to go on with.")],
        verdict: Annotated[
            Literal["pass", "fail"] | None,
            Field(description="Your verdict, when the run waits for one."),
        ] = None,
        message: Annotated[str, Field(description="Grounds for the verdict.")] = "",
        step: Annotated[int | None, Field(description="Number of the wrong step.")] = None,
    ) -> Solved:
        """Go on with a run that was cut off or waits for a person's verdict."""
        reply = {"verdict": verdict, "message": message, "step": step} if verdict else None
        await runs.trace(thread)
        resumed = await agent.aresume(thread, reply, configurable=runs.configurable)
        return _solved(resumed)


def _add_traces(server: MCPServer[Any], own: OwnRuns) -> None:
    @server.tool(annotations=READS)
    @_told
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
    @_found
    async def run(thread: str) -> str:
        """The whole trace of one run."""
        return _json((await own.trace(thread)).model_dump(mode="json"))


def _add_memory(server: MCPServer[Any], caller: CallerMemory) -> None:
    @server.tool(annotations=READS)
    @_told
    async def recall(
        question: Annotated[str, Field(description="The problem at hand, in its own words.")],
    ) -> str:
        """Recall what was learned on problems like this one."""
        return recall_in_words(await arun(caller.recall(question)))

    @server.tool()
    @_told
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
    @_told
    async def forget(
        entry_id: Annotated[str, Field(description="Id of the entry, as recall shows it.")],
    ) -> str:
        """Delete an entry that turned out to be wrong."""
        return await arun(caller.forget(entry_id))

    @server.resource("vitarmm://entries/{entry_id}", name="entry", mime_type="application/json")
    @_found
    async def entry(entry_id: str) -> str:
        """One memory entry."""
        return _json((await arun(caller.entry(entry_id))).model_dump(mode="json"))


async def _report(ctx: Context[Any, Any], events: AsyncIterator[Event], iterations: int) -> None:
    """Report progress as ``stage of all stages``; a client that leaves ends the run here."""
    total = iterations * 4
    last: tuple[int, str] | None = None
    async with aclosing(events) as open_events:  # type: ignore[type-var]
        async for event in open_events:
            here = (event["iteration"], event["event"])
            if here == last:
                continue
            last = here
            done = total if here[1] == "stopped_because" else (here[0] - 1) * 4 + STAGES[here[1]]
            await ctx.report_progress(done, total, _progress_message(event))


def _progress_message(event: Event) -> str:
    match event["event"]:
        case "recalled":
            return f"iteration {event['iteration']}: recalled {len(event['entries'])} entries"
        case "attempt_token":
            return f"iteration {event['iteration']}: the model is answering"
        case "verdict":
            return f"iteration {event['iteration']}: {event['verdict']} ({event['source']})"
        case "written":
            return f"iteration {event['iteration']}: {len(event['operations'])} memory changes"
        case "taught":
            return f"taught by {event['by']}"
        case "stopped_because":
            return event["reason"]


def _solved(result: Result) -> Solved:
    return Solved(
        answer=result.answer,
        status=result.status,
        stopped_because=result.stopped_because,
        thread=result.thread_id,
        attempts=len(result.attempts),
        recalled=[r["entry"]["id"] for recall in result.recalled for r in recall["entries"]],
        written=[done["entry_id"] for record in result.written for done in record["operations"]],
    )


def _refuse_files(images: Any, local_files: bool) -> None:
    if not local_files and any(image[:5].lower() != "data:" for image in images):
        raise InputError("this server reads no files; pass each image as a data: URL")


def _told(tool: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Tell the client what went wrong, when it is not a bug of ours."""

    @wraps(tool)
    async def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except (UserError, ModelError) as error:
            raise ToolError(str(error)) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    return told


def _found(resource: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(resource)
    async def found(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await resource(*args, **kwargs)
        except UserError as error:
            raise ResourceNotFoundError(str(error)) from error

    return found


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
