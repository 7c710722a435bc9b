"""Options and helpers of the ``vitarmm memory`` commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitarmm_agent.cli.console import out, print_json, safe
from vitarmm_agent.errors import InputError

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.memory import ReasoningMemory
    from vitarmm_agent.memory_store.schema import MemoryEntry
    from vitarmm_agent.settings import Settings

EntryId = Annotated[str, typer.Argument(help="The entry: its id, or how the id begins.")]
SHORTEST = 4
"""Characters of the beginning of an id by which an entry may be called."""
TYPES = "correction, insight or fact."
Expires = Annotated[
    str | None,
    typer.Option(
        help="Not recalled after this time, or after so long (90d); or never.", show_default="never"
    ),
]


@contextmanager
def opened(
    memory: str | None = None,
    namespace: str | tuple[str, ...] | None = None,
    database: str | None = None,
) -> Iterator[ReasoningMemory]:
    """The memory that options and settings name, closed afterwards."""
    from vitarmm_agent.memory_store.open import OFF, open_memory

    found = open_memory(memory_settings(memory, namespace, database=database))
    if found is None:
        raise InputError(OFF)
    try:
        yield found
    finally:
        found.close()


def memory_settings(
    memory: str | None = None,
    namespace: str | tuple[str, ...] | None = None,
    embedder: str | None = None,
    database: str | None = None,
) -> Settings:
    """Settings from options."""
    from vitarmm_agent.memory_store.namespaces import parse_namespace
    from vitarmm_agent.settings import Settings

    labels = parse_namespace(namespace) if isinstance(namespace, str) else namespace
    return Settings.load(memory=memory, namespace=labels, embedder=embedder, database=database)


def entry_from(**fields: Any) -> MemoryEntry:
    """An entry from options.

    Raises:
        InputError: a field is not allowed.
    """
    from pydantic import ValidationError

    from vitarmm_agent.data import error_lines
    from vitarmm_agent.memory_store.schema import MemoryEntry

    try:
        return MemoryEntry.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"entry cannot be used: {error_lines(error)}") from None


def existing(memory: ReasoningMemory, entry_id: str) -> MemoryEntry:
    """The entry of this id, or the only one whose id begins so.

    Raises:
        InputError: there is none, or several.
    """
    entry = memory.get(whole_entry_id(memory, entry_id))
    if entry is None:
        raise InputError(f"there is no entry {entry_id!r}; see: vitarmm memory list")
    return entry


def whole_entry_id(memory: ReasoningMemory, name: str) -> str:
    """The id that is meant: that one, or the only one that begins so.

    Raises:
        InputError: several do.
    """
    if len(name) < SHORTEST or memory.get(name) is not None:
        return name
    found = [entry.id for entry in memory.list() if entry.id.startswith(name)]
    if len(found) > 1:
        some = ", ".join(found[:3])
        raise InputError(f"{len(found)} entries begin with {name!r}: {some}; give more of the one")
    return found[0] if found else name


def moment(text: str | None) -> datetime | None:
    """A time from text, in UTC.

    Raises:
        InputError: it is no ISO 8601 time.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--as-of must be a time such as 2026-01-31T12:00, got {text!r}") from None
    return found.astimezone(UTC)


def expiry(text: str | None) -> datetime | None:
    """When an entry expires: a time, an age from now on, or never.

    Raises:
        InputError: it is none of these.
    """
    if text is None or text.strip().lower() == "never":
        return None
    return when(text, option="--expires", past=False)


def when(text: str, *, option: str, past: bool) -> datetime:
    """A time, or so long ago or from now (``90d``, ``12h``).

    Raises:
        InputError: it is neither.
    """
    from vitarmm_agent.ages import age

    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) + (-age(text) if past else age(text))
    except (InputError, OverflowError):
        raise InputError(
            f"{option} must be a time such as 2027-01-31, or an age such as 90d or 12h, got {text!r}"
        ) from None


def say_done(what: str, run: str, as_json: bool) -> None:
    """Say what was done and how to undo it."""
    if as_json:
        print_json({"done": what, "run": run})
    else:
        out.print(safe(f"{what}; undo with: vitarmm memory undo {run}"))
