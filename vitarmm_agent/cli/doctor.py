"""``vitarmm doctor``: what is installed, cached, writable, reachable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from vitarmm_agent.cli.console import out, print_json, safe
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


class Check(NamedTuple):
    """One thing looked at; ``needed`` ones make the command fail."""

    what: str
    ok: bool
    found: str
    needed: bool = False


def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Look at what is installed, cached, writable and reachable."""
    from vitarmm_agent.config_file import config_file
    from vitarmm_agent.settings import Settings

    settings = Settings.load()
    file = config_file()
    checks = [
        Check("settings file", True, str(file.resolve()) if file else "none"),
        *_packages(),
        *_weights(settings),
        *_folders(settings),
        *_database(settings),
        *_server(settings),
    ]
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        table = Table("", "what", "found")
        for check in checks:
            mark = ("✓", "green") if check.ok else ("✗", "red") if check.needed else ("–", "yellow")
            table.add_row(Text(*mark), safe(check.what), safe(check.found))
        out.print(table)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(2)


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
        wanted = any(spec.endswith(f":{name}") for spec in (settings.reasoner, settings.embedder))
        hint = f"not cached: vitarmm models pull {name}"
        yield Check(f"weights {name}", name in have, "cached" if name in have else hint, wanted)


def _folders(settings: Settings) -> Iterator[Check]:
    for what, folder in (("cache folder", settings.home), ("data folder", settings.data_dir)):
        problem = _unwritable(folder)
        yield Check(f"{what} {folder}", not problem, problem or _access(folder), needed=True)
    if settings.memory_location == "off":
        yield Check("memory", True, "off")
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


def _server(settings: Settings) -> Iterator[Check]:
    if settings.base_url is None:
        return
    import httpx

    from vitarmm_agent.redaction import public_address, redact
    from vitarmm_agent.servers.openai import checked_address

    what = f"server {public_address(settings.base_url)}"
    try:
        address, query = checked_address(settings.base_url)
        status = httpx.get(f"{address}/models", params=query, timeout=5).status_code
        yield Check(what, status < 500, f"answers {status}", needed=True)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
        yield Check(what, False, redact(f"no answer: {error}"), needed=True)


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
