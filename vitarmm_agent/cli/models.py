"""``vitarmm models``: what weights there are, fetching and removing them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitarmm_agent.cli.console import err, out, print_json
from vitarmm_agent.cli.shared import Json
from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.settings import Settings
from vitarmm_agent.weights import CATALOG, installed, pull, remove, resolve
from vitarmm_agent.weights.store import lookup, megabytes

app = typer.Typer(help="Fetch, list and remove model weights.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the weights; `vitarmm models list` shows all.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """Show the weights that can be pulled, and which are on this machine."""
    present = {found.name: found.path for found in installed(Settings.load().home)}
    if as_json:
        rows = [
            {
                "name": entry.name,
                "kind": entry.kind,
                "licence": entry.licence,
                "bytes": entry.size,
                "about": entry.about,
                "sha256": {file.path: file.sha256 for file in entry.files},
                "path": str(present[entry.name]) if entry.name in present else None,
            }
            for entry in CATALOG.values()
        ]
        print_json(rows)
        return
    from rich.table import Column, Table

    table = Table(Column("name", no_wrap=True), "kind", "size", "here", "what it is", box=None)
    for entry in CATALOG.values():
        here = "yes" if entry.name in present else ""
        about = f"{entry.about} ({entry.licence})"
        table.add_row(entry.name, entry.kind, megabytes(entry.size), here, about)
    out.print(table)


@app.command("pull")
def pull_models(
    names: Annotated[list[str], typer.Argument(help="Names of the weights to fetch.")],
) -> None:
    """Fetch weights, check their SHA-256, and keep them in the cache."""
    home = Settings.load().home
    for name in names:
        lookup(name)
    for name in names:
        path = pull_with_progress(name, home)
        make_ready(name, path, home)
        out.print(f"{name}: {path}", markup=False)


@app.command("path")
def path_of(name: Name) -> None:
    """Print where weights lie."""
    out.print(str(resolve(name, Settings.load().home)), markup=False)


@app.command("remove")
def remove_models(
    names: Annotated[list[str], typer.Argument(help="Names of the weights to delete.")],
) -> None:
    """Delete weights from the cache, and what was made of them."""
    home = Settings.load().home
    for name in names:
        freed = remove(name, home)
        out.print(f"removed {name}: {megabytes(freed)} freed", markup=False)


@app.command("convert-vita")
def convert_vita(
    source: Annotated[Path, typer.Argument(help="VITA checkpoint in the published layout.")],
    target: Annotated[Path, typer.Argument(help="New folder to write.")],
    vita_model_type: Annotated[
        str | None,
        typer.Option(help="Model type of a VITA checkpoint.", show_default="what it says"),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="bfloat16, float16 or float32.", show_default="the checkpoint's"),
    ] = None,
) -> None:
    """Write a VITA checkpoint as a normal transformers folder, which loads without conversion."""
    if not source.is_dir():
        raise InputError(
            f"there is no folder {str(source)!r}; name one that holds a VITA checkpoint"
        )
    from vitarmm_agent.models.vita.convert import convert

    try:
        written = convert(source, target, vita_model_type, dtype)
    except ImportError as error:
        raise MissingExtraError("converting VITA", "torch") from error
    out.print(f"written: {written}", markup=False)


def pull_with_progress(name: str, home: Path) -> Path:
    """Pull weights while a progress bar on standard error shows how far it is.

    Raises:
        WeightsError: as :func:`vitarmm_agent.weights.pull`.
    """
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(name, total=lookup(name).size)
        return pull(
            name,
            home,
            lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            ),
        )


def make_ready(name: str, path: Path, home: Path) -> None:
    """Make an embedder's GGUF file now: who embeds later may not be allowed to write here."""
    from vitarmm_agent.memory_store.bert_gguf import BertFolder

    if lookup(name).kind == "embedding" and (bert := BertFolder.of(path, home)):
        bert.gguf()
