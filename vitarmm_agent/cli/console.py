"""What all commands share: where they print, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from vitarmm_agent.errors import InputError
from vitarmm_agent.redaction import redact

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
Force = Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")]


def print_json(data: Any) -> None:
    """Print data as JSON on standard output, unstyled."""
    out.print(json.dumps(data, indent=2, ensure_ascii=False, default=str), markup=False)


def unused(path: Path, *, force: bool) -> Path:
    """A path to write to.

    Raises:
        InputError: there is a file already, and ``force`` is not given.
    """
    if path.is_file() and not force:
        raise InputError(f"{str(path)!r} is there already; replace it by --force")
    return path


def safe(value: object) -> Text:
    """Text that a model or user wrote, with terminal control characters made visible."""
    shown = "".join(
        c if c in "\n\t" or (ord(c) >= 32 and not 0x7F <= ord(c) < 0xA0) else f"\\x{ord(c):02x}"
        for c in str(value)
    )
    return Text(shown)


def print_error(error: BaseException) -> None:
    """One clear line on standard error, without secrets."""
    err.print(Text.assemble(("error: ", "bold red"), safe(redact(str(error)))))
