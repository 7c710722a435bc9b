"""``vitarmm trace``: runs, step by step."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from vitarmm_agent.cli.console import WIDE, err, out, print_json, safe, unused
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import DryRun, Force, Json, Limit, Offset, Run, Yes
from vitarmm_agent.cli.spelling import spelled
from vitarmm_agent.clip import clip
from vitarmm_agent.errors import InputError
from vitarmm_agent.options import one_of

if TYPE_CHECKING:
    from vitarmm_agent.graphs.any_checkpoints import Checkpoints
    from vitarmm_agent.result import Result
    from vitarmm_agent.traces import RunIndex, RunSummary

app = typer.Typer(no_args_is_help=True)
STATUSES = ("running", "interrupted", "died", "passed", "failed", "abstained")
SHOWN_AS = {"unfinished": "running", "stopped": "died"}
"""Words of the list that are no status of their own."""
VERDICTS = ("pass", "fail", "abstain")
CELL = 14
"""Characters of an answer or a model in the list."""


@app.command("list", context_settings=spelled(memory="memory-use"))
@takes_settings("database")
def list_(
    text: Annotated[
        str,
        typer.Argument(help="Words in the problem, answer, note or id.", show_default="all runs"),
    ] = "",
    status: Annotated[
        str,
        typer.Option(
            help=f"Only runs that are {', '.join(STATUSES[:-1])} or {STATUSES[-1]}.",
            show_default="any",
        ),
    ] = "",
    verdict: Annotated[
        str,
        typer.Option(
            help="Only runs with such a verdict: pass, fail or abstain.", show_default="any"
        ),
    ] = "",
    memory_use: Annotated[
        str,
        typer.Option(help="Only runs whose memory was used, written or none.", show_default="any"),
    ] = "",
    benchmark: Annotated[
        str, typer.Option(help="Only runs of this benchmark.", show_default="any")
    ] = "",
    tag: Annotated[str, typer.Option(help="Only runs with this tag.", show_default="any")] = "",
    since: Annotated[
        str, typer.Option(help="First day, such as 2026-01-31.", show_default="any")
    ] = "",
    until: Annotated[
        str, typer.Option(help="Last day, such as 2026-01-31.", show_default="any")
    ] = "",
    limit: Limit = 20,
    offset: Offset = 0,
    as_json: Json = False,
    given: Given = NOTHING,
) -> None:
    """List runs, the newest first."""
    from vitarmm_agent.traces import RunFilter, short_id

    status = SHOWN_AS.get(status, status)
    one_of("--status", status or None, STATUSES)
    one_of("--verdict", verdict or None, VERDICTS)
    one_of("--memory-use", memory_use or None, ("used", "written", "none"))
    where = RunFilter(
        text=text,
        status=status,
        verdict=verdict,
        memory=memory_use,
        benchmark=benchmark,
        tag=tag,
        since=_day("--since", since),
        until=_day("--until", until),
    )
    with err.status("reading runs"):
        page = _index(given).page(where, limit=limit, offset=offset)
    if as_json:
        print_json([run.model_dump() for run in page.runs])
        return
    run_id, problem = Column("run", no_wrap=True), Column("problem", no_wrap=True, ratio=1)
    counted = ("used", "new") if out.width >= WIDE else ()
    table = Table(
        run_id, "status", "by", "answer", "model", "time", *counted, problem, box=None, expand=True
    )
    for run in page.runs:
        answer, by, model = (
            safe(clip(t or "", CELL)) for t in (run.answer, run.judged_by, run.model)
        )
        seconds = f"{run.seconds:.0f} s" if run.seconds else ""
        counts = (str(run.recalled or ""), str(run.written or ""))[: len(counted)]
        shown = safe(f"cannot be read: {run.unreadable}" if run.unreadable else _line(run))
        name = safe(short_id(run.thread_id))
        table.add_row(name, run.outcome, by, answer, model, seconds, *counts, shown)
    out.print(table if page.runs else "no runs yet" if where.empty else "no run matches")
    if page.total > offset + len(page.runs):
        out.print(f"{page.total} runs; the next page: --offset {offset + len(page.runs)}")


@app.command()
@takes_settings("database")
def show(
    thread: Run,
    prompt: Annotated[
        bool, typer.Option(help="Also print the settings, and what models were sent and said.")
    ] = False,
    as_json: Json = False,
    given: Given = NOTHING,
) -> None:
    """Print one run, step by step."""
    from vitarmm_agent.traces import read_trace, whole_id

    kept = checkpoints(**given)
    trace = read_trace(kept, whole_id(kept, thread))
    thread = trace.result.thread_id
    if as_json:
        print_json(trace.model_dump(mode="json"))
        return
    for problem in trace.problems:
        out.print(safe(f"not all can be shown: {problem}"))
    for name, value in sorted(trace.settings.items()) if prompt else ():
        out.print(safe(f"setting  {name} = {value}"))
    if trace.remark.tags:
        out.print(safe(f"tags     {', '.join(trace.remark.tags)}"))
    if trace.remark.note:
        out.print(safe(f"note     {trace.remark.note}"))
    print_run(trace.result, prompt=prompt)
    from vitarmm_agent.cli.live import print_result

    print_result(out, trace.result)
    if trace.result.status in ("died", "running"):
        out.print(safe(f"go on with it: vitarmm resume {thread}"))
    for waiting in trace.waiting_for:
        out.print(safe(f"waiting for a person: {waiting['value']}"))
        out.print(f"answer it: vitarmm resume {thread} --verdict pass|fail --reason …")


@app.command()
@takes_settings("database")
def diff(
    a: Run,
    b: Annotated[str, typer.Argument(metavar="OTHER", help="Another run.")],
    given: Given = NOTHING,
) -> None:
    """Compare two runs: figures, memory shown, and the words of their last attempts."""
    from vitarmm_agent.traces import read_trace, whole_id, word_diff

    kept = checkpoints(**given)
    one, other = (read_trace(kept, whole_id(kept, name)).result for name in (a, b))
    table = Table("", Column(safe(a)), Column(safe(b)))
    for name, *values in (
        ("problem", *(textwrap.shorten(r.problem.text, 80, placeholder="…") for r in (one, other))),
        ("status", one.outcome, other.outcome),
        ("stopped", one.stopped_because, other.stopped_because),
        ("answer", one.answer, other.answer),
        ("verdicts", *(", ".join(f.verdict for f in r.feedback) for r in (one, other))),
        ("memory shown", *(", ".join(_shown(r)) for r in (one, other))),
        ("tokens", one.usage.total_tokens, other.usage.total_tokens),
        ("seconds", *(f"{r.seconds:.1f}" for r in (one, other))),
    ):
        table.add_row(name, *(safe("–" if value is None else value) for value in values))
    out.print(table)
    last = ["\n".join(attempt.text for attempt in r.attempts[-1:]) for r in (one, other)]
    style = {"same": "", "removed": "red strike", "added": "green bold"}
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    line = Text()
    for change in word_diff(*last):
        line.append(marks[change.kind].format(safe(change.text).plain), style[change.kind])
    out.print(line)


@app.command()
@takes_settings("database")
def export(
    thread: Run,
    file: Annotated[
        Path | None, typer.Argument(help="File to write.", show_default="run-THREAD.html")
    ] = None,
    as_html: Annotated[bool, typer.Option("--html", help="One file that opens offline.")] = False,
    as_json: Json = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", hidden=True, help="File to write.")
    ] = None,
    force: Force = False,
    given: Given = NOTHING,
) -> None:
    """Write one run as a self-contained HTML file, or as JSON."""
    from vitarmm_agent.open_media import open_media
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import read_trace, whole_id

    if as_html == as_json:
        raise InputError("say how to export: either --html or --json")
    output = file or output
    kept = checkpoints(**given)
    trace = read_trace(kept, whole_id(kept, thread))
    thread = trace.result.thread_id
    if as_json and output is None:
        print_json(trace.model_dump(mode="json"))
        return
    if as_json:
        text = json.dumps(trace.model_dump(mode="json"), indent=2)
    else:
        from vitarmm_agent.viewer.export import export_html

        text = export_html(trace, open_media(Settings.load(**given)))
    path = unused(output or Path(f"run-{thread.replace('/', '_')}.html"), force=force)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from None
    out.print(safe(f"wrote {path}"))


@app.command()
@takes_settings("database")
def delete(
    thread: Run,
    yes: Yes = False,
    given: Given = NOTHING,
) -> None:
    """Delete one run's checkpoints; what it wrote to memory stays."""
    from vitarmm_agent.traces import read_trace, whole_id

    kept = checkpoints(**given, write=True)
    thread = whole_id(kept, thread)
    read_trace(kept, thread)
    if not yes:
        typer.confirm(f"Delete run {thread}?", abort=True)
    kept.delete_thread(thread)
    kept.shrink()
    out.print(f"deleted {thread}")


