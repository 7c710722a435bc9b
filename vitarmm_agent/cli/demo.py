"""``vitarmm demo``: two related problems in two processes, the second helped by the first."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Any

import typer

from vitarmm_agent.cli.console import out, safe
from vitarmm_agent.errors import UserError

PROBLEMS = (
    "A square has a perimeter of 20 cm. What is its area in square centimeters?",
    "A square has a perimeter of 36 cm. What is its area?",
)


def demo(
    problem: Annotated[
        int | None, typer.Option(min=1, max=2, hidden=True, help="Solve only this one.")
    ] = None,
) -> None:
    """Solve two related problems, each in a process of its own, with the local default model."""
    from vitarmm_agent.redaction import public_address
    from vitarmm_agent.settings import Settings

    if problem is not None:
        from vitarmm_agent.cli.solve import solve

        solve(PROBLEMS[problem - 1])
        return
    settings = Settings.load()
    out.print(f"model   {settings.reasoner} solves, judges and writes the memory")
    out.print(f"memory  {public_address(settings.memory_location)}")
    out.print("Nothing is scripted: what the model says is what is shown.\n")
    for number, text in enumerate(PROBLEMS, start=1):
        out.rule(f"process {number}")
        out.print(safe(text))
        code = subprocess.run(
            [sys.executable, "-m", "vitarmm_agent.cli", "demo", "--problem", str(number)]
        ).returncode
        if code:
            raise UserError(f"problem {number} stopped with exit code {code}; see above")
    _summary(*_last_two())


def _last_two() -> tuple[dict[str, Any], dict[str, Any]]:
    from vitarmm_agent.cli.trace import checkpoints
    from vitarmm_agent.traces import list_runs, read_trace

    kept = checkpoints()
    second, first = (read_trace(kept, run.thread_id) for run in list_runs(kept, limit=2))
    return first.model_dump(mode="json")["result"], second.model_dump(mode="json")["result"]


def _summary(first: dict[str, Any], second: dict[str, Any]) -> None:
    out.rule("what happened")
    written = [op for record in first["written"] for op in record["operations"]]
    recalled = [r for record in second["recalled"] for r in record["entries"]]
    for done in written:
        out.print(safe(f"problem 1 {done['kind']} {done['entry_id']}: {_title(done['entry'])}"))
    if not written:
        out.print("problem 1 wrote nothing")
    for found in recalled:
        entry = found["entry"]
        own = entry["provenance"]["run"] == first["thread_id"]
        out.print(
            safe(
                f"problem 2 recalled {entry['id']} (similarity {found['similarity']:.2f}"
                f"{', written by problem 1' if own else ''}): {_title(entry)}"
            )
        )
    if not recalled:
        out.print(safe(f"problem 2 recalled nothing: {json.dumps(second['recalled'][0]['note'])}"))
    for number, result in enumerate((first, second), start=1):
        out.print(safe(f"problem {number}: answer {result['answer']} ({result['status']})"))
    out.print("\nLook further:")
    for result in (first, second):
        out.print(f"  vitarmm trace show {result['thread_id']} --prompt")
    out.print("  vitarmm memory list")


def _title(entry: dict[str, Any] | None) -> str:
    return f"[{entry['entry_type'].upper()}] {entry['title']}: {entry['content']}" if entry else ""
