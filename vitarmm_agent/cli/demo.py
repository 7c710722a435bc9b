"""``vitarmm demo``: what is learned in one process helps in another, and a kind of problem is taught."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitarmm_agent.cli.console import done_to, err, out, safe
from vitarmm_agent.errors import InputError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.memory_store.schema import MemoryEntry
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.result import Result
    from vitarmm_agent.settings import Settings

SQUARES = (
    ("A square has a perimeter of 20 cm. What is its area in square centimeters?", "25"),
    ("A square has a perimeter of 36 cm. What is its area?", "81"),
)
SIBLINGS = 3
KINDS = ("paint", "water", "tickets", "bikes")
"""Kinds of problem, by their names in ``recurring.jsonl``, that are tried until one is solved wrong. The
default model gets the first two wrong and learns them; of the last it does not."""


def demo(
    square: Annotated[
        int | None, typer.Option(min=1, max=2, hidden=True, help="Solve only this one.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep the runs and the memory in this folder.", show_default="not kept"),
    ] = None,
) -> None:
    """Watch the local default model learn, live and unscripted. Leaves nothing behind.

    Two related problems, each in a process of its own: the second recalls what the first taught. Then
    a kind of problem that the model gets wrong: it is taught one, and solves three others of its kind
    with and without what it was taught.
    """
    from vitarmm_agent.settings import Settings

    if square is not None:
        from vitarmm_agent.cli.solve import solve

        text, answer = SQUARES[square - 1]
        solve(text, reference=answer, oracle=True)
        return
    if keep is not None and keep.exists() and not keep.is_dir():
        raise InputError(f"--keep {str(keep)!r} is a file; name a folder")
    with tempfile.TemporaryDirectory(prefix="vitarmm-demo-") as folder:
        settings = Settings.load(data_dir=keep or Path(folder))
        settings = settings.model_copy(update={"memory": None, "database": "off"})
        out.print(safe(f"model   {settings.reasoner} solves and writes the memory"))
        out.print("Nothing is scripted: what the model says is what is shown.\n")
        two_squares(settings)
        one_kind(settings)
    out.print("\nYour own runs are kept:  vitarmm solve '…'  then  vitarmm trace list, vitarmm ui")
    if keep:
        out.print(safe(f"Those of this demo are in {keep}: VITARMM_DATA_DIR={keep} vitarmm ui"))


def two_squares(settings: Settings) -> None:
    """Two problems in two processes over one memory; a verifier that knows the answer judges."""
    from vitarmm_agent.graphs.checkpoints import open_checkpoints
    from vitarmm_agent.traces import list_runs, read_trace

    place = {
        "VITARMM_DATA_DIR": str(settings.data_dir),
        "VITARMM_MEMORY": "",
        "VITARMM_DATABASE": "off",
    }
    surroundings = {k: v for k, v in (os.environ | place).items() if v}
    for number, (text, _) in enumerate(SQUARES, start=1):
        out.rule(f"process {number}")
        out.print(safe(text))
        command = [sys.executable, "-m", "vitarmm_agent.cli", "demo", "--square", str(number)]
        code = subprocess.run(command, env=surroundings).returncode
        if code:
            raise UserError(f"problem {number} stopped with exit code {code}; see above")
    kept = open_checkpoints(settings.checkpoints_path)
    second, first = (read_trace(kept, run.thread_id).result for run in list_runs(kept, limit=2))
    _tell_squares(first, second)


def one_kind(settings: Settings) -> None:
    """A kind of problem that the model gets wrong, taught once, and three of its kind side by side."""
    from vitarmm_agent.agent import ReasoningAgent
    from vitarmm_agent.evals.datasets.groups import own_solution

    out.rule("one kind of problem, taught once")
    alone = ReasoningAgent.open(memory="off", settings=settings)
    found = first_failed(alone)
    if found is None:
        out.print("The model solves all these kinds; there is nothing to teach it here.")
        return
    wrong, (failed, *siblings) = found
    out.print(
        safe(f"{failed.text}\n\nSolved without memory: {wrong.answer}; it is {failed.reference}.")
    )
    taught = ReasoningAgent.open(memory=settings.memory_location, settings=settings)
    taught.teach(failed, own_solution(failed), by="the demo")
    out.print(safe(f"Taught once:\n{own_solution(failed)}\n"))
    table = Table("others of its kind", "it is", "without", "with what was taught")
    for problem, results in zip(
        siblings, asyncio.run(with_and_without(siblings, alone, taught)), strict=True
    ):
        answers = [_marked(problem, result) for result in results]
        table.add_row(safe(problem.text), str(problem.reference), *answers)
    out.print(table)
    out.print("Not every kind is learned so: docs/results.md has the rates.")


async def with_and_without(
    problems: Sequence[Problem], alone: ReasoningAgent, taught: ReasoningAgent
) -> list[tuple[Result, Result]]:
    """What two agents make of each problem, all at once; the answers are told as they come."""

    async def pair(problem: Problem) -> tuple[Result, Result]:
        without, with_it = await asyncio.gather(alone.asolve(problem), taught.asolve(problem))
        out.print(safe(f"{problem.id}: without {without.answer}, with {with_it.answer}"))
        return without, with_it

    with err.status(f"{len(problems)} others of its kind, with and without what was taught"):
        return await asyncio.gather(*map(pair, problems))


def first_failed(agent: ReasoningAgent) -> tuple[Result, tuple[Problem, ...]] | None:
    """The first kind of problem whose first one is solved wrong, with all of that kind."""
    from vitarmm_agent.evals.datasets import load_benchmark
    from vitarmm_agent.evals.datasets.groups import OWN, group_of

    benchmark = load_benchmark("siblings", OWN, siblings=SIBLINGS + 1)
    kinds: dict[str, list[Problem]] = {}
    for problem in (*benchmark.taught, *benchmark.problems):
        kinds.setdefault(group_of(problem), []).append(problem)
    for problems in (kinds[name] for name in KINDS):
        result = agent.solve(problems[0])
        if not _is_right(problems[0], result):
            return result, tuple(problems)
        out.print(safe(f"{problems[0].id}: {result.answer}, right; the next kind"))
    return None


def _is_right(problem: Problem, result: Result) -> bool:
    from vitarmm_agent.answers import grade_result

    graded = grade_result(result.model_copy(update={"problem": problem}))
    return graded is not None and graded.correct


def _marked(problem: Problem, result: Result) -> Text:
    mark = (" ✓", "green") if _is_right(problem, result) else (" ✗", "red")
    return Text.assemble(safe(result.answer or "none"), mark)


def _tell_squares(first: Result, second: Result) -> None:
    out.rule("what happened")
    written = [op for record in first.written for op in record.operations]
    recalled = [r for record in second.recalled for r in record.entries]
    for done in written:
        out.print(safe(f"problem 1 {done_to(done.kind)} {done.entry_id}: {_title(done.entry)}"))
    if not written:
        out.print("problem 1 wrote nothing")
    for found in recalled:
        entry = found.entry
        own = entry.provenance.run == first.thread_id
        out.print(
            safe(
                f"problem 2 recalled {entry.id} (similarity {found.similarity:.2f}"
                f"{', written by problem 1' if own else ''}): {_title(entry)}"
            )
        )
    if not recalled:
        out.print(safe(f"problem 2 recalled nothing: {json.dumps(second.recalled[0].note)}"))
    for number, result in enumerate((first, second), start=1):
        out.print(safe(f"problem {number}: answer {result.answer} ({result.status})\n"))


def _title(entry: MemoryEntry | None) -> str:
    return f"[{entry.entry_type.upper()}] {entry.title}: {entry.content}" if entry else ""
