"""``vitarmm eval rmm``: how good memory writers are."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.console import err, out, print_json, progress_shown, safe
from vitarmm_agent.cli.options import Reasoner
from vitarmm_agent.cli.shared import Json, Resume, Seed, Workers
from vitarmm_agent.cli.sources import (
    Attempts,
    Gsm8kPath,
    ImageDir,
    MathvistaPath,
    MmluPath,
    OutputDir,
    ProblemsPath,
    sources_of,
)

if TYPE_CHECKING:
    from vitarmm_agent.evals.writers.cases import Case
    from vitarmm_agent.evals.writers.measuring import WriterConfig, WriterSample
    from vitarmm_agent.evals.writers.report import WriterMeasured, WriterReport
    from vitarmm_agent.evals.writers.sibling_recall import SiblingRecall
    from vitarmm_agent.problem import Problem
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.training.simulated import Source

    Measured = tuple[list[WriterSample], str | None]

REPORT = "report.json"


def rmm(
    output_dir: OutputDir,
    rmm: Annotated[
        list[str] | None,
        typer.Option(
            help="Chat model that writes the memory, such as local:NAME+ADAPTER, or `rule`; repeat to compare.",
            show_default="the settings'",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `vitarmm simulate` wrote: its held-out situations are decided on.",
            show_default="situations made of the rows",
        ),
    ] = None,
    gsm8k_path: Gsm8kPath = None,
    mathvista_path: MathvistaPath = None,
    mmlu_path: MmluPath = None,
    problems_path: ProblemsPath = None,
    image_dir: ImageDir = None,
    sample_size: Annotated[
        int, typer.Option(help="Situations, or problems per benchmark without --data; -1 is all.")
    ] = -1,
    reasoner: Reasoner = None,
    probes: Annotated[int, typer.Option(min=0, help="Similar problems per entry.")] = 2,
    attempts: Attempts = 1,
    workers: Workers = 1,
    seed: Seed = 0,
    resume: Resume = False,
    so_far: Annotated[
        bool,
        typer.Option(
            "--so-far", help="Show what is measured, and ask no model: of one that was stopped."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure memory writers: usable answers, leaks, repetitions, and lift on similar problems."""
    from vitarmm_agent.evals.writers.measuring import measured_so_far
    from vitarmm_agent.evals.writers.report import report_on
    from vitarmm_agent.rmm.load import look_for_writer, writer_spec
    from vitarmm_agent.settings import Settings

    settings = Settings.load()
    sources = sources_of(
        image_dir,
        gsm8k=gsm8k_path,
        mathvista=mathvista_path,
        mmlu=mmlu_path,
        problems=problems_path,
    )
    _check_folder(output_dir, resume=resume or so_far)
    reasoner, writers = reasoner or settings.reasoner, rmm or [writer_spec(settings)]
    for spec in (reasoner, *writers):
        look_for_writer(spec, settings)
    cases, pool, think = _material(
        data, sources, output_dir, reasoner,
        num_samples=sample_size, workers=workers, seed=seed, resume=resume, quiet=as_json,
        made_before=so_far,
    )  # fmt: skip
    settings = settings.model_copy(update={"rmm_think": think})
    config = _config(
        cases, writers, reasoner, pool, settings,
        probes=probes, attempts=attempts, seed=seed, think=think,
    )  # fmt: skip
    if so_far:
        config, samples, stopped = measured_so_far(config, output_dir / "writers")
        cases = [case for case in cases if case.key in config.cases]
    else:
        samples, stopped = _measure(
            config, cases, pool, output_dir / "writers", settings,
            workers=workers, resume=resume, quiet=as_json,
        )  # fmt: skip
    report = report_on(config, samples, stopped, _recalls(samples, cases, settings))
    if not so_far:
        _keep(report, output_dir)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_report(report)


def _check_folder(folder: Path, *, resume: bool) -> None:
    from vitarmm_agent.errors import InputError

    if not folder.is_dir() and folder.exists():
        raise InputError(f"output folder {str(folder)!r} is a file; choose a new or empty folder")
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise InputError(
            f"output folder {str(folder)!r} is not empty; go on with what lies there by "
            "--resume, or choose a new or empty one"
        )


