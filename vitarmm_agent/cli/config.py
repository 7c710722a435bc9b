"""``vitarmm config``: what each setting is, where it comes from, and what the user's own file keeps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.cli.shared import Json
from vitarmm_agent.cli.spelling import OTHER_SPELLINGS, spelled, with_dashes
from vitarmm_agent.config_file import read_files, user_file
from vitarmm_agent.errors import InputError

app = typer.Typer(context_settings=spelled(set="changed"))
Name = Annotated[str, typer.Argument(help="A setting, such as reasoner.")]


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not at its default.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show each setting and where it comes from; keep one for all folders with `set`."""
    if context.invoked_subcommand is not None:
        return
    from vitarmm_agent.settings import Settings

    values, files = Settings.load().public(), read_files()
    rows = [(name, value, _source(name, files)) for name, value in values.items()]
    rows = [row for row in rows if not changed or row[2] != "default"]
    if as_json:
        print_json({name: {"value": value, "from": source} for name, value, source in rows})
        return
    table = Table(Column("setting", no_wrap=True), "value", "from", box=None)
    for name, value, source in rows:
        shown = value if isinstance(value, str) else "–" if value is None else json.dumps(value)
        table.add_row(name, safe(shown), safe(source))
    out.print(table if rows else "everything is at its default")


@app.command("set")
def set_(
    name: Name, value: Annotated[str, typer.Argument(help="Its value; lists as JSON.")]
) -> None:
    """Keep a setting in your own file, for every folder: `vitarmm config set reasoner openai:gpt-5-mini`."""
    import tomlkit

    from vitarmm_agent.settings import Settings

    name = _known(name)
    settings = Settings.load(**{name: _read_value(name, value)})
    plain = settings.model_dump(mode="json")[name]
    document = _document()
    document[name] = plain
    _write(tomlkit.dumps(document))
    out.print(safe(f"{name} = {json.dumps(plain)} in {user_file()}"))
    if (stronger := _source(name, read_files())) != f"file {user_file()}":
        out.print(safe(f"here {stronger} says otherwise, and counts"))


@app.command()
def unset(name: Name) -> None:
    """Take a setting out of your own file."""
    import tomlkit

    name, document = _known(name), _document()
    if name not in document:
        raise InputError(
            f"{str(user_file())!r} does not set {name}; `vitarmm config` shows what does"
        )
    del document[name]
    _write(tomlkit.dumps(document))
    out.print(safe(f"{name} is no longer in {user_file()}"))


def _known(name: str) -> str:
    from rapidfuzz import process

    from vitarmm_agent.settings import Settings

    if name.upper().endswith(("_KEY", "_TOKEN")):
        raise InputError(
            f"{name!r} is no setting: keys are read from the environment; export {name}=…"
        )
    known = {with_dashes(field): field for field in Settings.model_fields}
    name = OTHER_SPELLINGS.get(name, name)
    if (field := known.get(with_dashes(name))) is not None:
        return field
    near = process.extractOne(with_dashes(name), [*known])
    raise InputError(f"there is no setting {name!r}; did you mean {known[near[0]]!r}?")


def _read_value(name: str, value: str) -> Any:
    """A value as it was typed: text, or JSON where the setting is no text."""
    from vitarmm_agent.memory_store.namespaces import parse_namespace
    from vitarmm_agent.settings import Settings

    if name == "namespace":
        return parse_namespace(value)
    if Settings.model_fields[name].annotation in (str, str | None, Path, Path | None):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _source(name: str, files: list[tuple[Path, dict[str, Any]]]) -> str:
    variables = {key.upper() for key in os.environ}
    if (variable := f"VITARMM_{name.upper()}") in variables:
        return variable
    return next((f"file {path}" for path, said in files if name in said), "default")


def _document() -> Any:
    import tomlkit

    file = user_file()
    try:
        return (
            tomlkit.parse(file.read_text(encoding="utf-8"))
            if file.is_file()
            else tomlkit.document()
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{str(file)!r} cannot be read: {error}; mend or delete it") from None


def _write(text: str) -> None:
    from vitarmm_agent.private import private_folder, write_text

    file = user_file()
    try:
        private_folder(file.parent)
        write_text(file, text)
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be written: {error.strerror}") from None
