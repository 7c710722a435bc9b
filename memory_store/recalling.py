"""Recall: the few entries of a memory that fit a problem, now or as they once were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from langgraph.store.base import SearchItem

from vitarmm_agent.effects import Flow, in_thread
from vitarmm_agent.memory_store.compaction import check_horizon
from vitarmm_agent.memory_store.entry_store import (
    ENTRIES,
    EXAMPLES,
    PAST,
    WIDEST,
    EntryStore,
    candidates,
)
from vitarmm_agent.memory_store.journal import Journal, history
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.operations import Recall, Recalled
from vitarmm_agent.memory_store.ranking import (
    OUTVOTED,
    Candidate,
    RecallConfig,
    fitting,
    link,
    rank,
)
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance

Nearness = dict[tuple[str, str], float]
"""Similarities by entry and problem."""
MAX_QUERY = 8_000
"""Characters of a problem that are searched for."""


@dataclass(frozen=True)
class Refused:
    """Entries that one recall must not give: put aside, by id, by their problem, by who asks, by time."""

    ids: frozenset[str]
    problems: frozenset[str]
    reader: Provenance | None
    moment: datetime

    def __contains__(self, entry: MemoryEntry) -> bool:
        """Whether ``entry`` is one of them."""
        origin = entry.provenance
        if entry.id in self.ids or origin.problem_id in self.problems:
            return True
        if entry.state_at(self.moment) != "live":
            return True
        reader = self.reader
        if reader is None or not reader.run:
            return False
        own = (origin.run, origin.begun) == (reader.run, reader.begun)
        return own and origin.attempt >= reader.attempt


@dataclass(frozen=True)
class Recalling:
    """What recalls from the entries of one memory, by a configuration."""

    entry_store: EntryStore
    journal: Journal | None
    config: RecallConfig

    def recall(
        self, problem_text: str, k: int, refused: Refused, as_of: datetime | None
    ) -> Flow[Recall]:
        """See :meth:`vitarmm_agent.memory_store.memory.ReasoningMemory.recall`."""
        if as_of is not None:
            yield from in_thread(
                check_horizon, history(self.journal, "as_of"), self.entry_store.namespace, as_of
            )
        query = _searchable(problem_text)
        if not query:
            return Recall(query=query, note="there is no text to search for")
        examples, near = yield from self._examples(query, refused, as_of)
        floor = self.config.similarity_floor
        found = yield from self._candidates(query, k, refused, as_of)
        main, rejected = rank(query, found, k=k, floor=floor, config=self.config, now=as_of)
        linked = yield from self._linked(main, refused, as_of)
        note = ""
        if not main and not examples:
            passed_over = yield from self._allowed(near, refused, as_of)
            note = self._why_empty(rejected, passed_over, any_found=bool(found))
        entries = (*examples, *main, *linked)
        return Recall(query=query, entries=entries, best_rejected=rejected, note=note)

    def _examples(
        self, query: str, refused: Refused, as_of: datetime | None
    ) -> Flow[tuple[list[Recalled], Nearness]]:
        """The examples whose problems are of the same kind: alike as they are, or masked; and how near all are."""
        limit, most = self.config.shortlist, self.config.examples
        if not most:
            return [], {}
        texts = list(dict.fromkeys((query, general(query))))
        while True:
            (hits,) = yield from self.entry_store.near(texts, limit, EXAMPLES)
            near = _best_scores(hits)
            good = {place: s for place, s in near.items() if s >= self.config.examples_from}
            known = yield from self._allowed(good, refused, as_of)
            allowed = [candidate for candidate in known if not _outvoted(candidate.entry)]
            alike = good and max(good.values()) - min(good.values()) < 1e-6  # more may be as near
            enough = len(allowed) >= most and not alike
            if enough or len(good) < limit or limit >= WIDEST:
                return fitting(query, allowed, most), near
            limit *= 4

    def _allowed(
        self, good: Nearness, refused: Refused, as_of: datetime | None
    ) -> Flow[list[Candidate]]:
        """Of these examples, those that may be recalled."""
        ids = sorted({entry_id for entry_id, _ in good})
        if as_of is None:
            known = yield from self.entry_store.get(ids)
        else:
            known = yield from self._states(ids, as_of)
        return [
            Candidate(entry, good[entry.id, entry.example.problem])
            for entry in known.values()
            if entry.example is not None
            and (entry.id, entry.example.problem) in good
            and entry not in refused
        ]

    def _candidates(
        self, query: str, k: int, refused: Refused, as_of: datetime | None
    ) -> Flow[list[Candidate]]:
        """The shortlist of what is shown as text; grows while too many may not be recalled."""
        limit = max(self.config.shortlist, k)
        while True:
            ((hits,),) = yield from self.entry_store.near([query], limit, ENTRIES)
            if as_of is None:
                found = candidates(hits)
            else:
                found = yield from self._as_they_were(query, limit, hits, as_of)
            allowed = [c for c in found if c.entry.example is None and c.entry not in refused]
            if len(allowed) >= k or len(hits) < limit or limit >= WIDEST:
                return allowed[: max(self.config.shortlist, k)]
            limit *= 4

    def _as_they_were(
        self, query: str, limit: int, hits: Sequence[SearchItem], moment: datetime
    ) -> Flow[list[Candidate]]:
        ((past,),) = yield from self.entry_store.near([query], limit, PAST)
        texts: dict[tuple[str, str], float] = {}
        for item in (*hits, *past):
            entry_id = str(item.value.get("entry_id", item.key))
            texts[entry_id, str(item.value["index_text"])] = float(item.score or 0.0)
        states = yield from self._states(list({entry_id for entry_id, _ in texts}), moment)
        found = [
            Candidate(entry, texts[entry.id, entry.index_text])
            for entry in states.values()
            if (entry.id, entry.index_text) in texts
        ]
        return sorted(found, key=lambda candidate: -candidate.similarity)

    def _linked(
        self, main: Sequence[Recalled], refused: Refused, as_of: datetime | None
    ) -> Flow[list[Recalled]]:
        taken = {recalled.entry.id for recalled in main}
        wanted = [i for recalled in main for i in recalled.entry.related_to if i not in taken]
        if not wanted or not self.config.linked:
            return []
        if as_of is None:
            known = yield from self.entry_store.get(wanted)
        else:
            known = yield from self._states(wanted, as_of)
        allowed = {i: entry for i, entry in known.items() if entry not in refused}
        return link(main, allowed, self.config.linked)

    def _states(self, ids: Sequence[str], moment: datetime) -> Flow[dict[str, MemoryEntry]]:
        journal = history(self.journal, "recall as of a time")
        return (yield from in_thread(journal.states, self.entry_store.namespace, ids, moment))

    def _why_empty(
        self, rejected: Recalled | None, examples: Sequence[Candidate], *, any_found: bool
    ) -> str:
        """Why nothing is recalled: what came nearest of texts and of examples, and how near it is."""
        floor, notes = self.config.similarity_floor, []
        if rejected is not None:
            notes.append(_below("entry", rejected.entry.id, rejected.similarity, floor))
        if examples:
            best = max(examples, key=lambda candidate: candidate.similarity)
            entry, near = best.entry, best.similarity
            if near < self.config.examples_from:
                notes.append(_below("example", entry.id, near, self.config.examples_from))
            elif _outvoted(entry):
                counts = f"it did harm {entry.harmful} times and helped {entry.helpful} times"
                notes.append(f"the best example, {entry.id}, is withheld: {counts}")
        if not notes and not any_found:
            return "the memory has no entry that may be recalled"
        return "; ".join(notes) or "nothing else fits"


def _below(what: str, entry_id: str, similarity: float, floor: float) -> str:
    return f"the best {what}, {entry_id}, has similarity {similarity:.2f}, below the floor of {floor:.2f}"


def _outvoted(entry: MemoryEntry) -> bool:
    """Whether an example did harm more often than it helped, by so much that it is withheld."""
    return entry.harmful - entry.helpful >= OUTVOTED


def _best_scores(hits: Sequence[Sequence[SearchItem]]) -> Nearness:
    """By entry and problem, the best similarity of what was found."""
    near: Nearness = {}
    for item in (item for found in hits for item in found):
        place = str(item.value["entry_id"]), str(item.value["problem"])
        near[place] = max(float(item.score or 0), near.get(place, 0.0))
    return near


def _searchable(text: str) -> str:
    """Text that any embedder takes: no lone surrogates or NUL, bounded, trimmed."""
    return text[:MAX_QUERY].encode("utf-8", "replace").decode().replace("\x00", " ").strip()
