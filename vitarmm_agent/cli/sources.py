"""Options that name files of problems, for the commands that run a memory writer on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vitarmm_agent.training.simulated import Source

Gsm8kPath = Annotated[str | None, typer.Option("--gsm8k_path", help="GSM8K training rows.")]
MathvistaPath = Annotated[
    str | None,
    typer.Option("--mathvista_path", help="MathVista rows; for testing only, by licence."),
]
MmluPath = Annotated[str | None, typer.Option("--mmlu_path", help="MMLU dev or training rows.")]
ProblemsPath = Annotated[str | None, typer.Option("--problems_path", help="Problems of your own.")]
ImageDir = Annotated[
    str | None, typer.Option("--image_dir", help="Where images are; default: beside the rows.")
]


def sources_of(image_dir: str | None, **paths: str | None) -> tuple[Source, ...]:
    """The files that were given, by the name of their benchmark."""
    from vitarmm_agent.training.simulated import Source

    return tuple(
        Source.model_validate({"name": name, "path": path, "image_dir": image_dir})
        for name, path in paths.items()
        if path
    )