def _material(
    data: Path | None,
    sources: Sequence[Source],
    output_dir: Path,
    reasoner: str,
    *,
    num_samples: int,
    workers: int,
    seed: int,
    resume: bool,
    quiet: bool,
    made_before: bool,
) -> tuple[list[Case], dict[str, list[Problem]], bool]:
    """Situations, by benchmark the problems that no writer was trained on, and whether to think."""
    from vitarmm_agent.cli.simulate import run_simulation
    from vitarmm_agent.errors import InputError
    from vitarmm_agent.evals.output_folder import read_config
    from vitarmm_agent.settings import Settings
    from vitarmm_agent.training.sampling import unseen, with_placebos
    from vitarmm_agent.training.simulated import SimulationConfig, read_cases

    if data is not None:
        known = read_config(data, SimulationConfig, "simulation")
        cases = with_placebos(read_cases(data), known.seed)
        if 0 < num_samples < len(cases):
            chosen = random.Random(seed).sample(range(len(cases)), num_samples)
            cases = [cases[index] for index in sorted(chosen)]
        pool = {} if known.siblings and not sources else unseen(known, sources)
        return cases, pool, known.think
    config = SimulationConfig.of(
        sources=sources,
        vita_model=reasoner,
        feedback_model=Settings.load().judge or reasoner,
        num_samples=num_samples,
        holdout=1.0,
        candidates=1,
        replay=False,
        oracle=True,  # without the gold answers few attempts get a verdict
        seed=seed,
    )
    made = output_dir / "situations"
    if made_before and not made.exists():
        raise InputError(
            f"{str(output_dir)!r} holds no situations of its own; give the folder that they are in by --data"
        )
    if not made_before:
        run_simulation(config, made, workers=workers, resume=resume, quiet=quiet)
    return read_cases(made), unseen(config), config.think


def _config(
    cases: Sequence[Case],
    writers: Sequence[str],
    reasoner: str,
    pool: dict[str, list[Problem]],
    settings: Settings,
    **options: Any,
) -> WriterConfig:
    from vitarmm_agent.evals.writers.measuring import WriterConfig
    from vitarmm_agent.models.load import adapter_hashes
    from vitarmm_agent.redaction import fingerprint
    from vitarmm_agent.training.simulated import DECODING

    prints = "\n".join(p.fingerprint for name in sorted(pool) for p in pool[name])
    return WriterConfig(
        cases=tuple(case.key for case in cases),
        contents=fingerprint([case.model_dump(mode="json") for case in cases]),
        writers=tuple(dict.fromkeys(writers)),
        reasoner=reasoner,
        pool=hashlib.sha256(prints.encode()).hexdigest(),
        settings={name: getattr(settings, name) for name in DECODING},
        adapters=adapter_hashes((reasoner, *writers)),
        **options,
    )


def _measure(
    config: WriterConfig,
    cases: Sequence[Case],
    pool: dict[str, list[Problem]],
    folder: Path,
    settings: Settings,
    *,
    workers: int,
    resume: bool,
    quiet: bool,
) -> Measured:
    from vitarmm_agent.evals.writers.measuring import Measurer, Named, measure_writers
    from vitarmm_agent.evals.writers.replay import Neighbours, Replayer
    from vitarmm_agent.media import MediaStore
    from vitarmm_agent.memory_store.embedding import load_embeddings
    from vitarmm_agent.models import load_chat_model
    from vitarmm_agent.rmm.load import load_writer

    with err.status("loading models and looking for similar problems"):
        writers = [Named(spec, load_writer(spec, settings)) for spec in config.writers]
        reasoner = load_chat_model(config.reasoner, settings=settings)
        embeddings = (
            load_embeddings(settings.embedder, settings) if config.probes and pool else None
        )
        near = {n: Neighbours(p, embeddings) for n, p in pool.items()} if embeddings else {}
    replayer = Replayer.of(config, reasoner, MediaStore(settings.media_dir, local_files=True))
    measurer = Measurer(replayer, near, probes=config.probes)

    def go(
        on_start: Callable[[int, int], None] | None = None,
        on_row: Callable[[WriterSample], None] | None = None,
    ) -> Measured:
        flow = measure_writers(
            config, writers, cases, measurer, folder,
            workers=workers, resume=resume, on_start=on_start, on_row=on_row,
        )  # fmt: skip
        return asyncio.run(flow)

    return go() if quiet else _with_progress(go)


