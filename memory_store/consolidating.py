"""Going over a whole memory: entries that say the same become one, and what never helps is put aside.

Nothing is deleted, and no text is made up: the words of one of the entries stay. Writing compares a new
entry with its nearest ones; what was imported, edited, or written by another machine was not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.content_words import language_of, wording
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.entry_store import EntryStore
from vitarmm_agent.memory_store.journal import Journal, JournalEvent
from vitarmm_agent.memory_store.operations import Written, WrittenKind
from vitarmm_agent.memory_store.ranking import Z
from vitarmm_agent.memory_store.relations import merge, normal_text, relate
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.skills import says_the_same
from vitarmm_agent.memory_store.write_group import Planned, WriteGroup
from vitarmm_agent.memory_store.write_plan import WritePlan
from vitarmm_agent.memory_store.writing import Writing
from vitarmm_agent.wilson import wilson_bounds

SHOWN = 8
"""How often an entry must have been shown before it is put aside."""
BELOW = 0.2
"""Share of helpful uses below which it surely lies then: none of eight, or one of fifteen."""

COMPARED = 100
"""Entries with the same content words that one is compared with in one go."""


class Proposal(BaseModel):
    """One change that going over a memory comes to.

    Attributes:
        kind: ``merge`` the entry into another, or ``retire`` it: it waits for review.
        entry_id: the entry that is no longer recalled then.
        into: for a merge, the entry that stays.
        reason: why, in words.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["merge", "retire"]
    entry_id: str
    into: str = ""
    reason: str


class Consolidated(BaseModel):
    """What going over a memory came to.

    Attributes:
        examined: live entries that were looked at.
        proposals: the changes: made when there is a ``run``, else proposed.
        run: the run that ``undo`` takes to take them back.
    """

    model_config = ConfigDict(frozen=True)

    examined: int
    proposals: tuple[Proposal, ...] = ()
    run: str = ""


@dataclass(frozen=True)
class Consolidating:
    """What goes over one memory."""

    entry_store: EntryStore
    group: WriteGroup
    journal: Journal | None

    def consolidate(
        self, *, apply: bool = False, shown: int = SHOWN, below: float = BELOW
    ) -> Flow[Consolidated]:
        """Merge the live entries that say the same, and put aside those that never help.

        What a person decided stays: entries that were taken back by ``undo`` are not merged again
        until they are edited, and of an entry that was accepted, edited or taken back only the uses
        since then count.

        Args:
            apply: make the changes, as one run; otherwise they are proposed.
            shown: uses from which an entry may be put aside.
            below: it is, when the upper bound of its share of helpful uses (Wilson, one-sided 90 %)
                lies below this.

        Raises:
            InputError: ``shown`` is below 1, or ``below`` no share above 0.
            MemoryStoreError: the store or the journal cannot be used.
        """
        if shown < 1 or not 0 < below <= 1:
            raise InputError(
                f"shown must be 1 or more and below a share above 0, got {shown} and {below}"
            )
        live = yield from self.entry_store.scan(filter={"state": "live"})
        live.sort(key=_age)
        proposals = yield from self._doubles(live)
        merged = {one for found in proposals for one in (found.entry_id, found.into)}
        for entry in live:
            if entry.id not in merged and _may_go(entry, shown, below):
                since = yield from self._since(entry)
                if why := _useless(entry, since, shown, below):
                    proposals.append(Proposal(kind="retire", entry_id=entry.id, reason=why))
        if not apply or not proposals:
            return Consolidated(examined=len(live), proposals=tuple(proposals))
        run = person_run("consolidate")
        seen = {entry.id: entry for entry in live}

        def plan() -> Flow[Planned]:
            return self._plan(proposals, seen)

        answer = yield from self.group.once(self.entry_store, f"consolidate:{run}", run, 0, plan)
        done = {Written.model_validate(row).entry_id for row in answer}
        made = tuple(proposal for proposal in proposals if proposal.entry_id in done)
        return Consolidated(examined=len(live), proposals=made, run=run if made else "")

    def _plan(self, proposals: Sequence[Proposal], seen: dict[str, MemoryEntry]) -> Flow[Planned]:
        """The changes, under the lock; of what changed its words meanwhile none is made."""
        ids = [one for found in proposals for one in (found.entry_id, found.into) if one]
        plan = WritePlan((yield from self.entry_store.get(ids)))
        as_seen = {
            one for one, entry in plan.known.items()
            if entry.live and says_the_same(entry, seen[one])
        }  # fmt: skip
        written: list[Written] = []
        for proposal in proposals:
            if {proposal.entry_id, proposal.into or proposal.entry_id} <= as_seen:
                written.append(_carry_out(plan, proposal))
        return plan, written

    def _doubles(self, live: Sequence[MemoryEntry]) -> Flow[list[Proposal]]:
        """Each later entry that says what an earlier one says, which stays."""
        alike = defaultdict[Hashable, list[MemoryEntry]](list)
        for entry in live:
            for key in _keys(entry):
                alike[key].append(entry)
        gone = set[str]()
        proposals: list[Proposal] = []
        for kept in live:
            near = {one.id: one for key in _keys(kept) for one in alike[key]}
            others = sorted(
                (one for i, one in near.items() if i not in gone and _age(one) > _age(kept)),
                key=_age,
            )[:COMPARED]
            if kept.id in gone or not others or (yield from self._taken_back(kept)):
                continue
            for other, reason in (yield from self._same(kept, others)):
                if not (yield from self._taken_back(other)):
                    gone.add(other.id)
                    proposals.append(
                        Proposal(kind="merge", entry_id=other.id, into=kept.id, reason=reason)
                    )
        return proposals

    def _same(
        self, kept: MemoryEntry, others: Sequence[MemoryEntry]
    ) -> Flow[list[tuple[MemoryEntry, str]]]:
        """Those that say the same, by the rule for writing, and how that is known."""
        if kept.example is not None:
            return [(one, "shows the same solution of the same problem") for one in others]
        others = [one for one in others if relate(one, kept, 1.0).kind in ("exact", "duplicate")]
        near = yield from Writing(self.entry_store, self.group).alike(kept, others, {})
        related = [(one, relate(one, kept, similarity)) for one, similarity in near.values()]
        return [(one, r.reason) for one, r in related if r.kind in ("exact", "duplicate")]

    def _taken_back(self, entry: MemoryEntry) -> Flow[bool]:
        """Whether someone took back what was done with its present words."""
        last = yield from self._last(entry, "undo", "edit", "update")
        return last is not None and last.kind == "undo"

    def _since(self, entry: MemoryEntry) -> Flow[MemoryEntry | None]:
        """The entry when a person last decided that it stays; None when nobody did."""
        last = yield from self._last(entry, "accept", "edit", "undo")
        return None if last is None else last.after

    def _last(self, entry: MemoryEntry, *kinds: str) -> Flow[JournalEvent | None]:
        """The last change of one of these kinds; None without a journal, too."""
        if self.journal is None:
            return None
        events = yield from in_thread(
            self.journal.events, self.entry_store.namespace, entry_id=entry.id
        )
        return next((event for event in events if event.kind in kinds), None)


