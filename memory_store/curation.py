"""Looking after a memory: list, edit, review, merge, forget, export, import."""

from __future__ import annotations

import builtins
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, get_args

from pydantic import ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.relations import merge
from vitarmm_agent.memory_store.schema import EntryType, Example, MemoryEntry, State
from vitarmm_agent.memory_store.transfer import (
    BadLine,
    Conflict,
    Imported,
    distrusted,
    dump_lines,
    parse_lines,
    read_lines,
    without_loose_ends,
    writing,
)
from vitarmm_agent.memory_store.write_group import Planned, WriteGroup
from vitarmm_agent.memory_store.write_plan import WritePlan
from vitarmm_agent.options import one_of

logger = logging.getLogger(__name__)

Objection = Callable[[Example], str]
"""Says what is wrong with a worked example; nothing where nothing is found."""
BULK = 500
"""Entries of one batch when many are written."""


@dataclass(frozen=True)
class Curation:
    """What a person does with a memory."""

    entry_store: EntryStore
    group: WriteGroup
    journal: Journal | None
    objection: Objection | None = None

    def objection_to(self, entry: MemoryEntry) -> str:
        """What is wrong with the example of an entry; nothing where it has none, or a right one."""
        if entry.example is None or self.objection is None:
            return ""
        why = self.objection(entry.example)
        return why and f"its example is wrong: {why}"

    def get(self, entry_id: str) -> Flow[MemoryEntry | None]:
        """The entry with this id, or None."""
        found = yield from self.entry_store.get([entry_id])
        return found.get(entry_id)

    def list(
        self,
        *,
        entry_type: str | None = None,
        state: State | None = None,
        superseded_by: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Flow[builtins.list[MemoryEntry]]:
        """Entries of one type, state or successor, in the store's order (Chroma: last changed first)."""
        one_of("state", state, get_args(State))
        one_of("entry_type", entry_type, get_args(EntryType))
        timed = state in ("live", "expired")  # the store does not know what time it is
        wanted = {"entry_type": entry_type, "state": "live" if timed else state,
                  "superseded_by": superseded_by}  # fmt: skip
        conditions = {name: value for name, value in wanted.items() if value is not None}
        over = (yield from self.entry_store.expired(datetime.now(UTC))) if timed else []
        if state == "expired":
            over = [e for e in over if e.live and entry_type in (None, e.entry_type)]
            return over[offset:][:limit]
        options = {} if limit is None or over else {"limit": limit, "offset": offset}
        found = yield from self.entry_store.scan(filter=conditions or None, **options)
        gone = {entry.id for entry in over}
        found = [entry for entry in found if entry.id not in gone]
        return found[offset:][:limit] if "limit" not in options else found

    def change(
        self,
        changes: Mapping[str, MemoryEntry | None],
        *,
        kind: str,
        reason: str,
        run: str = "",
        part: int = 0,
    ) -> Flow[str]:
        """Set entries to what a person decided, or delete them (None); returns the run to undo.

        This does not consolidate: what is given is what is kept.
        """
        return (
            yield from self.decide(
                list(changes), lambda _: changes, kind=kind, reason=reason, run=run, part=part
            )
        )

    def decide(
        self,
        entry_ids: Sequence[str],
        changes: Callable[[Mapping[str, MemoryEntry]], Mapping[str, MemoryEntry | None]],
        *,
        kind: str,
        reason: str,
        run: str = "",
        part: int = 0,
    ) -> Flow[str]:
        """:meth:`change`, where what an entry becomes depends on what it is.

        Those of ``entry_ids`` that there are, as they are, are given to ``changes`` while no other can
        write, so that what others count or edit meanwhile is not lost.
        """
        run = run or person_run(kind)

        def plan() -> Flow[Planned]:
            plan = WritePlan((yield from self.entry_store.get(entry_ids)))
            for entry_id, entry in changes(plan.known).items():
                plan.put(kind, entry_id, entry, reason)
            return plan, []

        yield from self.group.once(self.entry_store, f"{kind}:{run}:{part}", run, 0, plan)
        return run

    def forget(self, entry_id: str, *, reason: str = "") -> Flow[str]:
        """Delete an entry; returns the run that ``undo`` takes to bring it back.

        Raises:
            InputError: there is no such entry.
        """

        def forgotten(known: Mapping[str, MemoryEntry]) -> Mapping[str, None]:
            return {_needed(known, entry_id).id: None}

        return (yield from self.decide([entry_id], forgotten, kind="forget", reason=reason))

    def edit(self, entry_id: str, fields: Mapping[str, Any], *, reason: str = "") -> Flow[str]:
        """Change fields of an entry, given by name; returns the run that ``undo`` takes.

        Raises:
            InputError: there is no such entry, a field or value is not allowed, or the new example is
                wrong.
        """

        def edited(known: Mapping[str, MemoryEntry]) -> Mapping[str, MemoryEntry]:
            data = _needed(known, entry_id).model_dump() | dict(fields)
            data |= {"id": entry_id, "updated_at": datetime.now(UTC)}
            try:
                entry = MemoryEntry.model_validate(data)
            except ValidationError as error:
                raise InputError(f"entry {entry_id}: {error_lines(error)}") from None
            if _says(entry) != _says(known[entry_id]) and (why := self.objection_to(entry)):
                raise InputError(f"entry {entry_id}: {why}")
            return {entry_id: entry}

        return (yield from self.decide([entry_id], edited, kind="edit", reason=reason))

    def review(self, entry_id: str, *, accept: bool, reason: str = "") -> Flow[str]:
        """Decide on a quarantined entry: recall it again, or forget it.

        Raises:
            InputError: there is no such entry, or it is not quarantined.
        """

        def reviewed(known: Mapping[str, MemoryEntry]) -> Mapping[str, MemoryEntry | None]:
            entry = _needed(known, entry_id)
            if not entry.quarantined:
                raise InputError(f"entry {entry_id!r} is not quarantined; nothing to review")
            metadata = {k: v for k, v in entry.metadata.items() if k != "quarantined"}
            update = {"quarantined": False, "metadata": metadata, "updated_at": datetime.now(UTC)}
            return {entry_id: entry.model_copy(update=update) if accept else None}

        kind = "accept" if accept else "reject"
        return (yield from self.decide([entry_id], reviewed, kind=kind, reason=reason))

    def merge(self, entry_id: str, other_id: str, *, reason: str = "") -> Flow[str]:
        """Merge the second entry into the first; it stays, superseded.

        Raises:
            InputError: there is no such entry, or both are the same.
        """
        if entry_id == other_id:
            raise InputError(f"give two different entries to merge, got {entry_id!r} twice")

        def merged(known: Mapping[str, MemoryEntry]) -> Mapping[str, MemoryEntry]:
            one, other = _needed(known, entry_id), _needed(known, other_id)
            gone = {"superseded_by": one.id, "updated_at": datetime.now(UTC)}
            return {one.id: merge(one, other), other.id: other.model_copy(update=gone)}

        return (yield from self.decide([entry_id, other_id], merged, kind="merge", reason=reason))

    # transfer

    def export(self, target: Path | str | IO[str]) -> Flow[int]:
        """Write all entries, in any state, as JSON Lines; returns how many.

        Raises:
            InputError: the file cannot be written.
        """
        entries = yield from self.entry_store.scan()
        with writing(target) as file:
            file.writelines(dump_lines(entries))
        return len(entries)

    def import_(
        self,
        source: Path | str | IO[str],
        *,
        keep_good: bool = False,
        on_conflict: Conflict = "fail",
        trust: bool = False,
    ) -> Flow[Imported]:
        """Take in entries from JSON Lines, without consolidating them.

        Anyone may have written the file: counts and provenance are reset, and what seems to instruct
        the model, or has an example that is wrong, waits for review.

        Args:
            source: file or stream.
            keep_good: take the good lines of a file that has bad ones; otherwise take none.
            on_conflict: what to do with an id that is here already, with other content.
            trust: take the entries as they are, with their counts, provenance and state.

        Raises:
            InputError: the file cannot be read, or has bad lines or conflicts that were not
                allowed; nothing was written.
        """
        entries, bad = parse_lines(read_lines(source))
        return (
            yield from self.take_in(
                entries, bad, keep_good=keep_good, on_conflict=on_conflict, trust=trust
            )
        )

    def take_in(
        self,
        entries: Sequence[MemoryEntry],
        bad: Sequence[BadLine],
        *,
        keep_good: bool,
        on_conflict: Conflict,
        trust: bool,
    ) -> Flow[Imported]:
        """What :meth:`import_` does with what it read: the entries, and what cannot be one."""
        one_of("on_conflict", on_conflict, get_args(Conflict))
        if bad and not keep_good:
            raise _none_taken(bad)
        taken = yield from in_thread(self._taken, entries, trust)
        known = yield from self.entry_store.get(list(taken))
        conflicts = [e for e in entries if e.id in known and known[e.id] not in (e, taken[e.id])]
        if conflicts and on_conflict == "fail":
            ids = ", ".join(entry.id for entry in conflicts[:5])
            raise InputError(
                f"{len(conflicts)} entries are here already with other content ({ids}), so none "
                "was imported; choose --on-conflict skip or replace"
            )
        wanted = [
            taken[e.id] for e in entries
            if e.id not in known or (e in conflicts and on_conflict == "replace")
        ]  # fmt: skip
        linked = yield from self.entry_store.get([i for e in wanted for i in e.related_to])
        wanted, notes = without_loose_ends(wanted, {e.id for e in entries} | linked.keys())
        run = ""
        for start in range(0, len(wanted), BULK):
            part = {entry.id: entry for entry in wanted[start : start + BULK]}
            run = yield from self.change(
                part, kind="import", reason="imported", run=run, part=start // BULK
            )
        replaced = sum(entry.id in known for entry in wanted)
        return Imported(
            run=run,
            added=len(wanted) - replaced,
            replaced=replaced,
            quarantined=sum(entry.state == "quarantined" for entry in wanted),
            skipped=len(entries) - len(wanted),
            bad=tuple(bad),
            notes=tuple(notes),
        )

    def _taken(self, entries: Sequence[MemoryEntry], trust: bool) -> dict[str, MemoryEntry]:
        return {e.id: e if trust else distrusted(e, self._doubt(e)) for e in entries}

    def _doubt(self, entry: MemoryEntry) -> str:
        """Why the example of an entry that is imported waits for review, if it does."""
        if entry.example is not None and self.objection is None:
            return "nothing checks its example here"
        return self.objection_to(entry)


def _says(entry: MemoryEntry) -> tuple[str, str] | None:
    """The problem and the solution of an entry's example."""
    example = entry.example
    return (example.problem, example.solution) if example is not None else None


def _needed(known: Mapping[str, MemoryEntry], entry_id: str) -> MemoryEntry:
    if entry_id not in known:
        raise InputError(f"there is no entry {entry_id!r}; see: vitarmm memory list")
    return known[entry_id]


def _none_taken(bad: Sequence[BadLine]) -> InputError:
    lines = "; ".join(map(str, bad[:20]))
    what = "skills" if bad[0].place else "lines"
    return InputError(
        f"{len(bad)} of the {what} cannot be imported, so none was: {lines}; "
        "correct them, or take the others with --keep-good"
    )


def person_run(kind: str) -> str:
    """A run name for what a person does."""
    return f"person-{kind}-{uuid.uuid4().hex[:8]}"
