"""What the history of a memory is used for: take back, repeat, make again, shorten."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.compaction import Shortened, check_undo, shorten
from vitarmm_agent.memory_store.curation import BULK, Curation, person_run
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Batch, Change, Journal, history
from vitarmm_agent.memory_store.operations import VerdictEffect, Written
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.memory_store.store.locks import Turn
from vitarmm_agent.memory_store.write_group import Planned, WriteGroup
from vitarmm_agent.memory_store.write_plan import WritePlan, taken_back, uncredited
from vitarmm_agent.memory_store.writing import credit_key, write_key

logger = logging.getLogger(__name__)


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
class Past:
    """What is done to a memory by its history."""

    entry_store: EntryStore
    group: WriteGroup
    journal: Journal | None
    curation: Curation

    def undo(self, run: str) -> Flow[list[str]]:
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

    def retract(self, effects: Sequence[VerdictEffect], *, by: str) -> Flow[list[str]]:
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
        ids, batches = [*effect.shown, *effect.written], list[Batch]()
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

        def journalled() -> list[Batch]:
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
                "say how much history may go: what is older than a time (--older-than 90d), or all but "
                "the newest changes (--keep-last 1000)"
            )
        journal, namespace = history(self.journal, "compact"), self.entry_store.namespace
        gone = yield from self.curation.list(state="expired")
        run = ""
        for start in range(0, 0 if dry_run else len(gone), BULK):
            part = dict.fromkeys(entry.id for entry in gone[start : start + BULK])
            run = yield from self.curation.change(
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


def _made(entry_id: str, before: MemoryEntry | None, after: MemoryEntry | None) -> Change:
    return Change(kind="rebuild", entry_id=entry_id, before=before, after=after)
