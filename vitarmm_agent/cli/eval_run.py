"""``vitarmm eval``: run an evaluation, and write its report."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.cluster import ActorCount, Address, GpuShare, cluster_of
from vitarmm_agent.cli.console import err, out, print_json, safe
from vitarmm_agent.cli.options import NOTHING, Given, takes_settings
from vitarmm_agent.cli.shared import DryRun, Json, Resume, Seed, Split, Workers
from vitarmm_agent.cli.sources import (
    FILE_OR_HUB,
    Gsm8kPath,
    MathvistaPath,
    MmluPath,
    ProblemsPath,
    SampleSize,
)
from vitarmm_agent.errors import InputError, ModelServerError

if TYPE_CHECKING:
    from vitarmm_agent.evals.datasets import Benchmark
    from vitarmm_agent.evals.report import Report
    from vitarmm_agent.evals.run.folder import Prices
    from vitarmm_agent.evals.run.plan import EvaluationPlan
    from vitarmm_agent.evals.run.runner import Outcome
    from vitarmm_agent.settings import Settings

TRAIN_SIZE = 50
MODEL_SETTINGS = (
    "vita_model_type", "feedback", "judge", "rmm", "teacher", "base_url", "max_iterations", "max_tokens",
    "temperature", "images",
)  # fmt: skip
"""Settings that an evaluation takes under their own names."""


def _images(of: str) -> Any:
    return typer.Option(help=f"Folder of the images of {of}.", show_default="beside the rows")


def _also(spelling: str) -> Any:
    """A published option that another one has replaced: still taken, no longer shown."""
    return typer.Option(hidden=True, help=f"As {spelling}.")


@takes_settings("reasoner", *MODEL_SETTINGS)
def evaluate(
    ctx: typer.Context,
    gsm8k_path: Gsm8kPath = None,
    mathvista_path: MathvistaPath = None,
    mathvista_image_dir: Annotated[Path | None, _images("MathVista")] = None,
    mmlu_path: MmluPath = None,
    mmlu_image_dir: Annotated[Path | None, _images("MMLU")] = None,
    mmlu_condition: Annotated[
        str | None,
        typer.Option(
            help="How questions are shown: image, beside or text.",
            show_default="image, if there is one",
        ),
    ] = None,
    mathv_path: Annotated[
        str | None, typer.Option(help=f"Rows of MATH-V: {FILE_OR_HUB}.", show_default="none")
    ] = None,
    mathv_image_dir: Annotated[Path | None, _images("MATH-V")] = None,
    siblings_path: Annotated[
        str | None,
        typer.Option(
            help="Recurring problems: rows that name their group, or rows of GSM8K, of which groups "
            f"are made: {FILE_OR_HUB}.",
            show_default="none",
        ),
    ] = None,
    siblings: Annotated[
        int,
        typer.Option(help="Problems of a group that is made: one is taught, the others solved."),
    ] = 2,
    retold: Annotated[
        bool, typer.Option("--retold", help="Siblings differ in names and objects too.")
    ] = False,
    problems_path: ProblemsPath = None,
    split: Split = None,
    sample_size: SampleSize = -1,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="New or empty folder for all that is written.", show_default="must be given"
        ),
    ] = None,
    arms: Annotated[
        str,
        typer.Option(
            help="Arms to run, joined by commas: single, empty, consistency, within, frozen, online, "
            "oracle; with siblings also form, placebo, taught, lessons."
        ),
    ] = "single,empty,online",
    orders: Annotated[int, typer.Option(help="Task orders of the arms online and oracle.")] = 3,
    withhold: Annotated[
        float, typer.Option(help="Share of runs that have one recalled entry withheld.")
    ] = 0.0,
    taught_by: Annotated[
        str, typer.Option(help="Whose solutions of siblings are taught: reference or teacher.")
    ] = "reference",
    teacher_calls: Annotated[
        int | None,
        typer.Option(
            help="How often each order of the arm online may ask the teacher.",
            show_default="no limit",
        ),
    ] = None,
    one_pass: Annotated[
        bool,
        typer.Option(
            "--one-pass", help="One attempt each that nothing judges: no feedback, nothing written."
        ),
    ] = False,
    train_path: Annotated[
        str | None,
        typer.Option(
            help="Training problems of the arm frozen: FILE, or BENCHMARK=FILE.",
            show_default="none",
        ),
    ] = None,
    train_size: Annotated[
        int, typer.Option(help="How many training problems; -1 is all.")
    ] = TRAIN_SIZE,
    workers: Workers = 8,
    cluster: Address = None,
    actors: ActorCount = None,
    gpus_per_actor: GpuShare = None,
    processes: Annotated[int, _also("--cluster local --actors N")] = 1,
    seed: Seed = 0,
    resume: Resume = False,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Stop when this is spent: '2M tokens', '$5', '30 min', '8h'.",
            show_default="no limit",
        ),
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option(help="Dollars per million tokens read.", show_default="not known"),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option(help="Dollars per million tokens written.", show_default="not known"),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(help="Seconds for one run; after that, the sample counts as crashed.")
    ] = 3600.0,
    vita_model: Annotated[str | None, _also("--reasoner vita:FOLDER")] = None,
    given: Given = NOTHING,
    rmm_base_model: Annotated[str | None, _also("--rmm local:NAME")] = None,
    rmm_lora_adapter: Annotated[Path | None, _also("--rmm local:NAME+FOLDER")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compare arms with and without memory on benchmarks; the report has intervals.

    Give at least one benchmark and --output-dir. What is killed or interrupted goes on with --resume.
    """
    if ctx.invoked_subcommand is not None:
        return
    if len(sys.argv) <= 2 and output_dir is None and not ctx.args:
        out.print(ctx.get_help())
        raise typer.Exit(2)
    plan = make_plan(dict(ctx.params))  # `given` among them, each by its name
    if dry_run:
        show_plan(plan, resume=resume)
        return
    finish(run_plan(plan, resume=resume, quiet=as_json), plan, as_json)


