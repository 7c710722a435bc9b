"""``vitarmm simulate``: training data for the memory writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.cluster import ActorCount, Address, GpuShare, cluster_of
from vitarmm_agent.cli.console import err, out, print_json, progress_shown, safe
from vitarmm_agent.cli.options import Judge, Reasoner, Teacher
from vitarmm_agent.cli.shared import Json, Resume, Seed, Workers
from vitarmm_agent.cli.sources import (
    Attempts,
    Gsm8kPath,
    ImageDir,
    MathvistaPath,
    MmluPath,
    OutputDir,
    ProblemsPath,
    SampleSize,
    sources_of,
)

if TYPE_CHECKING:
    from vitarmm_agent.evals.cluster.session import Cluster
    from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig, Summary

SHOWN_REASONS = 8


def simulate(
    output_dir: OutputDir,
    reasoner: Reasoner = None,
    judge: Judge = None,
    rmm: Annotated[
        str | None,
        typer.Option(
            help="Chat model that writes the memory, or `rule`. The settings' `rmm` is not looked at: a rule "
            "makes no rows to train on.",
            show_default="the judge",
        ),
    ] = None,
    gsm8k_path: Gsm8kPath = None,
    mathvista_path: MathvistaPath = None,
    mmlu_path: MmluPath = None,
    problems_path: ProblemsPath = None,
    image_dir: ImageDir = None,
    sample_size: SampleSize = -1,
    workers: Workers = 1,
    cluster: Address = None,
    actors: ActorCount = None,
    gpus_per_actor: GpuShare = None,
    seed: Seed = 0,
    candidates: Annotated[int, typer.Option(help="Decisions per situation.")] = 3,
    temperature: Annotated[
        float, typer.Option(help="How freely decisions are drawn; 0 takes the likeliest.")
    ] = 0.8,
    attempts: Attempts = 1,
    holdout: Annotated[
        float, typer.Option(help="Share of the problems kept to measure writers.")
    ] = 0.1,
    max_iterations: Annotated[
        int, typer.Option("--max-iterations", "-n", help="Attempts per problem at most.")
    ] = 2,
    feedback: Annotated[
        str, typer.Option("--feedback", "-f", help="Names of verifiers, in order.")
    ] = "arithmetic,judge",
    replay: Annotated[
        bool, typer.Option(help="Label decisions by trying their entries on problems.")
    ] = True,
    on_siblings: Annotated[
        int,
        typer.Option(
            min=0,
            max=16,
            help="Try entries on as many siblings of each row of GSM8K, beside a placebo; 0 tries them on "
            "their own problem and the most similar one.",
        ),
    ] = 0,
    teacher: Teacher = None,
    oracle: Annotated[
        bool, typer.Option(help="Let the verifier `reference` see the right answer.")
    ] = False,
    resume: Resume = False,
    i_have_the_right_to_train_on_mathvista: Annotated[
        bool,
        typer.Option(
            "--i-have-the-right-to-train-on-mathvista",
            help="Take rows whose licence allows testing only.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make training data for the memory writer: run the loop, and record what it decides to remember."""
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.training.simulated import SimulationConfig

    settings = Settings.load()
    sources = sources_of(
        image_dir,
        gsm8k=gsm8k_path,
        mathvista=mathvista_path,
        mmlu=mmlu_path,
        problems=problems_path,
    )
    solver = reasoner or settings.reasoner
    config = SimulationConfig.of(
        settings,
        sources=sources,
        vita_model=solver,
        feedback_model=judge or settings.judge or solver,
        rmm=rmm,
        feedback=feedback,
        num_samples=sample_size,
        holdout=holdout,
        candidates=candidates,
        temperature=temperature,
        replay=replay,
        siblings=on_siblings,
        teacher=teacher,
        attempts=attempts,
        max_iterations=max_iterations,
        seed=seed,
        oracle=oracle,
        test_only_allowed=i_have_the_right_to_train_on_mathvista,
    )
    summary = run_simulation(
        config,
        output_dir,
        workers=workers,
        cluster=cluster_of(cluster, actors, gpus_per_actor),
        resume=resume,
        quiet=as_json,
    )
    if as_json:
        print_json(summary.model_dump(mode="json"))
    else:
        _print_outcome(summary, output_dir)
    if summary.problems and sum(summary.crashes.values()) == summary.problems:
        raise typer.Exit(1)


