"""A person's verdict, asked for through an MCP client: in the newest protocol, and in those before.

Since 2026-07-28 a tool answers with what it wants to know, and is called again with the answer and a
sealed state, which is the run. Before, the server asks while the tool runs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from mcp.server.elicitation import render_elicitation_schema
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field

from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

    from vitarmm_agent.traces import Trace

ASKED = "verdict"
IN_THE_RESULT = "2026-07-28"
"""The first protocol in which a tool asks by its result."""
MAX_SHOWN = 2_000


class VerdictForm(BaseModel):
    """What a person fills in."""

    verdict: Literal["pass", "fail", "abstain"] = Field(description="Is this attempt right?")
    message: str = Field(
        default="", max_length=4_000, description="Why; the model reads it after a fail."
    )
    step: int | None = Field(default=None, ge=1, description="Number of the wrong step, if any.")


def can_ask(ctx: Context[Any, Any]) -> bool:
    """Whether the client shows forms to a person."""
    able = ctx.client_capabilities
    asks = able.elicitation if able is not None else None
    return asks is not None and (asks.form is not None or asks.url is None)


async def ask(ctx: Context[Any, Any], trace: Trace) -> dict[str, Any] | InputRequiredResult | None:
    """The verdict that a run waits for; or the question, to be the tool's result; None if nobody says one.

    Raises:
        InputError: what came back is no verdict.
    """
    question = _question(trace)
    version = ctx.protocol_version
    if version is not None and is_version_at_least(version, IN_THE_RESULT):
        schema = render_elicitation_schema(VerdictForm)
        params = ElicitRequestFormParams(message=question, requested_schema=schema)
        asked = {ASKED: ElicitRequest(params=params)}
        state = json.dumps([trace.result.thread_id, len(trace.result.attempts)])
        return InputRequiredResult(input_requests=asked, request_state=state)
    try:
        said = await ctx.elicit(question, VerdictForm)
    except ValueError as error:
        raise InputError(f"the verdict cannot be read: {error}") from None
    return said.data.model_dump(exclude_none=True) if said.action == "accept" else None


def answered(ctx: Context[Any, Any]) -> tuple[str, int, dict[str, Any] | None]:
    """With what a tool was called again: the run, how many attempts it had, and the verdict, if one was said.

    Raises:
        InputError: what came back is no verdict.
    """
    thread, attempt = json.loads(ctx.request_state or "")  # sealed by the SDK: it is what we wrote
    reply = (ctx.input_responses or {}).get(ASKED)
    if not isinstance(reply, ElicitResult) or reply.action != "accept":
        return thread, attempt, None
    try:
        form = VerdictForm.model_validate(reply.content or {})
    except ValueError as error:
        raise InputError(f"the verdict cannot be read: {error}") from None
    return thread, attempt, form.model_dump(exclude_none=True)


def _question(trace: Trace) -> str:
    """What a person is asked, in plain text."""
    attempt = trace.result.attempts[-1]
    faults = [w["value"].get("fault") for w in trace.waiting_for if isinstance(w["value"], dict)]
    lines = [*filter(None, faults), trace.result.problem.text, attempt.text]
    shown = "\n\n".join(line[:MAX_SHOWN] for line in lines)
    return f"Is this attempt right?\n\n{shown}\n\nIts answer: {attempt.answer or 'none'}"