def make_plan(given: dict[str, Any]) -> EvaluationPlan:
    """The plan that the options name.

    Raises:
        InputError: an option cannot be used.
    """
    from vitarmm_agent.evals.run.arms import choose_arms
    from vitarmm_agent.evals.run.budget import Budget
    from vitarmm_agent.evals.run.folder import EvaluationFolder
    from vitarmm_agent.evals.run.plan import EvaluationPlan, checked

    if given["output_dir"] is None:
        raise InputError("say where to write: --output-dir FOLDER")
    arms = choose_arms(given["arms"])
    benchmarks = tuple(_benchmarks(given))
    needs_training = any(arm.keeps == "learned" for arm in arms)
    return checked(
        EvaluationPlan(
            folder=EvaluationFolder(given["output_dir"]),
            benchmarks=benchmarks,
            arms=arms,
            settings=_settings(given),
            learning=_learning(given, benchmarks) if needs_training else None,
            orders=given["orders"],
            seed=given["seed"],
            sample_size=given["sample_size"],
            withhold=given["withhold"],
            prices=_prices(given["price_in"], given["price_out"]),
            workers=given["workers"],
            cluster=cluster_of(
                given["cluster"], given["actors"], given["gpus_per_actor"], given["processes"]
            ),
            budget=Budget.parse(given["budget"]) if given["budget"] else None,
            time_limit=given["time_limit"],
            taught_by=given["taught_by"],
            one_pass=given["one_pass"],
        )
    )


def _benchmarks(given: dict[str, Any]) -> list[Benchmark]:
    from vitarmm_agent.evals.datasets import BENCHMARKS, load_benchmark

    return [
        load_benchmark(
            name,
            given[f"{name}_path"],
            image_dir=given.get(f"{name}_image_dir"),
            split=given["split"],
            sample_size=given["sample_size"],
            seed=given["seed"],
            condition=given["mmlu_condition"] if name == "mmlu" else None,
            siblings=given["siblings"],
            retold=given["retold"],
        )
        for name in BENCHMARKS
        if given[f"{name}_path"]
    ]


def _learning(given: dict[str, Any], benchmarks: tuple[Benchmark, ...]) -> Benchmark | None:
    """The training problems; of the first benchmark's kind, unless ``NAME=`` says otherwise."""
    from vitarmm_agent.evals.datasets import BENCHMARKS, load_benchmark

    if given["train_path"] is None or not benchmarks:
        return None
    name, _, path = given["train_path"].rpartition("=")
    if name and name not in BENCHMARKS:
        raise InputError(f"--train-path names {name!r}; use one of {', '.join(BENCHMARKS)}")
    learning = load_benchmark(
        name or benchmarks[0].name, path, sample_size=given["train_size"], seed=given["seed"]
    )
    if learning.test_only:
        raise InputError(
            f"the licence of {learning.source} allows testing only; learn from another --train-path"
        )
    return learning


def _settings(given: dict[str, Any]) -> Settings:
    from vitarmm_agent.settings import Settings

    return Settings.load(
        reasoner=reasoner_of(given["reasoner"], given["vita_model"], given["base_url"]),
        seed=given["seed"],
        teacher_calls=given["teacher_calls"],
        **{name: given[name] for name in MODEL_SETTINGS}
        | {"rmm": _rmm(given["rmm"], given["rmm_base_model"], given["rmm_lora_adapter"])},
    )


def reasoner_of(reasoner: str | None, vita_model: str | None, base_url: str | None) -> str | None:
    """The reasoner's spec; with a server, its bare name for the model will do."""
    if reasoner and vita_model:
        raise InputError("give --reasoner or --vita-model, not both")
    if vita_model:
        return vita_model if vita_model.startswith("vita:") else f"vita:{vita_model}"
    if reasoner and base_url and ":" not in reasoner:
        return f"openai:{reasoner}"
    return reasoner