def _print_outcome(summary: Summary, output_dir: Path) -> None:
    print_summary(summary)
    if next_step := _next_step(summary, output_dir):
        out.print(safe(f"\n{next_step}"))


def _next_step(summary: Summary, folder: Path) -> str:
    """What to do with what came out, or how to get more."""
    if summary.labels.get("chosen"):
        return f"Train on it:\n  vitarmm train --data {folder} --output-dir ADAPTER"
    if summary.crashes:
        return "No chosen decision to train on: see why problems crashed, and try them again with --resume."
    if summary.held_out_cases:
        return f"Measure writers on it:\n  vitarmm eval rmm --data {folder} --output-dir MEASURED"
    return "No chosen decision to train on: take more problems, or feedback that gives a verdict (--oracle)."


def run_simulation(
    config: SimulationConfig,
    folder: Path,
    *,
    workers: int,
    resume: bool,
    quiet: bool,
    cluster: Cluster | None = None,
) -> Summary:
    """Run a simulation under a progress bar; when it is interrupted, say how to go on."""
    from vitarmm_agent.rmm.load import look_for_writer
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.training.simulate import simulate as run

    chosen = {config.vita_model, config.feedback_model, config.rmm, config.teacher}
    for spec in chosen - {None} if cluster is None else ():  # before the folder is made
        look_for_writer(str(spec), Settings.load())

    def go(
        on_start: Callable[[int, int], None] | None = None,
        on_row: Callable[[SimulatedRow], None] | None = None,
    ) -> Summary:
        flow = run(
            config, folder, workers=workers, cluster=cluster, resume=resume,
            on_start=on_start, on_row=on_row,
        )  # fmt: skip
        return asyncio.run(flow)

    if quiet:
        return go()
    try:
        return _with_progress(go)
    except KeyboardInterrupt:
        err.print("interrupted; what is finished is kept. Go on by the same command and --resume")
        raise


def _with_progress(go: Callable[..., Summary]) -> Summary:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with progress_shown(Progress(*columns, console=err)) as progress:
        bar = progress.add_task("reading rows, loading models", total=None)
        counts = {"decisions": 0, "crashed": 0}

        def started(total: int, done: int) -> None:
            progress.start()
            progress.update(bar, description="problems", total=total, completed=done)

        def finished(row: SimulatedRow) -> None:
            counts["decisions"] += len(row.decisions)
            counts["crashed"] += row.crash is not None
            words = f"{counts['decisions']} decisions, {counts['crashed']} crashed"
            progress.update(bar, advance=1, description=words)

        return go(on_start=started, on_row=finished)


def print_summary(summary: Summary) -> None:
    """Print what a simulation came to."""
    from rich.table import Table

    table = Table("what", "count", title="Simulated")
    table.add_row("problems", f"{summary.problems} ({summary.passed} passed)")
    table.add_row("held out", f"{summary.held_out} ({summary.held_out_cases} situations)")
    table.add_row("situations", _listed(summary.situations))
    table.add_row("decisions", str(summary.decisions))
    table.add_row("labels", _listed(dict(summary.labels)))
    table.add_row("effects (own/similar)", _listed(summary.effects))
    table.add_row("solutions of what failed", _listed(summary.solutions))
    for name, one in summary.outcomes.items():
        table.add_row(f"on siblings, {name}", safe(str(one)))
    table.add_row("preference pairs", str(summary.preferences))
    table.add_row("entries dropped by the leak audit", _listed(summary.leaks))
    table.add_row("decisions dropped", _listed(summary.dropped))
    table.add_row("feedback that could not judge", str(summary.feedback_failures))
    table.add_row("decisions that could not be used", str(summary.writer_failures))
    table.add_row("rows left out", _listed(summary.skipped))
    table.add_row("problems that crashed", _listed(summary.crashes))
    table.add_row(
        "tokens, trials included",
        f"{summary.usage.total_tokens:,} in {summary.usage.calls:,} calls",
    )
    out.print(table)
    if summary.stopped:
        out.print(safe(f"stopped early: {summary.stopped}; go on with --resume"))


def _listed(counts: dict[Any, int]) -> Any:
    shown = [f"{count} {reason}" for reason, count in list(counts.items())[:SHOWN_REASONS]]
    more = len(counts) - len(shown)
    return safe("\n".join([*shown, f"and {more} more reasons"] if more > 0 else shown) or "none")
