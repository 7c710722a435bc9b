"""What the history of a memory is used for: take back, repeat, make again, shorten."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
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

        What other runs changed stays. What was taken back before is not taken back again, unless that
        was undone.

        Raises:
            InputError: there is no journal, it knows no such run, its history was compacted, or all
                was taken back before.
        """
        journal, namespace = history(self.journal, "undo"), self.entry_store.namespace
        yield from in_thread(check_undo, journal, namespace, run)
        found = yield from in_thread(journal.of_run, namespace, run)
        batches = [batch for batch in found if batch.changes]
        reason, undone = f"takes back {run}", list[str]()
        by = person_run("undo")
        for batch in reversed(batches):
            undone += yield from self._taken_back(batch, by, reason)
        if batches and not undone:
            raise InputError(f"run {run!r} was taken back before; see: vitarmm memory log")
        return [*dict.fromkeys(reversed(undone))]

    def retract(self, effects: Sequence[VerdictEffect], *, by: str) -> Flow[list[str]]:
        """Take back what verdicts counted and what was written on them, once for each ``by``.

        With a journal exactly; what other runs changed stays. Without one, the counts, and the entries
        that were added.

        Returns:
            Ids of the entries that changed.
        """
        run, journal, changed = f"{by}/retract", self.journal, list[str]()
        if journal is None:
            return (yield from self._uncounted(effects, f"retract:{by}", run))
        for effect in effects:
            reason = _why(effect)
            for key in (write_key(effect.origin), credit_key(effect.origin)):
                batch = yield from in_thread(journal.batch, self.entry_store.namespace, key)
                if batch is not None:
                    yield from self._taken_back(batch, run, reason)
                    changed += [change.entry_id for change in batch.changes]
        return [*dict.fromkeys(changed)]

    def _taken_back(self, batch: Batch, by: str, reason: str) -> Flow[list[str]]:
        """Take one batch back as the run ``by``, unless it was: the ids of its entries, the last first."""
        journal = history(self.journal, "undo")
        key, stands = yield from in_thread(_taker, journal, self.entry_store.namespace, batch.key)
        if not stands:
            return []
        changes = batch.changes[::-1]

        def plan() -> Flow[Planned]:
            known = yield from self.entry_store.get([change.entry_id for change in changes])
            plan = WritePlan(known)
            for change in changes:
                current = plan.get(change.entry_id)
                after = taken_back(current, change.before, change.after, plan.now)
                plan.put("undo", change.entry_id, after, reason)
            return plan, []

        yield from self.group.once(self.entry_store, key, by, 0, plan)
        return [change.entry_id for change in changes]

    def _uncounted(self, effects: Sequence[VerdictEffect], key: str, run: str) -> Flow[list[str]]:
        """What of effects can be taken back without a journal, in one batch."""

        def plan() -> Flow[Planned]:
            ids = [i for effect in effects for i in (*effect.shown, *effect.written)]
            plan = WritePlan((yield from self.entry_store.get(ids)))
            for effect in effects:
                for entry_id in effect.shown:
                    if (entry := plan.get(entry_id)) is not None:
                        less = uncredited(entry, effect.verdict, plan.now)
                        plan.put("undo", entry_id, less, _why(effect))
                for entry_id in effect.written:
                    entry = plan.get(entry_id)
                    if entry is not None and entry.provenance.name == effect.origin.name:
                        plan.put("undo", entry_id, None, _why(effect))
            changed = [change.entry_id for change in plan.changes()]
            return plan, [Written(kind="updated", entry_id=entry_id) for entry_id in changed]

        answer = yield from self.group.once(self.entry_store, key, run, 0, plan)
        return [Written.model_validate(row).entry_id for row in answer]

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

        Entries that have expired go as if forgotten, in whatever state they are: until their history
        goes too, ``undo`` brings them back. What they had replaced is recalled again, or what replaced
        them replaces it. Killed in between, it is done again.

        Raises:
            InputError: nothing says how much history stays, or there is no journal.
        """
        if since is None and keep_batches < 1:
            raise InputError(
                "say how much history may go: what is older than a time (--older-than 90d), or all but "
                "the newest changes (--keep-last 1000)"
            )
        journal, namespace = history(self.journal, "compact"), self.entry_store.namespace
        gone, freed = _expiry((yield from self.entry_store.scan()), datetime.now(UTC))
        ids, run = [*freed, *gone], ""
        for start in range(0, 0 if dry_run else len(ids), BULK):
            run = yield from self.curation.decide(
                ids[start : start + BULK],
                lambda known: {i: _without(entry, gone) for i, entry in known.items()},
                kind="expire",
                reason="a time was over",
                run=run,
                part=start // BULK,
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
        return Compacted(tuple(gone), *done)


def _made(entry_id: str, before: MemoryEntry | None, after: MemoryEntry | None) -> Change:
    return Change(kind="rebuild", entry_id=entry_id, before=before, after=after)


def _expiry(
    entries: Sequence[MemoryEntry], now: datetime
) -> tuple[dict[str, str | None], list[str]]:
    """What has expired, each with what replaced it; and the ids of what it had replaced itself."""
    gone = {entry.id: entry.superseded_by for entry in entries if entry.expired(now)}
    freed = [e.id for e in entries if e.id not in gone and e.superseded_by in gone]
    return gone, freed


def _without(entry: MemoryEntry, gone: Mapping[str, str | None]) -> MemoryEntry | None:
    """An entry once others are gone: replaced by what replaced those; None when it goes itself."""
    now = datetime.now(UTC)
    if entry.id in gone:
        return None if entry.expired(now) else entry
    heir = entry.superseded_by
    for _ in range(len(gone)):  # at most: an imported file may have made a circle
        heir = gone.get(heir, heir) if heir is not None else None
    heir = None if heir in gone else heir
    return entry.model_copy(update={"superseded_by": heir, "updated_at": now})


def _why(effect: VerdictEffect) -> str:
    return f"takes back the {effect.verdict} of {effect.origin.run}"


def _taker(journal: Journal, namespace: Sequence[str], key: str) -> tuple[str, bool]:
    """Key of the batch that takes a batch back, and whether that is still to be done.

    A batch stands until one takes it back that stands itself; so taking that one back brings it back.
    """
    for number in count():
        taker = f"undo:{number}:{key}"
        if journal.batch(namespace, taker) is None:
            return taker, True
        if _taker(journal, namespace, taker)[1]:
            return taker, False
    raise AssertionError("a count ends nowhere")
