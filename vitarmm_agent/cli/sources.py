"""Options that name files of problems, for the commands that run a memory writer on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vitarmm_agent.training.simulated import Source

FILE_OR_HUB = "a file, or hub:OWNER/NAME"
Gsm8kPath = Annotated[
    str | None, typer.Option(help=f"Rows of GSM8K: {FILE_OR_HUB}.", show_default="none")
]
MathvistaPath = Annotated[
    str | None,
    typer.Option(
        help=f"Rows of MathVista (its licence allows testing only): {FILE_OR_HUB}.",
        show_default="none",
    ),
]
MmluPath = Annotated[
    str | None, typer.Option(help=f"Rows of MMLU: {FILE_OR_HUB}.", show_default="none")
]
ProblemsPath = Annotated[
    str | None,
    typer.Option(
        help="Problems of your own: JSON lines with the fields of Problem.", show_default="none"
    ),
]
ImageDir = Annotated[
    str | None, typer.Option(help="Folder of the images.", show_default="beside the rows")
]
OutputDir = Annotated[Path, typer.Option(help="New or empty folder for all that is written.")]
SampleSize = Annotated[
    int, typer.Option(help="Problems per benchmark, drawn at random; -1 is all.")
]
Attempts = Annotated[int, typer.Option(min=1, help="Attempts per problem and memory.")]


def sources_of(image_dir: str | None, **paths: str | None) -> tuple[Source, ...]:
    """The files that were given, by the name of their benchmark."""
    from vitarmm_agent.training.simulated import Source

    return tuple(
        Source.model_validate({"name": name, "path": path, "image_dir": image_dir})
        for name, path in paths.items()
        if path
    )
