"""``vitarmm teach``: keep a right solution of what was not solved."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from vitarmm_agent.cli.console import done_to, err, out, print_json, safe
from vitarmm_agent.cli.memory_options import memory_settings, opened
from vitarmm_agent.cli.options import NOTHING, PLACE, Given, takes_settings
from vitarmm_agent.cli.shared import SOLUTION, By, Json, solution_text
from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.run_settings import BegunWith


@takes_settings(*PLACE)
def teach(
    thread: Annotated[
        str,
        typer.Argument(help="The run whose problem it solves.", show_default="see --problem"),
    ] = "",
    solution: Annotated[str, typer.Option(help=SOLUTION)] = "-",
    problem: Annotated[
        str, typer.Option(help="The problem, if there is no run of it.", show_default="the run's")
    ] = "",
    by: By = "",
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Give the right solution of a problem; problems of its kind are shown it from now on."""
    from vitarmm_agent.cli.trace import checkpoints
    from vitarmm_agent.effects import run
    from vitarmm_agent.nodes.teach import teach_by_hand
    from vitarmm_agent.nodes.tenancy import check_owner
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.run_settings import begun_with
    from vitarmm_agent.traces import read_trace, whole_id

    if bool(thread) == bool(problem):
        raise InputError("name a run, or give a --problem; one of the two")
    if thread:
        kept = checkpoints(given.get("database"))
        thread = whole_id(kept, thread)
        _refuse_another_memory(begun_with(kept, thread), thread, given)
        trace = read_trace(kept, thread)
    solved = trace.result.problem if thread else Problem(text=problem)
    text = solution_text(solution)
    with err.status("loading the embedder, and keeping the solution"), opened(**given) as found:
        if thread and trace.namespace:
            check_owner(trace.namespace, found.namespace)
        taught = run(teach_by_hand(found, solved, text, by=by or getpass.getuser(), run=thread))
    if as_json:
        print_json(taught.model_dump(mode="json"))
        return
    for done in taught.operations:
        out.print(safe(f"{done_to(done['kind'])} {done['entry_id']}  {done['reason']}"))
        if done["kind"] == "quarantined":
            out.print("no problem is shown it until it is reviewed: vitarmm memory review")
    if any(done["kind"] != "skipped" for done in taught.operations):
        out.print(safe(f"undo with: vitarmm memory undo {taught.run}"))


def _refuse_another_memory(begun: BegunWith, thread: str, given: Given) -> None:
    """Where a run used another memory than the one that is taught, its kind would never be shown it."""
    from vitarmm_agent.run_settings import as_command, in_words

    told = begun.differing(memory_settings(**given)).items()
    others = {k: v for k, v in told if k in ("memory", "namespace") and k not in given}
    if others:
        command = as_command(others, f"vitarmm teach {thread}")
        raise InputError(f"run {thread!r} was begun with {in_words(others)}; teach that: {command}")
