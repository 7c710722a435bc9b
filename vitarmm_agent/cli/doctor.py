"""``vitarmm doctor``: whether what the settings choose can run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.doctor_models import Check, check_models, check_verifiers, roles
from vitarmm_agent.cli.options import NOTHING, ROLES, Given, takes_settings
from vitarmm_agent.cli.shared import Json
from vitarmm_agent.private import private_folder

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

BASE = ("langgraph", "langchain-core", "langchain-openai", "chromadb", "math-verify", "xllamacpp")
EXTRAS = {
    "torch": ("torch", "transformers", "xgrammar", "sentence-transformers", "peft"),
    "ocr": ("rapidocr-onnxruntime",),
    "mcp": ("mcp",),
    "server": ("langgraph-cli",),
    "postgres": ("langgraph-checkpoint-postgres", "psycopg", "psycopg-pool"),
    "cluster": ("ray",),
    "quantized": ("bitsandbytes",),
}


@takes_settings(*ROLES, "base_url", "images")
def doctor(
    ask: Annotated[
        bool, typer.Option("--ask", help="Also ask each chosen model for one word.")
    ] = False,
    given: Given = NOTHING,
    as_json: Json = False,
) -> None:
    """Check that what you have chosen can run: models, keys, servers, memory, database.

    Exit code 0: ready. 2: something that your settings need is missing; the last lines say what.
    """
    from vitarmm_agent.config_file import config_file
    from vitarmm_agent.settings import Settings

    settings = Settings.load(**given)
    file = config_file()
    checks = [
        Check("settings file", True, str(file.resolve()) if file else "none"),
        *_packages(),
        *_weights(settings),
        *_folders(settings),
        *check_verifiers(settings),
        *check_models(settings, ask=ask),
    ]
    checks += _memory(settings, checks)
    checks += _database(settings)
    wrong = [check for check in checks if check.needed and not check.ok]
    if as_json:
        rows = [check._asdict() for check in checks]
        print_json({"ready": not wrong, "checks": rows})
    else:
        _print(checks, wrong, settings)
    if wrong:
        raise typer.Exit(2)


def _print(checks: list[Check], wrong: list[Check], settings: Settings) -> None:
    table = Table("", "what", "found")
    for check in checks:
        mark = ("✓", "green") if check.ok else ("✗", "red") if check.needed else ("–", "yellow")
        table.add_row(Text(*mark), safe(check.what), safe(check.found))
    out.print(table)
    if wrong:
        out.print(f"not ready: {len(wrong)} of what your settings need is missing")
        for check in wrong:
            out.print(safe(f"  {check.what}: {check.found}"))
    else:
        out.print(safe(f"ready: vitarmm solve will use {settings.reasoner}"))


def _packages() -> Iterator[Check]:
    for package in BASE:
        version = _version(package)
        yield Check(package, version is not None, version or "not installed", needed=True)
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if _version(package) is None]
        hint = f'missing {", ".join(missing)}: pip install "vitarmm-agent[{extra}]"'
        yield Check(f"extra {extra}", not missing, hint if missing else "installed")


def _weights(settings: Settings) -> Iterator[Check]:
    from vitarmm_agent.weights import CATALOG, installed

    have = {found.name for found in installed(settings.home)}
    for name in CATALOG:
        hint = f"not here: vitarmm models pull {name}"
        yield Check(f"weights {name}", name in have, "here" if name in have else hint)


def _folders(settings: Settings) -> Iterator[Check]:
    local = any(spec.startswith("local:") for spec in (*roles(settings), settings.embedder))
    for what, folder, needed in (
        ("cache folder", settings.home, local),
        ("data folder", settings.data_dir, True),
    ):
        problem = _unwritable(folder)
        yield Check(f"{what} {folder}", not problem, problem or _access(folder), needed)


def _memory(settings: Settings, so_far: list[Check]) -> Iterator[Check]:
    """The memory; where its embedder is missing, that was said."""
    if settings.memory_location == "off":
        yield Check("memory", True, "off")
        return
    if any(not check.ok and check.what.startswith("embedder ") for check in so_far):
        return
    from vitarmm_agent.errors import UserError
    from vitarmm_agent.memory_store.identity import is_url
    from vitarmm_agent.memory_store.open import history_place, open_memory
    from vitarmm_agent.redaction import public_address

    try:
        open_memory(settings)
    except UserError as error:
        yield Check("memory", False, str(error), needed=True)
    else:
        location = settings.memory_location
        history = f"; {history_place(settings)}" if is_url(location) else ""
        yield Check("memory", True, public_address(location) + history)


def _database(settings: Settings) -> Iterator[Check]:
    if settings.database_address is None:
        return
    from vitarmm_agent.errors import UserError
    from vitarmm_agent.graphs.open_checkpoints import open_traces
    from vitarmm_agent.redaction import public_address

    try:
        open_traces(settings)
    except UserError as error:
        yield Check("database", False, str(error), needed=True)
    else:
        yield Check("database", True, public_address(settings.database_address))


def _unwritable(folder: Path) -> str:
    import tempfile

    try:
        private_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"not writable: {error.strerror}"


def _access(folder: Path) -> str:
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        return f"writable, and open to other users of this machine: chmod -R go-rwx {folder}"
    return "writable"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
