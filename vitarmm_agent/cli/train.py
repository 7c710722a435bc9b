"""``vitarmm train``: a LoRA adapter for the memory writer, from simulated decisions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.console import err, out, progress_shown
from vitarmm_agent.settings import Settings
from vitarmm_agent.training.config import (
    DEFAULT_RATES,
    Precision,
    SaveFormat,
    Stage,
    TrainingConfig,
    require_packages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vitarmm_agent.training.callbacks import Progress
    from vitarmm_agent.training.lora import TrainingResult

FIELDS = TrainingConfig.model_fields


def _option(name: str, *spellings: str, **more: Any) -> Any:
    """An option whose help is the field's."""
    return typer.Option(*spellings, help=FIELDS[name].description, **more)


def _default(name: str) -> Any:
    return FIELDS[name].default


def train(
    data_path: Annotated[Path, _option("data_path", "--data")],
    output_dir: Annotated[Path, _option("output_dir")],
    model_name: Annotated[str, _option("model_name")] = _default("model_name"),
    stage: Annotated[Stage, _option("stage")] = _default("stage"),
    adapter: Annotated[Path | None, _option("adapter", show_default="a new one")] = None,
    labels: Annotated[list[str] | None, _option("labels", show_default="chosen")] = None,
    lora_r: Annotated[int, _option("lora_r")] = _default("lora_r"),
    lora_alpha: Annotated[int, _option("lora_alpha")] = _default("lora_alpha"),
    lora_dropout: Annotated[float, _option("lora_dropout")] = _default("lora_dropout"),
    target_modules: Annotated[str, _option("target_modules")] = _default("target_modules"),
    train_batch_size: Annotated[int, _option("train_batch_size")] = _default("train_batch_size"),
    eval_batch_size: Annotated[int, _option("eval_batch_size")] = _default("eval_batch_size"),
    num_epochs: Annotated[float, _option("num_epochs")] = _default("num_epochs"),
    max_steps: Annotated[int | None, _option("max_steps", show_default="no limit")] = None,
    gradient_accumulation_steps: Annotated[int, _option("gradient_accumulation_steps")] = _default(
        "gradient_accumulation_steps"
    ),
    learning_rate: Annotated[
        float | None,
        _option(
            "learning_rate",
            show_default=f"{DEFAULT_RATES['sft']:g}; for dpo {DEFAULT_RATES['dpo']:g}",
        ),
    ] = None,
    beta: Annotated[float, _option("beta")] = _default("beta"),
    max_length: Annotated[int, _option("max_length")] = _default("max_length"),
    packing: Annotated[
        bool | None, _option("packing", "--packing/--no-packing", show_default="on CUDA")
    ] = None,
    gradient_checkpointing: Annotated[bool, _option("gradient_checkpointing")] = True,
    dtype: Annotated[Precision, _option("dtype")] = _default("dtype"),
    save_dtype: Annotated[SaveFormat, _option("save_dtype")] = _default("save_dtype"),
    qlora: Annotated[bool, _option("qlora", "--qlora")] = False,
    eval_fraction: Annotated[float, _option("eval_fraction")] = _default("eval_fraction"),
    save_steps: Annotated[int, _option("save_steps")] = _default("save_steps"),
    seed: Annotated[int, _option("seed")] = _default("seed"),
    resume: Annotated[bool, _option("resume", "--resume")] = False,
) -> None:
    """Train a LoRA adapter for the memory writer on simulated decisions.

    On several GPUs: accelerate launch --num_processes N -m vitarmm_agent.cli train …
    """
    config = TrainingConfig.parse(**locals() | {"labels": tuple(labels) if labels else None})
    require_packages(config)
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as for local models
    from vitarmm_agent.training.lora import is_first
    from vitarmm_agent.training.lora import train as run

    home = Settings.load().home
    if not is_first():
        run(config, home=home)
        return
    with _bar(config) as tell:
        result = run(config, home=home, on_progress=tell)
    _print(config, result)


@contextmanager
def _bar(config: TrainingConfig) -> Iterator[Callable[[Progress], None]]:
    """A progress bar with the loss and the time left, on standard error."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    err.print(f"loading {config.base_name}", markup=False)
    with progress_shown(Bar(*columns, console=err)) as bar:
        task = bar.add_task("training", total=None, loss="")

        def tell(progress: Progress) -> None:
            bar.start()
            loss = "" if progress.loss is None else f"loss {progress.loss:.4f}"
            bar.update(task, total=progress.total, completed=progress.step, loss=loss)

        try:
            yield tell
        except KeyboardInterrupt:
            err.print("interrupted; go on from the last checkpoint with --resume")
            raise


def _print(config: TrainingConfig, result: TrainingResult) -> None:
    """What was made, and how to use it."""
    from vitarmm_agent.training.dataset import summary

    encoded, skipped = result.encoded, result.encoded.skipped
    lines = [
        f"adapter: {result.adapter} ({result.size / 1e6:.1f} MB)",
        f"rows: {len(encoded.train)} to learn from, {len(encoded.evaluation)} kept for evaluation "
        f"(problems: {encoded.held_out})",
    ]
    if skipped:
        lines.append(f"left out: {summary(skipped)}")
    if result.data.other_labels:
        counts = ", ".join(f"{n} {label}" for label, n in sorted(result.data.other_labels.items()))
        lines.append(f"other labels: {counts}")
    if result.losses:
        lines.append(f"loss: {result.losses[0]:.4f} at first, {result.losses[-1]:.4f} at last")
    if result.eval_loss is not None:
        lines.append(f"loss on held-out problems: {result.eval_loss:.4f}")
    lines.append(f'use it: vitarmm solve --rmm "local:{config.base_name}+{result.adapter}" "…"')
    out.print("\n".join(lines), markup=False)