@app.command()
@takes_settings("database")
def prune(
    older_than: Annotated[
        str,
        typer.Option(help="Only runs that were last active so long ago: 30d.", show_default="any"),
    ] = "",
    keep_last: Annotated[int, typer.Option(min=0, help="Keep this many of the newest runs.")] = 0,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only failed runs.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    given: Given = NOTHING,
) -> None:
    """Delete old runs and free their space; what they wrote to memory stays.

    Runs that wait for a person, or were stopped and can be resumed, stay.
    """
    from vitarmm_agent.ages import age
    from vitarmm_agent.traces.pruning import prunable

    kept = checkpoints(**given, write=not dry_run)
    found = prunable(
        kept,
        older_than=age(older_than) if older_than else None,
        keep_last=keep_last,
        failed_only=failed_only,
    )
    if found and not dry_run:
        if not yes:
            typer.confirm(f"Delete {len(found)} runs?", abort=True)
        for run in found:
            kept.delete_thread(run.thread_id)
        if not kept.shrink():
            err.print("the file is in use: its space is used again, and given back next time")
    if as_json:
        print_json({"deleted": [run.thread_id for run in found], "dry_run": dry_run})
        return
    for run in found if dry_run else ():
        out.print(safe(f"{run.thread_id}  {run.updated_at[:16]}  {run.status}  {run.text[:60]}"))
    out.print(f"{'would delete' if dry_run else 'deleted'} {len(found)} runs")


