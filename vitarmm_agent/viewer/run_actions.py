"""Changing runs: fork, answer a waiting question, go on, delete."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vitarmm_agent.agent import ReasoningAgent, new_thread
from vitarmm_agent.effects import arun
from vitarmm_agent.errors import InputError, UserError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.nodes.judge import verdict_inputs
from vitarmm_agent.result import Result
from vitarmm_agent.run_settings import kept_settings
from vitarmm_agent.traces import Edit, fork_run, note_run
from vitarmm_agent.verifiers.person_reply import LaterVerdict
from vitarmm_agent.viewer.responses import go, html, one, site, whole
from vitarmm_agent.viewer.run_pages import Form, keeping, run_address
from vitarmm_agent.viewer.run_view import view_of
from vitarmm_agent.viewer.security import checked_form
from vitarmm_agent.viewer.solve_pages import model_options
from vitarmm_agent.viewer.typed import Typed

JSON = "application/json"
THE_PAGE = "the page"


async def fork_form(request: Request) -> Response:
    """What can be changed before going on from a checkpoint."""
    return await _fork_form(request, request.query_params.get("checkpoint", ""))


async def _fork_form(
    request: Request, wanted: str, typed: Typed | None = None, *, status: int = 200
) -> Response:
    trace = await site(request).trace(request.path_params["thread"])
    found = next((m for m in trace.moments if m.checkpoint_id == wanted), None)
    if found is None or not found.next:
        raise InputError("choose a checkpoint of this run that something comes after")
    number = {"reason": "recalls", "remember": "feedback"}.get(found.next[0], "attempts")
    index = found.counts.get(number, 0) - 1
    view = view_of(trace)
    iteration = view.iterations[index] if 0 <= index < len(view.iterations) else None
    return html(
        request,
        "fork",
        status=status,
        typed=typed or Typed(),
        trace=trace,
        moment=found,
        iteration=iteration,
        settings=site(request).settings,
        others=await site(request).others(trace.result.thread_id),
    )


async def fork(request: Request) -> Response:
    """Begin a new run from a checkpoint and go on with it."""
    form = await checked_form(request)
    checkpoint = one(form, "checkpoint")
    try:
        begun = await site(request).begun(request.path_params["thread"])
        agent = await site(request).agent(begun.taken, **model_options(form))
        return go(run_address(await forked(request, agent, checkpoint, _edit(form))))
    except UserError as error:
        return await _fork_form(request, checkpoint, Typed.of("fork", form, error), status=400)


async def forked(request: Request, agent: ReasoningAgent, checkpoint: str, edit: Edit) -> str:
    """Begin a new run from a checkpoint of the run in the address; its thread."""
    here, new = site(request), new_thread()
    thread = request.path_params["thread"]
    config = await asyncio.to_thread(fork_run, agent.graph, thread, checkpoint, new, edit)

    async def opened() -> ReasoningAgent:
        return agent

    here.live.start(new, opened, None, metadata=config.get("metadata"))
    return new


def _edit(form: Form) -> Edit:
    changed: dict[str, str | None] = {}
    for name in form:
        if not name.startswith("entry:"):
            continue
        entry_id, text = name.removeprefix("entry:"), one(form, name)
        if f"drop:{entry_id}" in form:
            changed[entry_id] = None
        elif text != one(form, f"was:{entry_id}"):
            changed[entry_id] = text
    verdict = one(form, "verdict")
    if verdict not in ("", "pass", "fail", "abstain"):
        raise InputError(f"verdict must be pass, fail or abstain, got {verdict!r}")
    return Edit(
        memory=changed,
        verdict=verdict or None,
        message=one(form, "message"),
        step=whole(one(form, "step"), "step", low=1),
    )


@keeping("resume")
async def resume(request: Request, form: Form) -> Response:
    """Answer a waiting question, or go on with a run that stopped half-way."""
    from langgraph.types import Command

    here, thread = site(request), request.path_params["thread"]
    trace = await here.trace(thread)
    inputs: Any = None
    if trace.waiting_for:
        inputs = Command(resume=_reply(form))
    elif not (trace.moments and trace.moments[-1].next):
        raise InputError(f"run {thread!r} is over; fork it to go on from a checkpoint")
    options = model_options(form)
    begun = await here.begun(thread)
    here.live.start(
        thread, lambda: here.agent(begun.taken, **options), inputs, problem=trace.result.problem
    )
    return go(run_address(thread))


@keeping("judge")
async def judge(request: Request, form: Form) -> Response:
    """Take a verdict on a run that is over; what the memory writer makes of it is watched live."""
    here, thread = site(request), request.path_params["thread"]
    said = {name: one(form, name) for name in ("verdict", "comment", "solution")}
    step = whole(one(form, "step"), "step", low=1)
    verdict = LaterVerdict(**said, step=step, by=one(form, "by") or THE_PAGE)
    agent, trace = await _judging(request), await here.trace(thread)
    snapshot = await agent.graph.aget_state({"configurable": {"thread_id": thread}})
    inputs = await arun(verdict_inputs(snapshot, thread, verdict.reply()))
    if inputs is not None:

        async def opened() -> ReasoningAgent:
            return agent

        kept = kept_settings(snapshot.metadata)
        here.live.start(thread, opened, inputs, problem=trace.result.problem, metadata=kept)
    return go(run_address(thread))


async def judge_json(request: Request) -> Response:
    """The same for programs: a JSON object, which no form of another site can send."""
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
            return JSONResponse({"error": f"send the verdict as {JSON}"}, 415)
        try:
            sent = parse_json(await request.body())
        except ValueError as error:
            raise InputError(f"the verdict is no JSON: {error}") from None
        result = await _judged(request, LaterVerdict.parse(sent))
    except UserError as error:
        status = 404 if "no run" in str(error) else 400
        return JSONResponse({"error": str(error)}, status)
    told = {"thread": result.thread_id, "status": result.status, "answer": result.answer}
    return JSONResponse({**told, "judged": result.judged[-1] if result.judged else None})


async def _judged(request: Request, said: LaterVerdict) -> Result:
    agent = await _judging(request)
    return await agent.ajudge(
        request.path_params["thread"],
        said.verdict,
        comment=said.comment,
        solution=said.solution,
        step=said.step,
        by=said.by or THE_PAGE,
    )


async def _judging(request: Request) -> ReasoningAgent:
    """The agent that takes a verdict on the run in the address.

    Raises:
        InputError: there is no such run, or it is under way.
    """
    here, thread = site(request), request.path_params["thread"]
    if thread in here.live.going():
        raise InputError(f"run {thread!r} is under way; wait until it is over")
    return await here.agent((await here.begun(thread)).taken)


def _reply(form: Form) -> dict[str, Any]:
    """The verdict of a person, as the human verifier takes it."""
    verdict = one(form, "verdict")
    if verdict not in ("pass", "fail", "abstain"):
        raise InputError(f"verdict must be pass, fail or abstain, got {verdict!r}")
    step = whole(one(form, "step"), "step", low=1)
    return {"verdict": verdict, "message": one(form, "message")} | ({"step": step} if step else {})


@keeping("remark")
async def remark(request: Request, form: Form) -> Response:
    """Put tags and a note on a run."""
    here, thread = site(request), request.path_params["thread"]
    tags = [tag for tag in one(form, "tags").split(",") if tag.strip()]
    note = one(form, "note")
    await asyncio.to_thread(note_run, here.checkpointer, thread, tags=tags, note=note)
    return go(f"{run_address(thread)}?done=noted")


async def stop(request: Request) -> Response:
    """Stop a run that is under way; it can go on from its last checkpoint."""
    here, thread = site(request), request.path_params["thread"]
    await checked_form(request)
    await here.live.cancel(thread)
    return go(run_address(thread))


async def delete(request: Request) -> Response:
    """Delete a run's checkpoints; what it wrote to memory stays."""
    here, thread = site(request), request.path_params["thread"]
    await checked_form(request)
    if thread in here.live.going():
        raise InputError(f"run {thread!r} is under way; stop it first")
    await here.trace(thread)
    await asyncio.to_thread(here.checkpointer.delete_thread, thread)
    here.live.runs.pop(thread, None)
    return go("/runs?done=deleted")
