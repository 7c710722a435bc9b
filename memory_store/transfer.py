"""Entries as JSON Lines: one entry a line, with everything that is known of it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.memory_store.schema import SCHEMA_VERSION, MemoryEntry, Provenance
from vitarmm_agent.memory_store.untrusted import injection_signs
from vitarmm_agent.private import whole_file

MAX_LINE = 200_000
MAX_FILE = 512 * 2**20
"""Characters of a file."""
MAX_BAD = 10_000
"""Bad lines after which a file is no export of a memory, and is read no further."""
Conflict = Literal["skip", "replace", "fail"]
"""What an import does with an id that the memory has already, with other content."""


class BadLine(BaseModel):
    """A line that cannot be imported; ``number`` counts from 1.

    ``place`` says what it is of where it is no line: a skill, say.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    reason: str
    place: str = ""

    def __str__(self) -> str:
        """Where it is, and what is wrong with it."""
        return f"{self.place or f'line {self.number}'} {self.reason}"


class Imported(BaseModel):
    """What an import did.

    Attributes:
        run: the run that ``undo`` takes to take it back; empty when nothing was written.
        added, replaced: how many entries were new, and how many took the place of another.
        quarantined: how many of them wait for review.
        skipped: how many were there already, the same or (by choice) another version.
        bad: lines left out.
        notes: links to unknown entries that were dropped.
    """

    model_config = ConfigDict(frozen=True)

    run: str = ""
    added: int = 0
    replaced: int = 0
    quarantined: int = 0
    skipped: int = 0
    bad: tuple[BadLine, ...] = ()
    notes: tuple[str, ...] = ()


def dump_lines(entries: Iterable[MemoryEntry]) -> Iterator[str]:
    """Each entry as a line, oldest first."""
    for entry in sorted(entries, key=lambda e: (e.created_at, e.id)):
        yield entry.model_dump_json() + "\n"


def parse_lines(lines: Iterable[str]) -> tuple[list[MemoryEntry], list[BadLine]]:
    """Entries of the good lines, and what is wrong with the others; empty lines are passed over.

    Raises:
        InputError: there are more than :data:`MAX_BAD` others.
    """
    entries: dict[str, MemoryEntry] = {}
    bad: list[BadLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = _parse_line(line)
            if entry.id in entries:
                raise InputError(f"id {entry.id!r} is on an earlier line already")
            entries[entry.id] = entry
        except InputError as error:
            bad.append(BadLine(number=number, reason=str(error)))
            if len(bad) > MAX_BAD:
                raise InputError(
                    f"more than {MAX_BAD:,} lines cannot be imported, the first of them: {bad[0]}; "
                    "give a file that a memory was exported to"
                ) from None
    return list(entries.values()), bad


def distrusted(entry: MemoryEntry, objection: str = "") -> MemoryEntry:
    """An entry of a file that anyone may have written.

    What it claims to have been good for and where it claims to come from count for nothing, and it
    waits for review when it seems to instruct the model, or there is an ``objection`` to it.
    """
    held: dict[str, Any] = {}
    signs = ", ".join(injection_signs(entry))
    if (
        why := "; ".join(filter(None, (signs and f"it {signs}", objection)))
    ) and not entry.quarantined:
        reason = f"imported, and {why}"
        held = {"quarantined": True, "metadata": entry.metadata | {"quarantined": reason}}
    reset = {"used": 0, "helpful": 0, "harmful": 0, "provenance": Provenance(writer="import")}
    if entry.example is not None:
        held["example"] = entry.example.model_copy(update={"verified_by": "import"})
    return entry.model_copy(update=reset | held)


def without_loose_ends(
    entries: Iterable[MemoryEntry], known: set[str]
) -> tuple[list[MemoryEntry], list[str]]:
    """Entries without links to ids that are not ``known``, and what was dropped."""
    kept, notes = [], []
    for entry in entries:
        links = tuple(i for i in entry.related_to if i in known)
        if links != entry.related_to:
            dropped = [i for i in entry.related_to if i not in known]
            notes.append(f"{entry.id}: link to unknown {', '.join(dropped)} dropped")
            entry = entry.model_copy(update={"related_to": links})
        kept.append(entry)
    return kept, notes


def read_lines(source: Path | str | IO[str]) -> Iterable[str]:
    """The lines of a file or stream, one by one: a hostile file may have millions.

    Raises:
        InputError: the file cannot be read.
    """
    if not isinstance(source, (str, Path)):
        return source
    try:
        with open(source, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"{str(source)!r} cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE:
        raise InputError(f"{str(source)!r} has more than {MAX_FILE:,} characters; split it")
    return io.StringIO(text)


@contextmanager
def writing(target: Path | str | IO[str]) -> Iterator[IO[str]]:
    """A stream to write to; a file appears whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    if not isinstance(target, (str, Path)):
        yield target
        return
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from None


def _parse_line(line: str) -> MemoryEntry:
    if len(line) > MAX_LINE:
        raise InputError(f"has {len(line):,} characters; the limit is {MAX_LINE:,}")
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InputError(f"is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"is a JSON {type(row).__name__}, not an object")
    version = row.get("schema_version", SCHEMA_VERSION)
    if version not in range(1, SCHEMA_VERSION + 1):
        raise InputError(
            f"has schema_version {version!r}; this version reads 1 to {SCHEMA_VERSION}"
        )
    try:
        return MemoryEntry.model_validate(row)
    except ValidationError as error:
        raise InputError(error_lines(error)) from None
