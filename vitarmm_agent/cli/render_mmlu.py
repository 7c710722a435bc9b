"""``vitarmm eval render-mmlu``: MMLU questions as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from vitarmm_agent.cli.console import err, out, print_json
from vitarmm_agent.cli.shared import Json, Seed, Split
from vitarmm_agent.cli.sources import SampleSize
from vitarmm_agent.errors import InputError

MAX_SHOWN = 5


def render_mmlu(
    data: Annotated[Path, typer.Argument(help="MMLU as .csv, .jsonl or .json, plain or .gz.")],
    folder: Annotated[Path, typer.Argument(help="New folder for mmlu.jsonl and images/.")],
    fonts: Annotated[
        str,
        typer.Option(help="Font files or names, joined by commas.", show_default="DejaVuSans"),
    ] = "",
    sizes: Annotated[str, typer.Option(help="Font sizes in pixels, joined by commas.")] = "16",
    width: Annotated[int, typer.Option(help="Width of the pictures in pixels.")] = 800,
    layout: Annotated[
        str, typer.Option(help="Where the options are: list, grid, inline or mixed.")
    ] = "list",
    split: Split = None,
    sample_size: SampleSize = -1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Render MMLU questions into pictures, with rows that `--mmlu-path` takes."""
    from vitarmm_agent.evals.datasets import load_benchmark
    from vitarmm_agent.evals.datasets.render import render_mmlu as render

    benchmark = load_benchmark(
        "mmlu", data, split=split, sample_size=sample_size, seed=seed, condition="text"
    )
    made = render(
        benchmark,
        folder,
        fonts=_listed(fonts),
        sizes=_numbers(sizes),
        width=width,
        layout=cast(Any, layout),
        seed=seed,
    )
    skipped = [*benchmark.skipped, *made.skipped]
    if as_json:
        print_json({**made.model_dump(), "skipped": [row.model_dump() for row in skipped]})
        return
    out.print(f"{made.count} pictures, {made.rows}", markup=False)
    for row in skipped[:MAX_SHOWN]:
        err.print(f"left out: {row.line}: {row.reason}", markup=False)
    if len(skipped) > MAX_SHOWN:
        err.print(f"… and {len(skipped) - MAX_SHOWN} more", markup=False)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in _listed(text))
    except ValueError:
        raise InputError(f"--sizes {text!r} is no list of numbers; write 16,24,32") from None
