"""``vitarmm solve`` and ``vitarmm resume``."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.console import err, out, print_json, read_input, safe
from vitarmm_agent.cli.options import NOTHING, ROLES, RUNNING, Given, takes_settings
from vitarmm_agent.cli.shared import Json, Reason, Run, Step
from vitarmm_agent.errors import DatabaseError, InputError, ModelServerError

if TYPE_CHECKING:
    from langgraph.types import Command

    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.result import Result
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.verifiers.person_reply import LaterVerdict


@takes_settings(*RUNNING)
def solve(
    text: Annotated[str, typer.Argument(help="The problem, or - to read standard input.")],
    image: Annotated[
        list[str] | None,
        typer.Option("--image", "-i", help="Image file; repeatable.", show_default="none"),
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(help="One of the choices; repeat in order.", show_default="none"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Right answer: it grades, and no model sees it.", show_default="none"),
    ] = None,
    answer_type: Annotated[
        str | None,
        typer.Option(
            help="text, integer, float, list or choice.",
            show_default="choice with --choice, else text",
        ),
    ] = None,
    oracle: Annotated[
        bool, typer.Option(help="Let the verifier `reference` see the right answer.")
    ] = False,
    human: Annotated[bool, typer.Option(help="Ask a person for the last verdict.")] = False,
    given: Given = NOTHING,
    thread: Annotated[
        str | None, typer.Option(help="Id of the new run.", show_default="a new one")
    ] = None,
    as_json: Json = False,
) -> None:
    """Solve one problem, showing each node as it runs."""
    from vitarmm_agent.models.load import begin
    from vitarmm_agent.settings import Settings

    if oracle and reference is None:
        raise InputError("--oracle needs the gold answer: add --reference ANSWER")
    settings = Settings.load(**{**given, "oracle": oracle or None})
    if human:
        settings = settings.model_copy(update={"feedback": f"{settings.feedback},human"})
    begun = begin(settings.reasoner, settings)  # weights are read while Python imports

    from vitarmm_agent.agent import new_thread
    from vitarmm_agent.problem import Problem

    fields = {
        "text": read_input() if text == "-" else text,
        "images": image or [],
        "choices": choice or [],
        "reference": reference,
    }
    problem = Problem.parse(fields | ({"answer_type": answer_type} if answer_type else {}))
    thread_id = thread or new_thread()
    agent = open_agent(settings, quiet=as_json)
    del begun
    if thread is not None:
        refuse_used_thread(agent, thread)
    with resumable(thread_id):
        asyncio.run(follow(agent, problem, thread_id, quiet=as_json))
        result = ask_person(agent, agent.result(thread_id), quiet=as_json)
    finish(result, as_json)


@takes_settings(*ROLES, "base_url")
def resume(
    thread: Run,
    verdict: Annotated[
        str | None,
        typer.Option(
            help="Your verdict, if the run waits for one: pass, fail or abstain.",
            show_default="you are asked",
        ),
    ] = None,
    reason: Reason = "",
    step: Step = None,
    own_settings: Annotated[
        bool,
        typer.Option(help="Go on with your models, server and memory, whatever it began with."),
    ] = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted, killed or died, or that waits for a person.

    Limits, decoding and verifiers are those that the run began with, unless you give others. Models,
    server and memory are those of your settings; if the run began with others, you are asked.
    """
    from langgraph.types import Command

    from vitarmm_agent.cli.trace import checkpoints, print_run
    from vitarmm_agent.run_settings import begun_with
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import whole_id

    kept = checkpoints(given.get("database"))
    thread = whole_id(kept, thread)
    begun = begun_with(kept, thread)
    settings = Settings.load(**{**begun.taken, **given})
    if not own_settings:
        others = {k: v for k, v in begun.differing(settings).items() if k not in given}
        agreed = _agreed(others, thread, ask=not as_json)
        settings = Settings.load(**{**begun.taken, **agreed, **given})
    agent = open_agent(settings, quiet=as_json)
    reply = {"verdict": verdict, "message": reason, "step": step} if verdict else None
    with resumable(thread):
        result = agent.result(thread)
        waits = result.status == "interrupted"
        over = result.status in ("passed", "failed", "abstained")
        if not as_json and (waits or reply is None):
            print_run(result)
        if reply is not None or not waits:
            on: Command[Any] | None = Command(resume=reply) if reply else None
            asyncio.run(follow(agent, on, thread, quiet=as_json))
            result = agent.result(thread)
        result = ask_person(agent, result, quiet=as_json)
    finish(result, as_json)
    if over and not as_json:
        err.print("nothing was left to do: this run was over")