def _rmm(rmm: str | None, base: str | None, adapter: Path | None) -> str | None:
    from vitarmm_agent.settings import DEFAULT_CHAT_MODEL

    if rmm and (base or adapter):
        raise InputError("give --rmm, or --rmm-base-model and --rmm-lora-adapter, not both")
    if not base and not adapter:
        return rmm
    spec = base or DEFAULT_CHAT_MODEL
    spec = spec if ":" in spec else f"local:{spec}"
    return f"{spec}+{adapter}" if adapter else spec


def _prices(price_in: float | None, price_out: float | None) -> Prices | None:
    from vitarmm_agent.evals.run.folder import Prices

    if price_in is None and price_out is None:
        return None
    if price_in is None or price_out is None or min(price_in, price_out) < 0:
        raise InputError("give both --price-in and --price-out, in dollars per million tokens")
    return Prices(input=price_in, output=price_out)


def show_plan(plan: EvaluationPlan, *, resume: bool) -> None:
    """Print what would be run, if its folder can be used."""
    from vitarmm_agent.evals.run.runner import check_folder

    check_folder(plan, resume=resume)
    for benchmark in plan.benchmarks:
        words = f"{benchmark.name} {benchmark.split}: {len(benchmark.problems)} problems"
        out.print(safe(f"{words} from {benchmark.source}, {len(benchmark.skipped)} rows left out"))
        if benchmark.taught:
            words = f"taught       {len(benchmark.taught):>6} problems, one of each group"
            unsure = ", where the teacher's solution can be kept"
            out.print(safe(words + unsure * (plan.taught_by == "teacher")))
        if benchmark.untaught:
            words = f"left out     {len(benchmark.untaught):>6} groups that cannot be taught"
            out.print(safe(words))
    for arm in plan.arms:
        out.print(safe(f"{arm.name:<12} {plan.expected()[arm.name]:>6} samples: {arm.summary}"))
    if plan.learning:
        out.print(safe(f"learning     {len(plan.learning.problems):>6} problems beforehand"))
    judged = "one attempt each, which nothing judges" if plan.one_pass else plan.settings.feedback
    out.print(safe(f"reasoner {plan.settings.reasoner}, feedback {judged}"))
    out.print(safe(f"output   {plan.folder.path}"))


def run_plan(plan: EvaluationPlan, *, resume: bool, quiet: bool) -> Outcome:
    """Run it on an event loop, showing how far it is."""
    from vitarmm_agent.cli.eval_progress import EvalProgress
    from vitarmm_agent.evals.run.agents import Models
    from vitarmm_agent.evals.run.runner import evaluate as run

    plan.folder.refuse_unless_usable(resume=resume)
    models = None
    if plan.cluster is None:
        with err.status(f"loading {plan.settings.reasoner}"):
            models = Models.load(plan.settings)
    expected = plan.expected()
    if plan.learning:
        expected = {"learning": len(plan.learning.problems), **expected}
    progress = EvalProgress(err, expected)
    try:
        with progress:
            return asyncio.run(run(plan, models=models, resume=resume, on_sample=progress.add))
    except KeyboardInterrupt:
        err.print(safe(f"interrupted; nothing is lost. Go on with: {again()}"))
        raise
    except ModelServerError as error:
        raise ModelServerError(f"{error}. Go on with: {again()}") from None


def again() -> str:
    """The command line that goes on with this evaluation."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["vitarmm", *words, "--resume"])


def finish(outcome: Outcome, plan: EvaluationPlan, as_json: bool) -> Report | None:
    """Write the reports, and print the headline and where they are; None when nothing is done."""
    from vitarmm_agent.evals.report import write_report

    if outcome.stopped:
        err.print(safe(f"stopped early: {outcome.stopped}. Go on with: {again()}"))
    if not outcome.samples:
        return None
    report = write_report(plan.folder.path)
    if as_json:
        print_json([row.model_dump(mode="json") for row in report.headline])
        return report
    print_headline(report)
    for name in ("report.html", "report.md", "report.json", "samples.jsonl"):
        out.print(safe(plan.folder.path / name))
    return report


def print_headline(report: Report) -> None:
    """Print one line for each arm."""
    from rich.table import Table

    table = Table("arm", "n", "accuracy [95 %]", "crashed", title="Arms")
    for row in report.headline:
        name = f"{row.arm} (ORACLE)" if row.oracle and row.arm != "oracle" else row.arm
        shown = "–"
        if row.accuracy is not None and row.low is not None and row.high is not None:
            shown = f"{row.accuracy:.1%} [{row.low:.1%}, {row.high:.1%}]"
        table.add_row(name, str(row.n), safe(shown), str(row.crashed))
    out.print(table)
    for note in report.notes:
        out.print(safe(f"note: {note}"))
