"""What an agent has learned: recall, write, credit, and looking after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from vitarmm_agent.effects import Flow, call
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.consolidation import NEAR, share_words
from vitarmm_agent.memory_store.core import new_plan
from vitarmm_agent.memory_store.curation import Curation
from vitarmm_agent.memory_store.names import check_text
from vitarmm_agent.memory_store.operations import Operation, Recall, Recalled, Written
from vitarmm_agent.memory_store.planning import Plan, credited, neighbour_list, settle
from vitarmm_agent.memory_store.ranking import Candidate, link, rank
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.memory_store.shelf import PAST, candidates, read_entry
from vitarmm_agent.memory_store.twins import blocking, twins

MAX_QUERY = 8_000
"""Characters of a problem that are searched for."""
NEIGHBOURS = 8
WIDEST = 1_024


@dataclass(frozen=True)
class Refused:
    """Entries that one recall must not give: by id, by the problem they come from, by who asks."""

    ids: frozenset[str]
    problems: frozenset[str]
    reader: Provenance | None

    def __contains__(self, entry: MemoryEntry) -> bool:
        """Whether ``entry`` is one of them."""
        origin = entry.provenance
        if entry.id in self.ids or origin.problem_id in self.problems:
            return True
        reader = self.reader
        if reader is None or not reader.run:
            return False
        return origin.run == reader.run and origin.attempt >= reader.attempt


class ReasoningMemory(Curation):
    """One memory: the entries of one namespace in any LangGraph store.

    Every method ``x`` has a twin ``ax`` for event loops. Writes of several threads, and of several
    processes that share a journal file, follow one another; those of several memories that wait at
    the same time share a transaction (see :mod:`vitarmm_agent.memory_store.group`).
    """

    # recall

    def _recall(
        self,
        problem_text: str,
        *,
        k: int = 3,
        exclude: Iterable[str] = frozenset(),
        exclude_problems: Iterable[str] = frozenset(),
        as_of: datetime | None = None,
        reader: Provenance | None = None,
    ) -> Flow[Recall]:
        """The few entries that fit a problem, or a note why none does.

        Args:
            problem_text: what is searched for.
            k: main entries at most; linked ones come after them.
            exclude: ids that must not be recalled.
            exclude_problems: entries learned on these problems must not be recalled.
            as_of: recall as the memory was at this time; needs a journal.
            reader: the attempt that asks, as it would sign an entry (``writer`` is empty when it is
                not the memory writer that asks). What this attempt, or a later one of its run, has
                written is left out: done again after a kill, it sees what it saw before.

        Raises:
            InputError: ``as_of`` without a journal, or a ``k`` below 0.
            MemoryStoreError: the store cannot be used.
        """
        if k < 0:
            raise InputError(f"k must be 0 or more, got {k}")
        query = _searchable(problem_text)
        if not query:
            return Recall(query=query, note="there is no text to search for")
        refused = Refused(frozenset(exclude), frozenset(exclude_problems), reader)
        found = yield from self._candidates(query, k, refused, as_of)
        main, rejected = rank(query, found, k=k, floor=self.floor, config=self.config, now=as_of)
        linked = yield from self._linked(main, refused, as_of)
        note = "" if main else _why_empty(rejected, self.floor, bool(found))
        return Recall(query=query, entries=(*main, *linked), best_rejected=rejected, note=note)

    def _candidates(
        self,
        query: str,
        k: int,
        refused: Refused,
        as_of: datetime | None,
    ) -> Flow[list[Candidate]]:
        """The shortlist; grows while too many of the nearest may not be recalled."""
        limit = max(self.config.shortlist, k)
        while True:
            (hits,) = yield from self.shelf.near([query], limit)
            if as_of is None:
                found = candidates(hits)
            else:
                found = yield from self._as_they_were(query, limit, hits, as_of)
            allowed = [c for c in found if c.entry.live and c.entry not in refused]
            if len(allowed) >= k or len(hits) < limit or limit >= WIDEST:
                return allowed[: max(self.config.shortlist, k)]
            limit *= 4

    def _as_they_were(
        self, query: str, limit: int, hits: Sequence[Any], moment: datetime
    ) -> Flow[list[Candidate]]:
        (past,) = yield from self.shelf.near([query], limit, PAST)
        texts: dict[tuple[str, str], float] = {}
        for item in (*hits, *past):
            entry_id = str(item.value.get("entry_id", item.key))
            texts[entry_id, str(item.value["index_text"])] = float(item.score or 0.0)
        journal = self._history("recall as of a time")
        ids = list({entry_id for entry_id, _ in texts})
        states = yield blocking(journal.states, self.namespace, ids, moment)
        found = [
            Candidate(entry, texts[entry.id, entry.index_text])
            for entry in states.values()
            if (entry.id, entry.index_text) in texts
        ]
        return sorted(found, key=lambda candidate: -candidate.similarity)

    def _linked(
        self,
        main: Sequence[Recalled],
        refused: Refused,
        as_of: datetime | None,
    ) -> Flow[list[Recalled]]:
        taken = {recalled.entry.id for recalled in main}
        wanted = [i for recalled in main for i in recalled.entry.related_to if i not in taken]
        if not wanted or not self.config.linked:
            return []
        if as_of is None:
            known = yield from self.shelf.get(wanted)
        else:
            journal = self._history("recall as of a time")
            known = yield blocking(journal.states, self.namespace, wanted, as_of)
        allowed = {i: entry for i, entry in known.items() if entry.live and entry not in refused}
        return link(main, allowed, self.config.linked)

    # write

    def _write(
        self,
        operations: Sequence[Operation],
        *,
        run: str,
        attempt: int,
        problem_id: str = "",
    ) -> Flow[list[Written]]:
        """Carry out a writer's operations, consolidated with what is known, as one batch.

        Doing it again for the same run and attempt changes nothing and gives the same answer.

        Raises:
            InputError: ``run`` is no usable name.
            MemoryStoreError: the store or the journal cannot be used; nothing is half written
                that a later call would not complete.
        """
        check_text(run, "run", 500)
        origin = Provenance(run=run, problem_id=problem_id, attempt=attempt)

        def plan() -> Flow[tuple[Plan, list[Written]]]:
            return self._plan(operations, origin)

        answer = yield from self._once(f"write:{run}:{attempt}", run, attempt, plan)
        return [Written.model_validate(row) for row in answer]

    def _plan(
        self, operations: Sequence[Operation], origin: Provenance
    ) -> Flow[tuple[Plan, list[Written]]]:
        new = [op.entry for op in operations if op.entry is not None]
        targets = [op.target for op in operations if op.target]
        links = [i for entry in new for i in (entry.id, *entry.related_to)]
        known = yield from self.shelf.get([*targets, *links])
        plan = new_plan(known)
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
                others |= yield from self._alike(entry, similar, {})
            written.append(settle(plan, operation, neighbour_list(others), origin))
        return plan, written

    def _neighbours(
        self, entries: Sequence[MemoryEntry]
    ) -> Flow[dict[str, dict[str, tuple[MemoryEntry, float]]]]:
        """For each new entry, the existing ones that may say the same, put-aside ones included."""
        texts = [entry.index_text for entry in entries]
        live = yield from self.shelf.near(texts, NEIGHBOURS)
        past = yield from self.shelf.near(texts, NEIGHBOURS, PAST)
        aside = yield from self.shelf.get(
            [str(i.value["entry_id"]) for items in past for i in items if (i.score or 0) >= NEAR]
        )
        found: dict[str, dict[str, tuple[MemoryEntry, float]]] = {}
        for entry, near, gone in zip(entries, live, past, strict=True):
            scores = {item.key: float(item.score or 0) for item in near}
            olds = [read_entry(item) for item in near]
            for item in gone:
                old = aside.get(str(item.value["entry_id"]))
                if old is not None and old.id not in scores:
                    scores[old.id] = float(item.score or 0)
                    olds.append(old)
            close = [old for old in olds if scores[old.id] >= NEAR]
            found[entry.id] = yield from self._alike(entry, close, scores)
        return found

    def _alike(
        self, entry: MemoryEntry, others: Sequence[MemoryEntry], scores: Mapping[str, float]
    ) -> Flow[dict[str, tuple[MemoryEntry, float]]]:
        """Others with their similarity in condition and content, whichever is less."""
        if not others:
            return {}
        embedder = getattr(self.store, "embeddings", None)
        if embedder is None:
            return {old.id: (old, scores.get(old.id, 0.0)) for old in others}
        texts = [entry.index_text, entry.content]
        for old in others:
            texts += [old.index_text, old.content]
        vectors = yield call(embedder, "embed_documents", texts)
        return {
            old.id: (old, min(_cosine(vectors[0], vectors[i]), _cosine(vectors[1], vectors[i + 1])))
            for i, old in zip(range(2, len(texts), 2), others, strict=True)
        }

    # credit

    def _credit(
        self,
        entry_ids: Sequence[str],
        verdict: Literal["pass", "fail"],
        *,
        run: str,
        attempt: int,
        previous: Literal["pass", "fail"] | None = None,
    ) -> Flow[None]:
        """Count a verdict for the entries that the attempt was shown.

        When ``previous`` was a pass and the verdict is a fail, the entries are quarantined until
        reviewed. Doing it again for the same run and attempt changes nothing.
        """
        check_text(run, "run", 500)

        def plan() -> Flow[tuple[Plan, list[Written]]]:
            known = yield from self.shelf.get(entry_ids)
            plan = new_plan(known)
            for entry in known.values():
                after = credited(entry, verdict, previous, plan.now)
                held = after.quarantined and not entry.quarantined
                kind = "quarantine" if held else "credit"
                plan.put(kind, entry.id, after, f"attempt {attempt} of {run}: {verdict}")
            return plan, []

        yield from self._once(f"credit:{run}:{attempt}", run, attempt, plan)
        return None

    recall, arecall = twins(_recall, "read")
    write, awrite = twins(_write)
    credit, acredit = twins(_credit)


def _searchable(text: str) -> str:
    """Text that any embedder takes: no lone surrogates or NUL, bounded, trimmed."""
    return text[:MAX_QUERY].encode("utf-8", "replace").decode().replace("\x00", " ").strip()


def _why_empty(rejected: Recalled | None, floor: float, any_found: bool) -> str:
    if rejected is None:
        return "nothing else fits" if any_found else "the memory has no entry that may be recalled"
    return (
        f"the best entry, {rejected.entry.id}, has similarity {rejected.similarity:.2f}, "
        f"below the floor of {floor:.2f}"
    )


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    norms = math.hypot(*one) * math.hypot(*other)
    return math.fsum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0
