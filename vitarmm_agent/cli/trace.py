"""``vitarmm trace``: runs, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vitarmm_agent.cli.console import out, print_json, safe

if TYPE_CHECKING:
    from vitarmm_agent.graphs.checkpoints import SqliteCheckpoints
    from vitarmm_agent.problem import Result

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Runs per page.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Runs to pass over.")] = 0,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    from vitarmm_agent.traces import list_runs

    runs = list_runs(checkpoints(), limit=limit, offset=offset)
    if as_json:
        print_json([run.model_dump() for run in runs])
        return
    table = Table("run", "status", "answer", "attempts", "recalled", "written", "problem")
    for run in runs:
        counts = (str(run.attempts), str(run.recalled), str(run.written))
        answer = safe(run.answer if run.answer is not None else "")
        table.add_row(run.thread_id, run.status, answer, *counts, safe(run.text[:60]))
    out.print(table if runs else "no runs yet")


@app.command()
def show(
    thread: Annotated[str, typer.Argument(help="The run.")],
    prompt: Annotated[bool, typer.Option(help="Also print each prompt as it was sent.")] = False,
    as_json: Json = False,
) -> None:
    """Print one run, step by step."""
    from vitarmm_agent.traces import read_trace

    trace = read_trace(checkpoints(), thread)
    if as_json:
        print_json(trace.model_dump(mode="json"))
        return
    print_run(trace.result, prompt=prompt)
    from vitarmm_agent.cli.live import print_result

    print_result(out, trace.result)
    for waiting in trace.waiting_for:
        out.print(safe(f"waiting for a person: {waiting['value']}"))
        out.print(f"answer it: vitarmm resume {thread} --verdict pass|fail --message …")


@app.command()
def delete(
    thread: Annotated[str, typer.Argument(help="The run.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete one run's checkpoints; what it wrote to memory stays."""
    from vitarmm_agent.traces import read_trace

    kept = checkpoints()
    read_trace(kept, thread)
    if not yes:
        typer.confirm(f"Delete run {thread}?", abort=True)
    kept.delete_thread(thread)
    out.print(f"deleted {thread}")


def print_run(result: Result, *, prompt: bool = False, last_only: bool = False) -> None:
    """Print a run as it was: iteration by iteration, node by node; or only the last iteration."""
    from vitarmm_agent.cli import live

    if not last_only:
        out.print(safe(f"problem  {result.problem.text}"))
    for number, attempt in enumerate(result.attempts):
        if last_only and number < len(result.attempts) - 1:
            continue
        out.rule(f"iteration {attempt.number}")
        live.print_recall(out, {"recalls": [result.recalled[number]]})
        if prompt:
            for message in attempt.prompt:
                out.print(safe(f"    {message['role']}: {_readable(message['content'])}"))
        live.print_reason(out, {"attempts": [attempt.model_dump()]})
        if number < len(result.feedback):
            live.print_feedback(out, {"feedback": [result.feedback[number].model_dump()]})
        if number < len(result.written):
            live.print_remember(out, {"written": [result.written[number]]})


def checkpoints() -> SqliteCheckpoints:
    """The checkpoint file of the settings."""
    from vitarmm_agent.graphs.checkpoints import open_checkpoints
    from vitarmm_agent.settings import Settings

    return open_checkpoints(Settings.load().checkpoints_path)


def _readable(content: object) -> str:
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    return "\n".join(
        part["text"] if part["type"] == "text" else f"[image {part['sha256'][:12]}]"
        for part in content
    )
