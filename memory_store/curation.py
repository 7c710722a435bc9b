"""Looking after a memory: list, edit, review, merge, forget, undo, rebuild."""

from __future__ import annotations

import builtins
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import ValidationError

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.buffer import error_lines
from vitarmm_agent.memory_store.compaction import Shortened, check_undo, shorten
from vitarmm_agent.memory_store.consolidation import merge
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Batch, Change, Journal, history
from vitarmm_agent.memory_store.operations import VerdictEffect, Written
from vitarmm_agent.memory_store.schema import MemoryEntry, State
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.memory_store.store.locks import Turn
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
from vitarmm_agent.memory_store.write_plan import WritePlan, taken_back, uncredited
from vitarmm_agent.memory_store.writing import credit_key, write_key

logger = logging.getLogger(__name__)

BULK = 500
"""Entries of one batch when many are written."""


class Refilled(NamedTuple):
    """How many entries a journal made again, and how many it does not know."""

    entries: int
    left: int


class Compacted(NamedTuple):
    """What went: entries that had expired, changes of the history, and batches without any left."""

    expired: tuple[str, ...]
    changes: int
    batches: int


@dataclass(frozen=True)
class Curation:
    """What a person does with a memory."""

    entry_store: EntryStore
    group: WriteGroup
    journal: Journal | None

    def get(self, entry_id: str) -> Flow[MemoryEntry | None]:
        """The entry with this id, or None."""
        found = yield from self.entry_store.get([entry_id])
        return found.get(entry_id)

    def list(
        self,
        *,
        entry_type: str | None = None,
        state: State | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Flow[builtins.list[MemoryEntry]]:
        """Entries of one type or state, in the store's order (Chroma: last changed first)."""
        expires = state in ("live", "expired")  # the store does not know what time it is
        wanted = {"entry_type": entry_type, "state": "live" if expires else state}
        conditions = {name: value for name, value in wanted.items() if value is not None}
        options = {} if limit is None or expires else {"limit": limit, "offset": offset}
        found = yield from self.entry_store.scan(filter=conditions or None, **options)
        if expires:
            now = datetime.now(UTC)
            found = [entry for entry in found if entry.expired(now) == (state == "expired")]
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
        run = run or person_run(kind)

        def plan() -> Flow[Planned]:
            plan = WritePlan((yield from self.entry_store.get(list(changes))))
            for entry_id, entry in changes.items():
                plan.put(kind, entry_id, entry, reason)
            return plan, []

        yield from self.group.once(self.entry_store, f"{kind}:{run}:{part}", run, 0, plan)
        return run

    def forget(self, entry_id: str, *, reason: str = "") -> Flow[str]:
        """Delete an entry; returns the run that ``undo`` takes to bring it back.

        Raises:
            InputError: there is no such entry.
        """
        yield from self._needed(entry_id)
        return (yield from self.change({entry_id: None}, kind="forget", reason=reason))

    def edit(self, entry_id: str, fields: Mapping[str, Any], *, reason: str = "") -> Flow[str]:
        """Change fields of an entry, given by name; returns the run that ``undo`` takes.

        Raises:
            InputError: there is no such entry, or a field or value is not allowed.
        """
        entry = yield from self._needed(entry_id)
        data = entry.model_dump() | dict(fields) | {"id": entry_id, "updated_at": datetime.now(UTC)}
        try:
            changed = MemoryEntry.model_validate(data)
        except ValidationError as error:
            raise InputError(f"entry {entry_id}: {error_lines(error)}") from None
        return (yield from self.change({entry_id: changed}, kind="edit", reason=reason))

    def review(self, entry_id: str, *, accept: bool, reason: str = "") -> Flow[str]:
        """Decide on a quarantined entry: recall it again, or forget it.

        Raises:
            InputError: there is no such entry, or it is not quarantined.
        """
        entry = yield from self._needed(entry_id)
        if not entry.quarantined:
            raise InputError(f"entry {entry_id!r} is not quarantined; nothing to review")
        metadata = {k: v for k, v in entry.metadata.items() if k != "quarantined"}
        update = {"quarantined": False, "metadata": metadata, "updated_at": datetime.now(UTC)}
        after = entry.model_copy(update=update) if accept else None
        kind = "accept" if accept else "reject"
        return (yield from self.change({entry_id: after}, kind=kind, reason=reason))

    def merge(self, entry_id: str, other_id: str, *, reason: str = "") -> Flow[str]:
        """Merge the second entry into the first; it stays, superseded.

        Raises:
            InputError: there is no such entry, or both are the same.
        """
        if entry_id == other_id:
            raise InputError(f"give two different entries to merge, got {entry_id!r} twice")
        one = yield from self._needed(entry_id)
        other = yield from self._needed(other_id)
        gone = {"superseded_by": one.id, "updated_at": datetime.now(UTC)}
        changes = {one.id: merge(one, other), other.id: other.model_copy(update=gone)}
        return (yield from self.change(changes, kind="merge", reason=reason))

    # transfer

    def export(self, target: Path | str | IO[str]) -> Flow[int]:
        """Write all entries as JSON Lines, put-aside ones included; returns how many.

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
        the model waits for review.

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
        if bad and not keep_good:
            raise _none_taken(bad)
        taken = {e.id: e if trust else distrusted(e) for e in entries}
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
            quarantined=sum(entry.quarantined for entry in wanted),
            skipped=len(entries) - len(wanted),
            bad=tuple(bad),
            notes=tuple(notes),
        )

    # history

    def undo(self, run: str) -> Flow[builtins.list[str]]:
        """Take back what one run wrote; returns the ids of the entries that changed.

        What later runs changed stays.

        Raises:
            InputError: there is no journal, it knows no such run, or its history was compacted.
        """
        journal = history(self.journal, "undo")
        yield from in_thread(check_undo, journal, self.entry_store.namespace, run)
        events = yield from in_thread(journal.run_events, self.entry_store.namespace, run)
        first = {event.entry_id: event for event in reversed(events)}
        last = {event.entry_id: event for event in events}

        def plan() -> Flow[Planned]:
            known = yield from self.entry_store.get(list(first))
            plan = WritePlan(known)
            for entry_id, event in first.items():
                left = last[entry_id].after
                entry = taken_back(known.get(entry_id), event.before, left, plan.now)
                plan.put("undo", entry_id, entry, f"takes back {run}")
            return plan, []

        yield from self.group.once(
            self.entry_store, f"undo:{uuid.uuid4().hex}", person_run("undo"), 0, plan
        )
        return list(first)

    def retract(self, effects: Sequence[VerdictEffect], *, by: str) -> Flow[builtins.list[str]]:
        """Take back what verdicts counted and what was written on them, once for each ``by``.

        With a journal exactly; what later runs changed stays. Without one, the counts, and the entries
        that were added.

        Returns:
            Ids of the entries that changed.
        """

        def plan() -> Flow[Planned]:
            plan = WritePlan({})
            for effect in effects:
                yield from self._retracted(plan, effect)
            changed = [change.entry_id for change in plan.changes()]
            return plan, [Written(kind="updated", entry_id=entry_id) for entry_id in changed]

        key, run = f"retract:{by}", f"{by}/retract"
        answer = yield from self.group.once(self.entry_store, key, run, 0, plan)
        return [Written.model_validate(row).entry_id for row in answer]

    def _retracted(self, plan: WritePlan, effect: VerdictEffect) -> Flow[None]:
        """Plan to take back one effect, the last change first."""
        ids, batches = [*effect.shown, *effect.written], builtins.list[Batch]()
        for key in (write_key(effect.origin), credit_key(effect.origin)):
            if self.journal is not None:
                batch = yield from in_thread(self.journal.batch, self.entry_store.namespace, key)
                batches += [batch] if batch else []
        ids += [change.entry_id for batch in batches for change in batch.changes]
        known = yield from self.entry_store.get([i for i in ids if i not in plan.known])
        plan.known |= known
        reason = f"takes back the {effect.verdict} of {effect.origin.run}"
        for batch in batches:
            for change in batch.changes:
                current = plan.get(change.entry_id)
                after = taken_back(current, change.before, change.after, plan.now)
                plan.put("undo", change.entry_id, after, reason)
        if self.journal is None:
            for entry_id in effect.shown:
                if (entry := plan.get(entry_id)) is not None:
                    plan.put("undo", entry_id, uncredited(entry, effect.verdict, plan.now), reason)
            for entry_id in effect.written:
                entry = plan.get(entry_id)
                if entry is not None and entry.provenance.name == effect.origin.name:
                    plan.put("undo", entry_id, None, reason)

    def repeat(self, batches: Sequence[Batch]) -> Flow[None]:
        """Carry out batches as another journal of this memory has them, those known already left out.

        Raises:
            InputError: there is no journal.
        """
        journal, namespace = history(self.journal, "repeat"), self.entry_store.namespace

        def journalled() -> builtins.list[Batch]:
            new = [batch for batch in batches if journal.batch(namespace, batch.key) is None]
            journal.append_all([(namespace, batch) for batch in new])
            return journal.pending(namespace)

        turn = Turn(self.group.lock([namespace]))
        try:
            yield from turn.take()
            pending = yield from in_thread(journalled)
            yield from self.entry_store.carry_out_all([(self.entry_store, b) for b in pending])
            keys = [(namespace, batch.key) for batch in pending]
            yield from in_thread(journal.mark_all_applied, keys)
        finally:
            turn.give_back()

    def rebuild(self) -> Flow[int]:
        """Make the store's entries again from the journal; returns how many come from there.

        Entries in a state that the journal does not know, of another machine, say, stay as they are.

        Raises:
            InputError: there is no journal.
        """
        turn = Turn(self.group.lock([self.entry_store.namespace]))
        try:
            yield from turn.take()
            return (yield from self.refill()).entries
        finally:
            turn.give_back()

    def refill(self) -> Flow[Refilled]:
        """:meth:`rebuild` for a caller that holds the journal's lock."""
        journal, namespace = history(self.journal, "rebuild"), self.entry_store.namespace
        found = yield from self.entry_store.scan()
        entries = yield from in_thread(lambda: list(journal.entries(namespace)))
        past = yield from in_thread(lambda: list(journal.past_texts(namespace)))
        left = yield from in_thread(journal.unknown, namespace, found)
        ours = [entry for entry in entries if entry.id not in left]
        stored, kept = {entry.id: entry for entry in found}, {entry.id for entry in ours}
        changes = [_made(e.id, None, e) for e in ours if stored.get(e.id) != e]
        changes += [_made(e.id, e, None) for e in found if e.id not in kept | left.keys()]
        for start in range(0, len(changes) or 1, BULK):
            part = tuple(changes[start : start + BULK])
            yield from self.entry_store.carry_out(Batch("rebuild", "rebuild", 0, part))
        yield from self.entry_store.put_beside(ours, past)
        last = yield from in_thread(journal.last_key, namespace)
        if last is not None:
            yield from self.entry_store.note_last_batch(last)
        if left:
            logger.warning(
                "%d entries of memory %s are not as this journal knows them, and stay as they are",
                len(left),
                namespace,
            )
        return Refilled(len(ours), len(left))

    def compact(
        self, *, since: datetime | None = None, keep_batches: int = 0, dry_run: bool = False
    ) -> Flow[Compacted]:
        """Remove what has expired, and history from before ``since``, or but the last so many batches.

        Entries that have expired go as if forgotten: until their history goes too, ``undo`` brings
        them back. Killed in between, it is done again.

        Raises:
            InputError: nothing says how much history stays, or there is no journal.
        """
        if since is None and keep_batches < 1:
            raise InputError(
                "say how much history stays: back to a time (--keep-since 90d), or so many batches "
                "(--keep-batches 1000)"
            )
        journal, namespace = history(self.journal, "compact"), self.entry_store.namespace
        gone = yield from self.list(state="expired")
        run = ""
        for start in range(0, 0 if dry_run else len(gone), BULK):
            part = dict.fromkeys(entry.id for entry in gone[start : start + BULK])
            run = yield from self.change(
                part, kind="expire", reason="its time was over", run=run, part=start // BULK
            )
        turn = Turn(self.group.lock([namespace]))
        try:
            yield from turn.take()
            done: Shortened = yield from in_thread(
                partial(shorten, since=since, keep_batches=keep_batches, dry_run=dry_run),
                journal,
                namespace,
            )
            if not dry_run and (gone or any(done)):
                yield from in_thread(journal.shrink)
                store = self.entry_store.store
                if isinstance(store, ChromaStore) and store.file is not None:
                    yield from in_thread(store.file.shrink)
        finally:
            turn.give_back()
        return Compacted(tuple(entry.id for entry in gone), *done)

    def _needed(self, entry_id: str) -> Flow[MemoryEntry]:
        entry = (yield from self.entry_store.get([entry_id])).get(entry_id)
        if entry is None:
            raise InputError(f"there is no entry {entry_id!r}; see: vitarmm memory list")
        return entry


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


def _made(entry_id: str, before: MemoryEntry | None, after: MemoryEntry | None) -> Change:
    return Change(kind="rebuild", entry_id=entry_id, before=before, after=after)
