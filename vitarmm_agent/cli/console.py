"""What all commands share: where they print, and how."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from vitarmm_agent.errors import InputError
from vitarmm_agent.redaction import redact

if TYPE_CHECKING:
    from rich.progress import Progress

NARROWEST = 40
"""Columns; in fewer, those of a table would vanish."""
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class PlainConsole(Console):
    """A console on which no printed text moves the cursor, makes links, or asks the terminal anything.

    Names of runs, entries and models come from files that someone may have mailed: whatever is
    printed, its control characters are made visible and its brackets are no markup.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        """Print to standard output, or to standard error."""
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        if self._width is not None:  # as COLUMNS says; 0 is of a terminal that does not know
            self._width = max(self._width, NARROWEST) if self._width else None

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """As in the base class, with control characters of the text made visible."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control or text.isprintable() else Segment(_visible(text), style)

    def on_broken_pipe(self) -> None:
        """Nobody reads any more (``… | head -1``): say no more, and let the command go on to its end."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


out = PlainConsole()
err = PlainConsole(stderr=True)


def fit_streams() -> None:
    """Let everything be printed, wherever it goes. For processes of ours, not for libraries.

    A character that the terminal's encoding lacks is replaced; a stream that was closed leads nowhere.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream, mode = getattr(sys, name), "r" if name == "stdin" else "w"
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="replace"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def data_out() -> TextIO:
    """Standard output for data that another program reads: UTF-8 in any terminal."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="strict")
    return sys.stdout


def read_input() -> str:
    """All of standard input.

    Raises:
        InputError: its bytes are not of its encoding.
    """
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(
            f"standard input is not {error.encoding}: {error.reason} at byte {error.start}; save the text "
            "as UTF-8, and set PYTHONIOENCODING=utf-8 where the terminal says otherwise"
        ) from None


WIDE = 100
"""Columns of a terminal on which lists show more."""


def counted(number: int, one: str, many: str = "") -> str:
    """``1 entry``, ``2 entries``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def print_json(data: Any) -> None:
    """Print data as JSON on standard output, unstyled; no encoding lacks a character of it."""
    ascii_only = "utf" not in out.encoding
    out.print(json.dumps(data, indent=2, ensure_ascii=ascii_only, default=str), markup=False)


@contextmanager
def progress_shown(bar: Progress) -> Iterator[Progress]:
    """A progress bar: on a terminal at once, elsewhere from its ``start`` on, when work has begun."""
    if err.is_terminal:
        bar.start()
    try:
        yield bar
    finally:
        if bar.live.is_started:
            bar.stop()


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
    return Text(_visible(str(value)))


def done_to(kind: str) -> str:
    """What became of the entry that is named beside it: one that supersedes another is added."""
    return "added" if kind == "superseded" else kind


def print_error(error: BaseException) -> None:
    """One clear line on standard error, without secrets."""
    err.print(Text.assemble(("error: ", "bold red"), safe(redact(str(error)))))


def _visible(text: str) -> str:
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    """A control character, or one that turns the direction of what follows, as its escape."""
    code = ord(char)
    if code < 32 and char not in "\n\t":
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if 0x7F <= code < 0xA0 or char in _DIRECTIONS else char
