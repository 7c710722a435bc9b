"""Options that several commands share, each in one place; those that are settings are in ``options``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitarmm_agent.cli.console import read_input
from vitarmm_agent.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where it stopped.")]
Seed = Annotated[int, typer.Option(help="Seed of all that is drawn at random.")]
Workers = Annotated[int, typer.Option(min=1, help="How many are worked on at once.")]
Split = Annotated[
    str | None, typer.Option(help="Only rows of this split.", show_default="all rows")
]
Limit = Annotated[int, typer.Option(min=1, help="Show this many at most.")]
Offset = Annotated[int, typer.Option(min=0, help="Skip this many.")]

Run = Annotated[
    str, typer.Argument(metavar="THREAD", help="The run: its id, or how it begins or ends.")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept.", show_default="none")]
Step = Annotated[
    int | None, typer.Option(min=1, help="Number of the wrong step.", show_default="none")
]
By = Annotated[str, typer.Option(help="Who says so.", show_default="you")]
MAX_BYTES = 100_000
SOLUTION = "A right solution: a file, or the text (steps, a line each, then 'Answer: …'); - reads standard input."

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        help="Another name that the server is reached by, such as a proxy's; repeatable.",
        show_default="none",
    ),
]
Fill = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="NAME=VALUE that fills a template of the memory's namespace; repeatable.",
        show_default="none",
    ),
]


def solution_text(solution: str) -> str:
    """The solution that ``--solution`` names, from where it is.

    Raises:
        InputError: the file cannot be read, or is no text of a bounded size.
    """
    if solution == "-":
        return read_input()
    try:
        path = Path(solution)
        if "\n" in solution or not path.is_file():
            return _as_text(solution)
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{solution!r} has more than {MAX_BYTES:,} bytes; a solution is short")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{solution!r} cannot be read: {error}") from None


def _as_text(solution: str) -> str:
    if "\n" in solution or "answer" in solution.lower():
        return solution
    raise InputError(
        f"--solution {solution!r} is no file, and no solution: write steps, a line each, and a last line "
        "'Answer: …'"
    )