def _agreed(others: dict[str, Any], thread: str, *, ask: bool) -> dict[str, Any]:
    """Models, server and memory of a run that are not the operator's, if the operator agrees to them.

    Raises:
        InputError: nobody can be asked, or the answer was no.
    """
    import sys

    from vitarmm_agent.run_settings import as_command, in_words

    if not others:
        return {}
    hidden = "extra_body" in others
    if ask and not hidden and sys.stdin.isatty():
        out.print(safe(f"Run {thread} says that it was begun with {in_words(others)}."))
        if typer.confirm("Your settings say otherwise. Go on with what the run says?"):
            return others
    command = f"vitarmm resume {shlex.quote(thread)}"
    raise InputError(
        f"run {thread!r} says that it was begun with {in_words(others)}; your settings say otherwise. A "
        "trace may come from someone else, so that is not taken from it. Go on with your own settings: "
        f"{command} --own-settings; or with what it says: {as_command(others, command)}"
        + (
            "; its extra_body is kept as a hash only, set VITARMM_EXTRA_BODY again"
            if hidden
            else ""
        )
    )


def open_agent(settings: Settings, *, quiet: bool) -> ReasoningAgent:
    """Open the agent; loading a local model takes a few seconds, so say what is happening."""
    from vitarmm_agent.agent import ReasoningAgent

    if quiet:
        return ReasoningAgent.open(settings=settings)
    with err.status(f"loading {settings.reasoner}"):
        return ReasoningAgent.open(settings=settings)


def refuse_used_thread(agent: ReasoningAgent, thread: str) -> None:
    """A named thread must be new."""
    try:
        agent.result(thread)
    except InputError:
        return
    raise InputError(f"thread {thread!r} has a run already; go on with it: vitarmm resume {thread}")


@contextmanager
def resumable(thread_id: str) -> Iterator[None]:
    """Say how to go on when a run stops half-way."""
    goes_on = f"vitarmm resume {shlex.quote(thread_id)}"
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"interrupted; nothing is lost. Go on with: {goes_on}")
        raise
    except (ModelServerError, DatabaseError) as error:
        raise type(error)(f"{error}. Go on with: {goes_on}") from None


async def follow(
    agent: ReasoningAgent,
    problem: Problem | Command[Any] | LaterVerdict | None,
    thread_id: str,
    *,
    quiet: bool,
) -> None:
    """Print each node as it finishes, and models' tokens as they come; without a problem, go on.

    On an event loop, so that Ctrl-C cancels the model call under way instead of waiting for it.
    """
    from vitarmm_agent.cli.live import MODES, LiveView

    view = LiveView(out, quiet=quiet)
    try:
        chunks = agent.astream(problem, thread_id=thread_id, stream_mode=[*MODES], asides=True)
        async for mode, chunk in chunks:
            view.show(mode, chunk)
    finally:
        view.wait("")


def ask_person(agent: ReasoningAgent, result: Result, *, quiet: bool) -> Result:
    """While the run waits for a person and one is at the terminal, ask for the verdict."""
    import sys

    from langgraph.types import Command

    while result.status == "interrupted" and not quiet and sys.stdin.isatty():
        verdict = typer.prompt("Is this attempt right? pass, fail or abstain")
        message = typer.prompt("Why", default="") if verdict == "fail" else ""
        reply = {"verdict": verdict, "message": message}
        asyncio.run(follow(agent, Command(resume=reply), result.thread_id, quiet=quiet))
        result = agent.result(result.thread_id)
    return result


def finish(result: Result, as_json: bool) -> None:
    """Print the result, and where to look further."""
    from vitarmm_agent.cli.live import print_result

    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        print_result(out, result)