def _keys(entry: MemoryEntry) -> Iterator[Hashable]:
    """What entries that say the same have in common; others may have it, too."""
    if entry.example is not None:
        yield entry.example.problem, entry.example.solution
        return
    yield normal_text(entry)
    language = language_of(" ".join((entry.title, entry.applies_when, entry.content)))
    for content in wording(entry.content, language):
        for condition in wording(entry.applies_when, language):
            yield content, condition


def _age(entry: MemoryEntry) -> tuple[datetime, str]:
    return entry.created_at, entry.id


def _may_go(entry: MemoryEntry, shown: int, below: float) -> bool:
    return entry.used >= shown and wilson_bounds(entry.helpful, entry.used, Z)[1] < below


def _useless(entry: MemoryEntry, since: MemoryEntry | None, shown: int, below: float) -> str:
    """Why an entry is put aside; nothing when it is not."""
    used = entry.used - (since.used if since else 0)
    helpful = max(entry.helpful - (since.helpful if since else 0), 0)
    if used < shown:
        return ""
    most = wilson_bounds(min(helpful, used), used, Z)[1]
    if most >= below:
        return ""
    return (
        f"helped in {helpful} of {used} uses, surely in less than {below:.0%} ({most:.1%} at most)"
    )


def _carry_out(plan: WritePlan, proposal: Proposal) -> Written:
    entry, into = plan.get(proposal.entry_id), plan.get(proposal.into or None)
    assert entry is not None
    if into is not None:
        plan.put("merge", into.id, merge(into, entry, plan.now), proposal.reason)
        gone: dict[str, object] = {"superseded_by": into.id}
    else:
        metadata = entry.metadata | {"quarantined": proposal.reason}
        gone = {"quarantined": True, "metadata": metadata}
    gone["updated_at"] = plan.now
    plan.put(proposal.kind, entry.id, entry.model_copy(update=gone), proposal.reason)
    kind: WrittenKind = "merged" if into is not None else "quarantined"
    return Written(kind=kind, entry_id=entry.id, reason=proposal.reason)
