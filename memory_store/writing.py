"""Write and credit: what a run taught, consolidated with what its memory knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.memory_store.entry_store import ENTRIES, PAST, EntryStore, read_entries
from vitarmm_agent.memory_store.operations import Operation, Written
from vitarmm_agent.memory_store.relations import NEAR, share_words
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.memory_store.write_group import Planned, WriteGroup
from vitarmm_agent.memory_store.write_plan import WritePlan, credited, neighbour_list, settle

NEIGHBOURS = 8
Similar = dict[str, tuple[MemoryEntry, float]]
"""Entries by id, with their similarity."""


@dataclass(frozen=True)
class Writing:
    """What writes into one memory; each method carries out one batch, once per run and attempt."""

    entry_store: EntryStore
    group: WriteGroup

    def write(
        self, operations: Sequence[Operation], origin: Provenance, key: str = ""
    ) -> Flow[list[Written]]:
        """See :meth:`vitarmm_agent.memory_store.memory.ReasoningMemory.write`."""

        def plan() -> Flow[Planned]:
            return self._plan(operations, origin)

        run, attempt = origin.run, origin.attempt
        key = key or write_key(origin)
        answer = yield from self.group.once(self.entry_store, key, run, attempt, plan)
        return [Written.model_validate(row) for row in answer]

    def written(self, key: str) -> Flow[list[Written] | None]:
        """What was answered when something was written under this key; None if nothing was."""
        answer = yield from self.entry_store.answer(key)
        return None if answer is None else [Written.model_validate(r) for r in answer["result"]]

    def credit(
        self,
        entry_ids: Sequence[str],
        verdict: Literal["pass", "fail"],
        previous: Literal["pass", "fail", "abstain"] | None,
        origin: Provenance,
    ) -> Flow[None]:
        """See :meth:`vitarmm_agent.memory_store.memory.ReasoningMemory.credit`."""
        run, attempt = origin.run, origin.attempt

        def plan() -> Flow[Planned]:
            known = yield from self.entry_store.get(entry_ids)
            plan = WritePlan(known)
            for entry in known.values():
                after = credited(entry, verdict, previous, plan.now)
                held = after.quarantined and not entry.quarantined
                kind = "quarantine" if held else "credit"
                plan.put(kind, entry.id, after, f"attempt {attempt} of {run}: {verdict}")
            return plan, []

        yield from self.group.once(self.entry_store, credit_key(origin), run, attempt, plan)

    def _plan(self, operations: Sequence[Operation], origin: Provenance) -> Flow[Planned]:
        new = [op.entry for op in operations if op.entry is not None]
        targets = [op.target for op in operations if op.target]
        links = [i for entry in new for i in (entry.id, *entry.related_to)]
        plan = WritePlan((yield from self.entry_store.get([*targets, *links])))
        near = yield from self._neighbours(
            [op.entry for op in operations if op.kind != "update" and op.entry is not None]
        )
        written = []
        for operation in operations:
            entry = operation.entry
            others = dict(near.get(entry.id, {})) if entry is not None else {}
            for old, _ in others.values():
                plan.known.setdefault(old.id, old)
            if entry is not None and operation.kind == "add":
                similar = [e for e in plan.added() if share_words(entry, e)]
                others |= yield from self.alike(entry, similar, {})
            written.append(settle(plan, operation, neighbour_list(others), origin))
        return plan, written

    def _neighbours(self, entries: Sequence[MemoryEntry]) -> Flow[dict[str, Similar]]:
        """For each new entry, the existing ones that may say the same, put-aside ones included."""
        texts = [entry.index_text for entry in entries]
        live, past = yield from self.entry_store.near(texts, NEIGHBOURS, ENTRIES, PAST)
        aside = yield from self.entry_store.get(
            [str(i.value["entry_id"]) for items in past for i in items if (i.score or 0) >= NEAR]
        )
        found: dict[str, Similar] = {}
        for entry, near, gone in zip(entries, live, past, strict=True):
            scores = {item.key: float(item.score or 0) for item in near}
            olds = read_entries(near)
            for item in gone:
                old = aside.get(str(item.value["entry_id"]))
                if old is not None and old.id not in scores:
                    scores[old.id] = float(item.score or 0)
                    olds.append(old)
            close = [old for old in olds if scores[old.id] >= NEAR]
            found[entry.id] = yield from self.alike(entry, close, scores)
        worked = {e.id: e.example.problem for e in entries if e.example is not None}
        solving = yield from self.entry_store.solving(list(worked.values()))
        for entry_id, same in zip(worked, solving, strict=True):  # however many siblings are nearer
            found[entry_id] |= {old.id: (old, 1.0) for old in same}
        return found

    def alike(
        self, entry: MemoryEntry, others: Sequence[MemoryEntry], scores: Mapping[str, float]
    ) -> Flow[Similar]:
        """Others with their similarity in condition and content, whichever is less."""
        if not others:
            return {}
        embedder = getattr(self.entry_store.store, "embeddings", None)
        if embedder is None:
            return {old.id: (old, scores.get(old.id, 0.0)) for old in others}
        texts = [entry.index_text, entry.content]
        for old in others:
            texts += [old.index_text, old.content]
        vectors = yield from calls(embedder.embed_documents, embedder.aembed_documents, texts)
        return {
            old.id: (old, min(_cosine(vectors[0], vectors[i]), _cosine(vectors[1], vectors[i + 1])))
            for i, old in zip(range(2, len(texts), 2), others, strict=True)
        }


def credit_key(origin: Provenance) -> str:
    """Name of the batch in which an attempt's verdict is counted."""
    return f"credit:{origin.name}"


def write_key(origin: Provenance) -> str:
    """Name of the batch in which is written what an attempt taught."""
    return f"write:{origin.name}"


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    norms = math.hypot(*one) * math.hypot(*other)
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0
