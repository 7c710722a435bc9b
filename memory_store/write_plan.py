"""What each operation of a writer comes to, given what the memory holds: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vitarmm_agent.memory_store.journal import Change
from vitarmm_agent.memory_store.operations import Operation, Written, WrittenKind
from vitarmm_agent.memory_store.ranking import wilson_lower
from vitarmm_agent.memory_store.relations import closest, merge
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance, new_id
from vitarmm_agent.memory_store.untrusted import injection_signs

PROVEN = 0.5
"""An entry is proven when it surely helped in this share of its uses."""

TURNED = "turned a pass into a fail"


@dataclass
class WritePlan:
    """Changes of one batch while they are decided; later operations see earlier ones."""

    known: dict[str, MemoryEntry]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    before: dict[str, MemoryEntry | None] = field(default_factory=dict)
    after: dict[str, MemoryEntry | None] = field(default_factory=dict)
    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)

    def get(self, entry_id: str | None) -> MemoryEntry | None:
        """An entry as it is after the changes so far."""
        if entry_id is None:
            return None
        return self.after[entry_id] if entry_id in self.after else self.known.get(entry_id)

    def put(self, kind: str, entry_id: str, entry: MemoryEntry | None, reason: str) -> None:
        """Change an entry; several changes of one entry become one."""
        self.before.setdefault(entry_id, self.known.get(entry_id))
        self.after[entry_id] = entry
        first = self.kinds.get(entry_id)
        self.kinds[entry_id] = (kind, reason) if first is None else (first[0], first[1])

    def added(self) -> list[MemoryEntry]:
        """Live entries that this batch adds."""
        return [e for i, e in self.after.items() if e and e.live and self.before[i] is None]

    def changes(self) -> tuple[Change, ...]:
        """All changes, in the order they were first made."""
        return tuple(
            Change(
                kind=self.kinds[entry_id][0],
                entry_id=entry_id,
                before=self.before[entry_id],
                after=after,
                reason=self.kinds[entry_id][1],
            )
            for entry_id, after in self.after.items()
            if after != self.before[entry_id]
        )


def settle(
    plan: WritePlan,
    operation: Operation,
    neighbours: Sequence[tuple[MemoryEntry, float]],
    origin: Provenance,
) -> Written:
    """Decide one operation and note its changes in ``plan``.

    ``neighbours`` are existing entries with their similarity to the operation's entry, live or put
    aside.
    """
    if operation.kind == "none" or operation.entry is None:
        reason = operation.reason or "nothing to write"
        return Written(kind="skipped", entry_id="", reason=reason)
    entry, notes = _prepared(plan, operation.entry, origin)
    target = plan.get(operation.target)
    signs = injection_signs(entry)
    if signs:
        return _hold(plan, entry, target, f"it {', '.join(signs)}")
    if operation.kind == "update":
        return _update(plan, entry, target, operation, notes)
    if operation.kind == "supersede" and target is not None and target.superseded_by is None:
        if plan.get(entry.id) is not None:
            entry = entry.model_copy(update={"id": new_id()})
        return _supersede(plan, entry, target, operation.reason or "replaces it", notes)
    if operation.kind == "supersede":
        notes = [*notes, f"nothing to supersede under {operation.target!r}"]
    return _add(plan, entry, neighbours, operation, notes)


def has_proved_itself(entry: MemoryEntry) -> bool:
    """Whether it surely helped in half of its uses."""
    return wilson_lower(entry.helpful, entry.used) >= PROVEN


def credited(entry: MemoryEntry, verdict: str, previous: str | None, now: datetime) -> MemoryEntry:
    """An entry after an attempt that was shown it."""
    turned = verdict == "fail" and previous == "pass"
    return entry.model_copy(
        update={
            "used": entry.used + 1,
            "helpful": entry.helpful + (verdict == "pass"),
            "harmful": entry.harmful + (verdict == "fail"),
            "quarantined": entry.quarantined or turned,
            "metadata": entry.metadata | ({"quarantined": TURNED} if turned else {}),
            "updated_at": now,
        }
    )


def uncredited(entry: MemoryEntry, verdict: str, now: datetime) -> MemoryEntry:
    """An entry without one verdict that was counted."""
    turned = verdict == "fail" and entry.metadata.get("quarantined") == TURNED
    metadata = {k: v for k, v in entry.metadata.items() if not turned or k != "quarantined"}
    return entry.model_copy(
        update={
            "used": max(entry.used - 1, 0),
            "helpful": max(entry.helpful - (verdict == "pass"), 0),
            "harmful": max(entry.harmful - (verdict == "fail"), 0),
            "quarantined": entry.quarantined and not turned,
            "metadata": metadata,
            "updated_at": now,
        }
    )


def taken_back(
    current: MemoryEntry | None, before: MemoryEntry | None, left: MemoryEntry | None, now: datetime
) -> MemoryEntry | None:
    """An entry without one change of it; what others changed since stays.

    Args:
        current: as it is now.
        before: as it was before the change; None if that added it.
        left: as the change left it; None if that deleted it.
        now: time of the taking back.
    """
    if left is None:
        return before if current is None else current
    if before is None or current is None:
        return None
    counts = {
        name: max(getattr(before, name) + getattr(current, name) - getattr(left, name), 0)
        for name in ("used", "helpful", "harmful")
    }
    fields = ("entry_type", "title", "applies_when", "content", "confidence", "related_to",
              "metadata", "example", "expires_at", "superseded_by", "quarantined")  # fmt: skip
    kept = {
        name: getattr(before if getattr(current, name) == getattr(left, name) else current, name)
        for name in fields
    }
    return current.model_copy(update=kept | counts | {"updated_at": now})


def _prepared(
    plan: WritePlan, entry: MemoryEntry, origin: Provenance
) -> tuple[MemoryEntry, list[str]]:
    """The entry with its origin filled in and links to nowhere taken out."""
    links = tuple(i for i in dict.fromkeys(entry.related_to) if i != entry.id and plan.get(i))
    notes = [f"link to unknown {i!r} left out" for i in entry.related_to if i not in links]
    given = entry.provenance
    provenance = given.model_copy(
        update={
            "run": given.run or origin.run,
            "problem_id": given.problem_id or origin.problem_id,
            "attempt": given.attempt or origin.attempt,
        }
    )
    update = {"related_to": links, "provenance": provenance, "updated_at": plan.now}
    return entry.model_copy(update=update), notes


def _add(
    plan: WritePlan,
    entry: MemoryEntry,
    neighbours: Sequence[tuple[MemoryEntry, float]],
    operation: Operation,
    notes: list[str],
) -> Written:
    known = plan.get(entry.id)
    if known is not None:
        reason = f"there is an entry {entry.id!r} already; use update"
        return Written(kind="skipped", entry_id=entry.id, reason=reason, entry=known)
    current = [(plan.get(old.id) or old, similarity) for old, similarity in neighbours]
    if entry.example is not None:
        return _add_example(plan, entry, [old for old, _ in current], operation, notes)
    found = None if entry.expired(plan.now) else closest(entry, current)
    if found is not None:
        old, relation = found
        if not old.live:
            if relation.kind in ("exact", "duplicate") and old.quarantined:
                reason = f"{old.id} says the same and waits for review"
                return Written(kind="skipped", entry_id=old.id, reason=reason, entry=old)
        elif relation.kind == "exact" and not old.expired(plan.now):
            return Written(kind="skipped", entry_id=old.id, reason=relation.reason, entry=old)
        elif relation.kind in ("exact", "duplicate"):
            merged = merge(old, entry, plan.now)
            plan.put("merge", old.id, merged, relation.reason)
            return _written("merged", merged, relation.reason, notes)
        elif relation.kind == "contradiction":
            return _contradict(plan, entry, old, relation.reason, notes)
    plan.put("add", entry.id, entry, operation.reason)
    return _written("added", entry, operation.reason, notes)


def _add_example(
    plan: WritePlan,
    entry: MemoryEntry,
    neighbours: Sequence[MemoryEntry],
    operation: Operation,
    notes: list[str],
) -> Written:
    """One example for a problem: the newest solution; others of its kind stay beside it."""
    assert entry.example is not None
    for old in neighbours:
        if old.example is None or not old.live or old.example.question != entry.example.question:
            continue
        if old.example.solution == entry.example.solution:
            reason = "shows the same solution"
            return Written(kind="skipped", entry_id=old.id, reason=reason, entry=old)
        reason = (
            operation.reason or f"{entry.example.verified_by} solved its problem in another way"
        )
        return _supersede(plan, entry, old, reason, notes)
    plan.put("add", entry.id, entry, operation.reason)
    return _written("added", entry, operation.reason, notes)


def _contradict(
    plan: WritePlan, entry: MemoryEntry, old: MemoryEntry, reason: str, notes: list[str]
) -> Written:
    if has_proved_itself(old):
        return _hold(
            plan, entry, old, f"it contradicts {old.id}, which has proved itself: {reason}"
        )
    return _supersede(plan, entry, old, f"contradicts it: {reason}", notes)


def _supersede(
    plan: WritePlan, entry: MemoryEntry, old: MemoryEntry, reason: str, notes: list[str]
) -> Written:
    links = tuple(dict.fromkeys((*entry.related_to, old.id)))
    entry = entry.model_copy(update={"related_to": links})
    plan.put("add", entry.id, entry, f"supersedes {old.id}: {reason}")
    replaced = old.model_copy(update={"superseded_by": entry.id, "updated_at": plan.now})
    plan.put("supersede", old.id, replaced, reason)
    return _written("superseded", entry, f"supersedes {old.id}: {reason}", notes)


def _update(
    plan: WritePlan,
    entry: MemoryEntry,
    target: MemoryEntry | None,
    operation: Operation,
    notes: list[str],
) -> Written:
    if target is None:
        reason = f"there is no entry {operation.target!r} to update"
        return Written(kind="skipped", entry_id=operation.target or "", reason=reason)
    changed = target.model_copy(
        update={
            "entry_type": entry.entry_type,
            "title": entry.title or target.title,
            "applies_when": entry.applies_when or target.applies_when,
            "content": entry.content,
            "example": entry.example or target.example,
            "confidence": entry.confidence,
            "related_to": tuple(
                i for i in dict.fromkeys((*target.related_to, *entry.related_to)) if i != target.id
            ),
            "metadata": target.metadata | entry.metadata,
            "updated_at": plan.now,
        }
    )
    plan.put("update", target.id, changed, operation.reason)
    return _written("updated", changed, operation.reason, notes)


def _hold(plan: WritePlan, entry: MemoryEntry, old: MemoryEntry | None, reason: str) -> Written:
    """Write an entry that waits for review; nothing else changes."""
    if plan.get(entry.id) is not None:
        reason = f"there is an entry {entry.id!r} already, and {reason}"
        return Written(kind="skipped", entry_id=entry.id, reason=reason)
    links = dict.fromkeys((*entry.related_to, *([old.id] if old else [])))
    held = entry.model_copy(
        update={
            "quarantined": True,
            "related_to": tuple(links),
            "metadata": entry.metadata | {"quarantined": reason},
        }
    )
    plan.put("quarantine", held.id, held, reason)
    return _written("quarantined", held, reason, [])


def _written(kind: WrittenKind, entry: MemoryEntry, reason: str, notes: Sequence[str]) -> Written:
    words = "; ".join(part for part in (reason, *notes) if part)
    return Written(kind=kind, entry_id=entry.id, reason=words, entry=entry)


def neighbour_list(
    found: Mapping[str, tuple[MemoryEntry, float]],
) -> list[tuple[MemoryEntry, float]]:
    """Neighbours nearest first, each id once."""
    return sorted(found.values(), key=lambda pair: -pair[1])