def _recalls(
    samples: Sequence[WriterSample], cases: Sequence[Case], settings: Settings
) -> dict[str, list[SiblingRecall]]:
    """By writer, what siblings recall of its entries."""
    from vitarmm_agent.evals.writers.sibling_recall import sibling_recalls
    from vitarmm_agent.memory_store.embedding import load_embeddings

    if not any(case.siblings for case in cases):
        return {}
    embeddings = load_embeddings(settings.embedder, settings)
    names = dict.fromkeys(sample.writer for sample in samples)
    return {
        name: sibling_recalls(
            [s for s in samples if s.writer == name], cases, embeddings, settings.embedder
        )
        for name in names
    }


def _with_progress(go: Callable[..., Measured]) -> Measured:
    from rich.progress import Progress

    with progress_shown(Progress(console=err)) as progress:
        bar = progress.add_task("decisions", total=None)

        def started(total: int, done: int) -> None:
            progress.start()
            progress.update(bar, total=total, completed=done)

        return go(on_start=started, on_row=lambda row: progress.advance(bar))


def _keep(report: WriterReport, folder: Path) -> None:
    from vitarmm_agent.private import write_text

    write_text(folder / REPORT, report.model_dump_json(indent=2) + "\n")


def print_report(report: WriterReport) -> None:
    """Print the figures of each writer, one column each."""
    from rich.table import Table

    table = Table("", title="Memory writers")
    for one in report.writers:
        table.add_column(safe(one.writer))
    for name, shown in ROWS:
        table.add_row(name, *(safe(shown(one)) for one in report.writers))
    out.print(table)
    if report.stopped:
        out.print(safe(f"stopped early: {report.stopped}; go on with --resume"))


def _mean(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"


ROWS: tuple[tuple[str, Callable[[WriterMeasured], object]], ...] = (
    (
        "situations",
        lambda one: f"{one.situations} of {one.problems} problems ({one.crashes} crashed)",
    ),
    ("JSON without constraint", lambda one: one.free_json),
    ("  a Markdown fence allowed", lambda one: one.fenced_json),
    ("usable without constraint", lambda one: one.free_operations),
    ("usable with constraint", lambda one: one.operations),
    ("situations with an entry", lambda one: one.covered),
    ("entries that leak", lambda one: one.leaks),
    ("  before numbers are taken out", lambda one: one.leaks_before),
    ("entries that repeat", lambda one: one.duplicates),
    ("entries that keep to the form", lambda one: one.in_form),
    ("entries with chatter", lambda one: one.chatter),
    ("corrections that say what not to do", lambda one: one.corrections),
    ("nothing kept where nothing was learned", lambda one: one.kept_nothing),
    ("second copies of what it was shown", lambda one: one.second_copies),
    ("siblings that recall the entry first", lambda one: one.recalled),
    ("siblings that recall another's entry", lambda one: one.false_recalls),
    ("words per entry", lambda one: _mean(one.words)),
    ("tokens per decision", lambda one: _mean(one.tokens)),
    ("seconds per decision", lambda one: _mean(one.seconds)),
    ("trials on similar problems", lambda one: one.trials),
    ("accuracy without the entry", lambda one: one.without),
    ("accuracy with a placebo", lambda one: one.placebo),
    ("accuracy with the entry", lambda one: one.shown),
    ("lift", lambda one: one.lift),
    ("lift over the placebo", lambda one: one.over_placebo),
    ("fixes / breaks", lambda one: f"{one.fixes} / {one.breaks}, p = {one.p_value:.3f}"),
    ("accuracy against the first", lambda one: one.against_first or "-"),
)
