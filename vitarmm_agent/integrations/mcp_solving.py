"""The MCP tools that run: ``solve``, ``resume`` and ``judge``, and how errors are told to clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import InputRequiredResult, ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

from vitarmm_agent.agent import ReasoningAgent, new_thread
from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError, ModelError, UserError
from vitarmm_agent.integrations.mcp_elicit import answered, ask, can_ask
from vitarmm_agent.integrations.own_runs import OwnRuns
from vitarmm_agent.nodes.events import Event
from vitarmm_agent.problem import Problem, Status
from vitarmm_agent.result import Result

if TYPE_CHECKING:
    from mcp.server import MCPServer

STAGES = {
    "recalled": 1,
    "attempt_token": 2,
    "verdict": 3,
    "written": 4,
    "taught": 4,
    "stopped_because": 4,
}
CLIENT = "MCP client"
"""Who is named where a client says or writes something."""
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


class Judged(BaseModel):
    """What ``judge`` answers with: what the verdict came to.

    Attributes:
        counted_for: ids of the entries for which it is counted.
        taken_back: ids of the entries that an earlier verdict had changed.
        written: ids of the entries that were written on it.
    """

    thread: str
    status: Status
    counted_for: list[str] = []
    taken_back: list[str] = []
    written: list[str] = []
    note: str = ""


def add_solving(server: MCPServer[Any], agent: ReasoningAgent, runs: OwnRuns) -> None:
    """Add ``solve`` and ``resume``."""
    iterations = agent.settings.max_iterations

    @server.tool()
    @told_to_client
    async def solve(
        problem: Annotated[str, Field(description="The problem in full.")],
        ctx: Context[Any, Any],
        images: Annotated[
            list[str] | None, Field(description="Images as data URLs, or paths where allowed.")
        ] = None,
        choices: Annotated[
            list[str] | None, Field(description="Options of a multiple-choice problem, in order.")
        ] = None,
    ) -> Solved | InputRequiredResult:
        """Solve one problem and say what the answer rests on; reports progress."""
        if ctx.request_state is not None:
            return await _answered(ctx, agent, runs)
        fields = {"text": problem, "images": images or [], "choices": choices or []}
        _refuse_files(fields["images"], agent.settings.local_files)
        parsed, thread = Problem.parse(fields), new_thread()
        events = agent.astream(
            parsed, thread_id=thread, stream_mode="custom", configurable=runs.configurable
        )
        await _report(ctx, events, iterations)
        return await _with_a_person(ctx, agent, runs, thread)

    @server.tool()
    @told_to_client
    async def resume(
        thread: Annotated[str, Field(description="The run to go on with.")],
        ctx: Context[Any, Any],
        verdict: Annotated[
            Literal["pass", "fail", "abstain"] | None,
            Field(description="Your verdict, when the run waits for one."),
        ] = None,
        message: Annotated[str, Field(description="Grounds for the verdict.")] = "",
        step: Annotated[int | None, Field(description="Number of the wrong step.")] = None,
    ) -> Solved | InputRequiredResult:
        """Go on with a run that was cut off or waits for a person's verdict."""
        if ctx.request_state is not None:
            return await _answered(ctx, agent, runs)
        reply = {"verdict": verdict, "message": message, "step": step} if verdict else None
        waits = (await runs.trace(thread)).waiting_for
        if not waits or reply is not None or not can_ask(ctx):
            await agent.aresume(thread, reply, configurable=runs.configurable)
        return await _with_a_person(ctx, agent, runs, thread)


async def _with_a_person(
    ctx: Context[Any, Any], agent: ReasoningAgent, runs: OwnRuns, thread: str
) -> Solved | InputRequiredResult:
    """What a run came to; while it waits for a person, one is asked, where the client can."""
    trace = await runs.trace(thread)
    while trace.waiting_for and can_ask(ctx):
        said = await ask(ctx, trace)
        if isinstance(said, InputRequiredResult):
            return said
        if said is None:
            break
        await agent.aresume(thread, said, configurable=runs.configurable)
        trace = await runs.trace(thread)
    return _solved(await agent.aresult(thread))


async def _answered(
    ctx: Context[Any, Any], agent: ReasoningAgent, runs: OwnRuns
) -> Solved | InputRequiredResult:
    """Go on with the run about which a person was asked by the result of the call before."""
    thread, attempt, said = answered(ctx)
    trace = await runs.trace(thread)
    if trace.waiting_for and len(trace.result.attempts) == attempt:
        if said is None:
            return _solved(trace.result)
        await agent.aresume(thread, said, configurable=runs.configurable)
    return await _with_a_person(ctx, agent, runs, thread)


def add_verdicts(server: MCPServer[Any], agent: ReasoningAgent, runs: OwnRuns) -> None:
    """Add ``judge``."""

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True))
    @told_to_client
    async def judge(
        thread: Annotated[str, Field(description="The run, as solve named it.")],
        verdict: Annotated[
            Literal["pass", "fail", "abstain"],
            Field(description="Whether its answer is right; abstain takes a verdict back."),
        ],
        comment: Annotated[str, Field(description="Why; the lesson is made of it.")] = "",
        solution: Annotated[
            str, Field(description="A right one: steps, a line each, then 'Answer: …'.")
        ] = "",
        step: Annotated[int | None, Field(description="Number of the wrong step.")] = None,
    ) -> Judged:
        """Say whether a run was right, also when it is over: it counts and teaches, once."""
        await runs.trace(thread)
        result = await agent.ajudge(
            thread,
            verdict,
            comment=comment,
            solution=solution,
            step=step,
            by=CLIENT,
            configurable=runs.configurable,
        )
        record = result.judged[-1] if result.judged else {}
        return Judged(
            thread=thread,
            status=result.status,
            counted_for=record.get("credited", []),
            taken_back=record.get("taken_back", []),
            written=written_ids(record.get("operations", [])),
            note=record.get("failure") or record.get("note", ""),
        )


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
        recalled=[r.entry.id for recall in result.recalled for r in recall.entries],
        written=written_ids(done for record in result.written for done in record["operations"]),
    )


def written_ids(operations: Iterable[dict[str, Any]]) -> list[str]:
    """Ids of the entries that operations wrote."""
    return [done["entry_id"] for done in operations if done["entry_id"]]


def _refuse_files(images: Any, local_files: bool) -> None:
    if not local_files and any(image[:5].lower() != "data:" for image in images):
        raise InputError("this server reads no files; pass each image as a data: URL")


def told_to_client(
    tool: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Tell the client what went wrong, when it is not a bug of ours."""

    @wraps(tool)
    async def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except (UserError, ModelError) as error:
            raise ToolError(str(error)) from error
        except ValidationError as error:
            raise ToolError(error_lines(error, got=False)) from error

    return told


def or_not_found(
    resource: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Tell the client that there is nothing of this name."""

    @wraps(resource)
    async def found(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await resource(*args, **kwargs)
        except UserError as error:
            raise ResourceNotFoundError(str(error)) from error

    return found
