"""Teaching on the page of a run: a right solution is kept, or a right step gone on from."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError
from vitarmm_agent.nodes.teach import check_beginning
from vitarmm_agent.problem import Attempt
from vitarmm_agent.traces import Edit, Moment, Trace
from vitarmm_agent.traces.fork import MAX_MENDED
from vitarmm_agent.viewer.responses import go, one, site, whole
from vitarmm_agent.viewer.run_actions import forked
from vitarmm_agent.viewer.run_pages import Form, keeping, run_address

MAX_BY = 200
ASIDE = (
    "put aside, because it seems to instruct the model; no problem is shown it until it is reviewed"
)


@keeping("teach")
async def teach(request: Request, form: Form) -> Response:
    """Keep a solution, keep it and solve again, or have the model go on from the last step written."""
    here, thread = site(request), request.path_params["thread"]
    text, then = one(form, "solution"), one(form, "then")
    if len(text) > MAX_MENDED:
        raise InputError(f"a solution may have {MAX_MENDED:,} characters, got {len(text):,}")
    if thread in here.live.going():
        raise InputError(f"run {thread!r} is under way; wait until it is over")
    trace = await here.trace(thread)
    taken = {k: v for k, v in (await here.begun(thread)).taken.items() if k != "memory"}
    agent = await here.agent(taken)
    if then == "go on":
        attempt = whole(one(form, "attempt"), "attempt", low=1)
        begun = await arun(check_beginning(trace.result.problem, text))
        at = _judged(trace, attempt or len(trace.result.attempts))
        return go(run_address(await forked(request, agent, at.checkpoint_id, _mending(begun))))
    again = _begin(trace) if then == "solve again" else None
    by = one(form, "by").strip()[:MAX_BY] or "the page"
    taught = await agent.ateach(thread, text, by=by)
    kept = taught.operations[0]
    aside = bool((kept["entry"] or {}).get("quarantined"))
    again = None if aside else again  # nothing new would be shown
    shown = await forked(request, agent, again.checkpoint_id, Edit()) if again else thread
    said = {"done": ASIDE if aside else "taught", "entry": kept["entry_id"], "undo": taught.run}
    return go(f"{run_address(shown)}?{urlencode(said)}")


def _mending(begun: Attempt) -> Edit:
    """The feedback that puts a step right."""
    last = begun.steps[-1]
    return Edit(
        verdict="fail",
        step=last.number,
        message=f"Step {last.number} should be: {last.text}",
        mended=begun.text.rstrip() + "\n",
    )


def _judged(trace: Trace, attempt: int) -> Moment:
    """Where feedback on an attempt had just been given.

    Raises:
        InputError: nowhere.
    """
    return _first(
        trace,
        lambda moment: moment.next == ("remember",) and moment.counts.get("feedback") == attempt,
        f"attempt {attempt} of this run was not judged, so there is nothing to go on from; write a "
        "whole solution",
    )


def _begin(trace: Trace) -> Moment:
    """Where the run began.

    Raises:
        InputError: its first checkpoint is gone.
    """
    return _first(
        trace,
        lambda moment: moment.next == ("recall",) and not moment.counts.get("attempts"),
        "the beginning of this run is gone, so it cannot be solved again; keep the solution only",
    )


def _first(trace: Trace, wanted: Callable[[Moment], bool], fault: str) -> Moment:
    found = next(filter(wanted, trace.moments), None)
    if found is None:
        raise InputError(fault)
    return found