def print_run(result: Result, *, prompt: bool = False, last_only: bool = False) -> None:
    """Print a run as it was: iteration by iteration, node by node; or only the last iteration."""
    from vitarmm_agent.cli import live

    if not last_only:
        out.print(safe(f"problem  {result.problem.text}"))
    for number, attempt in enumerate(result.attempts):
        if last_only and number < len(result.attempts) - 1:
            continue
        out.rule(f"iteration {attempt.number}")
        live.print_recall(out, {"recalls": [result.recalled[number].model_dump(mode="json")]})
        if prompt:
            _print_prompt(attempt.prompt)
        live.print_reason(out, {"attempts": [attempt.model_dump()]})
        if number < len(result.feedback):
            feedback = result.feedback[number]
            for part in (feedback.parts or (feedback,)) if prompt else ():
                _print_calls(part.source, [call.model_dump() for call in part.calls])
            live.print_feedback(out, {"feedback": [feedback.model_dump()]})
        if number < len(result.written):
            if prompt:
                calls = [call.model_dump() for call in result.written[number].calls]
                _print_calls("memory writer", calls)
            live.print_remember(out, {"written": [result.written[number].model_dump(mode="json")]})
    if result.taught is not None:
        live.print_teach(out, {"taught": result.taught.model_dump()})
    for record in result.judged:
        live.print_judged(out, record)


def _print_prompt(prompt: Sequence[Mapping[str, Any]]) -> None:
    for message in prompt:
        said = _readable(message.get("content", ""))
        out.print(safe(f"    {message.get('role', '')}: {said}"))


def _print_calls(who: str, calls: Sequence[Mapping[str, Any]]) -> None:
    """What a verifier or the memory writer asked of its model, and what it said."""
    for call in calls:
        out.print(safe(f"  {who} asked {call['model']}:"))
        _print_prompt(call["prompt"])
        out.print(safe(f"    said: {call['reply']}"))


def _index(given: Given) -> RunIndex:
    """The summaries of all runs, kept beside the checkpoints."""
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.traces import RunIndex

    return RunIndex(checkpoints(**given), Settings.load(**given).index_path)


def _line(run: RunSummary) -> str:
    tags = f"[{', '.join(run.tags)}] " if run.tags else ""
    return (
        f"{tags}{run.text[:24]} · {run.outcome}: {run.died}"
        if run.died
        else f"{tags}{run.text[:60]}"
    )


def _day(option: str, value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat() if value else ""
    except ValueError:
        raise InputError(f"{option} must be a day like 2026-01-31, got {value!r}") from None


def _shown(result: Result) -> list[str]:
    """Ids of the entries that a run was shown."""
    found = (r.entry.id for record in result.recalled for r in record.entries)
    return list(dict.fromkeys(found))


def checkpoints(database: str | None = None, *, write: bool = False) -> Checkpoints:
    """The checkpoints of the settings; a file that is only looked at is opened read-only."""
    from vitarmm_agent.graphs.open_checkpoints import open_traces
    from vitarmm_agent.settings import Settings

    return open_traces(Settings.load(database=database), write=write)


def _readable(content: object) -> str:
    if not isinstance(content, list):
        return str(content)
    parts = (part if isinstance(part, dict) else {"text": part} for part in content)
    return "\n".join(
        f"[image {str(part.get('sha256'))[:12]}]"
        if part.get("type") == "image"
        else str(part.get("text", ""))
        for part in parts
    )
