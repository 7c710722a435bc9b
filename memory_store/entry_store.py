"""The entries of one memory in a LangGraph store: how they are laid out, found and changed.

A memory uses four namespaces of the store, none a prefix of another memory's: ``…/%entries``
(the entries as they are; only live ones have a vector), ``…/%past`` (texts of entries that are no
longer live, for time travel and so that what was put aside is recognised when it comes again),
``…/%examples`` (the problems of examples, as they are and masked; those of entries that are gone or
put aside stay, for time travel) and ``…/%batches`` (which batches of changes were carried out, with what answer).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore
from pydantic import ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.effects import Call, Flow
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.journal import Batch, Change
from vitarmm_agent.memory_store.masking import general
from vitarmm_agent.memory_store.namespaces import decode_namespace, encode_namespace
from vitarmm_agent.memory_store.ranking import Candidate
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore

ENTRIES, PAST, EXAMPLES, BATCHES = "entries", "past", "examples", "batches"
LAST = "%last"
"""Key, among the batches, of the one that was carried out last."""
EVERYTHING = 10_000_000
CHUNK = 1_000
"""Operations of one store call."""
NEAREST, WIDEST = 16, 1_024
"""Items that are searched at first for those of one text, and at most."""


class EntryStore:
    """One memory's entries in a store. Methods are flows: see :mod:`vitarmm_agent.effects`."""

    def __init__(self, store: BaseStore, namespace: Sequence[str]) -> None:
        """Use ``namespace`` of ``store``.

        Raises:
            InputError: the namespace cannot be used.
        """
        self.store = store
        self.entries = encode_namespace(namespace, ENTRIES)
        self.past = (*self.entries[:-1], f"%{PAST}")
        self.examples = (*self.entries[:-1], f"%{EXAMPLES}")
        self.batches = (*self.entries[:-1], f"%{BATCHES}")
        self.namespace = tuple(namespace)

    def batch(self, ops: Sequence[Op]) -> Call[list[Any]]:
        """One call of the store; stores without asynchronous form are called in a thread."""

        async def asynchronous() -> list[Any]:
            try:
                return await self.store.abatch(ops)
            except NotImplementedError:
                return await asyncio.to_thread(self.store.batch, ops)

        return Call(lambda: self.store.batch(ops), asynchronous)

    def get(self, entry_ids: Sequence[str]) -> Flow[dict[str, MemoryEntry]]:
        """The entries that exist, by id."""
        ids = list(dict.fromkeys(entry_ids))
        found: dict[str, MemoryEntry] = {}
        for start in range(0, len(ids), CHUNK):
            ops = [GetOp(self.entries, entry_id) for entry_id in ids[start : start + CHUNK]]
            items: list[Item | None] = yield from self.batch(ops)
            there = [item for item in items if item is not None]
            found.update(zip([item.key for item in there], read_entries(there), strict=True))
        return found

    def near(
        self, texts: Sequence[str], limit: int, *parts: str
    ) -> Flow[list[list[list[SearchItem]]]]:
        """For each part, and in it for each text, the nearest items, best first."""
        known = {ENTRIES: self.entries, PAST: self.past, EXAMPLES: self.examples}
        places = [known[part] for part in parts]
        ops = [SearchOp(place, query=text, limit=limit) for place in places for text in texts]
        found = iter((yield from self.batch(ops)) if ops else [])
        return [
            [
                [i for i in next(found) if i.namespace == place and i.score is not None]
                for _ in texts
            ]
            for place in places
        ]

    def solving(self, problems: Sequence[str]) -> Flow[list[list[MemoryEntry]]]:
        """For each problem the entries whose example has, or once had, exactly its text."""
        limit = NEAREST
        while True:
            (hits,) = yield from self.near(problems, limit, EXAMPLES)
            if limit >= WIDEST or not any(_all_equal(items, limit) for items in hits):
                break
            limit *= 4
        ids = [
            [str(i.value["entry_id"]) for i in items if i.value["problem"] == problem]
            for problem, items in zip(problems, hits, strict=True)
        ]
        known = yield from self.get([one for found in ids for one in found])
        return [[known[one] for one in found if one in known] for found in ids]

    def scan(
        self, *, filter: dict[str, Any] | None = None, limit: int = EVERYTHING, offset: int = 0
    ) -> Flow[list[MemoryEntry]]:
        """Entries that meet a filter, in the store's order."""
        op = SearchOp(self.entries, filter=filter, limit=limit, offset=offset)
        (items,) = yield from self.batch([op])
        return read_entries(items)

    def expired(self, now: datetime) -> Flow[list[MemoryEntry]]:
        """Entries whose time is over, live or not."""
        until = (now + timedelta(seconds=1)).isoformat()  # as text, ".5Z" comes before "Z"
        ours = isinstance(self.store, ChromaStore)  # another may compare numbers alone
        found = yield from self.scan(filter={"expires_at": {"$lte": until}} if ours else None)
        return [entry for entry in found if entry.expired(now)]

    def answer(self, key: str) -> Flow[dict[str, Any] | None]:
        """What was answered when the batch of this key was carried out; None if it was not."""
        (item,) = yield from self.batch([GetOp(self.batches, key)])
        return None if item is None else item.value

    def last_batch(self) -> Flow[str | None]:
        """Key of the batch that was carried out last; None where an earlier version did."""
        found = yield from self.answer(LAST)
        return None if found is None else str(found["key"])

    def has_batches(self) -> Flow[bool]:
        """Whether any batch was carried out."""
        (items,) = yield from self.batch([SearchOp(self.batches, limit=1)])
        return bool(items)

    def note_last_batch(self, key: str) -> Flow[None]:
        """Note that all batches up to the one of this key were carried out."""
        yield from self.batch([self._last(key)])
        return None

    def carry_out(self, batch: Batch) -> Flow[None]:
        """Make the changes of a batch; doing it again changes nothing."""
        return (yield from self.carry_out_all([(self, batch)]))

    def carry_out_all(
        self, batches: Sequence[tuple[EntryStore, Batch]], *, journalled: bool = False
    ) -> Flow[None]:
        """:meth:`carry_out` for batches of several memories of this store, in one call of it.

        Those that are in a journal are noted as the last of their memory.
        """
        ops = [op for entry_store, batch in batches for op in entry_store._ops(batch)]
        if journalled:
            ops += [entry_store._last(batch.key) for entry_store, batch in batches]
        for part in self._parts(ops):
            yield from self.batch(part)
        return None

    def put_beside(self, entries: Sequence[MemoryEntry], past: Sequence[MemoryEntry]) -> Flow[None]:
        """Keep the texts of entries as they once were, and the problems of all examples."""
        ops = [self._past(entry) for entry in past]
        ops += [self._example(e.id, e.example.problem) for e in (*past, *entries) if e.example]
        for part in self._parts(ops):
            yield from self.batch(part)
        return None

    def _parts(self, ops: Sequence[PutOp]) -> Iterator[Sequence[PutOp]]:
        """Operations in calls of bounded size.

        ``InMemoryStore`` refuses two items with the same text in one call (it counts vectors and
        texts differently), so there such items go into separate calls.
        """
        if not isinstance(self.store, InMemoryStore):
            for start in range(0, len(ops), CHUNK):
                yield ops[start : start + CHUNK]
            return
        part: list[PutOp] = []
        texts: set[str] = set()
        for op in ops:
            embedded = {str((op.value or {})[name]) for name in op.index or ()}
            if embedded & texts:
                yield part
                part, texts = [], set()
            part.append(op)
            texts |= embedded
        yield part

    def _ops(self, batch: Batch) -> list[PutOp]:
        ops = [op for change in batch.changes for op in self._put(change)]
        return [*ops, PutOp(self.batches, batch.key, {"result": batch.result}, index=False)]

    def _last(self, key: str) -> PutOp:
        return PutOp(self.batches, LAST, {"key": key}, index=False)

    def _put(self, change: Change) -> list[PutOp]:
        before, after = change.before, change.after
        was = before.index_text if before is not None and before.live else None
        text = after.index_text if after is not None and after.live else None
        ops: list[PutOp] = []
        if before is not None and was is not None and was != text:
            ops.append(self._past(before))
        if after is None:
            return [*ops, PutOp(self.entries, change.entry_id, None)]
        if text is None:
            ops.append(self._past(after))
        if after.example is not None and (before is None or before.example != after.example):
            ops.append(self._example(after.id, after.example.problem))
        return [*ops, indexed_put(self.entries, after.id, entry_value(after))]

    def _past(self, entry: MemoryEntry) -> PutOp:
        text = entry.index_text
        value = {"entry_id": entry.id, "index_text": text}
        return indexed_put(self.past, _key(entry.id, text), value)

    def _example(self, entry_id: str, problem: str) -> PutOp:
        value = {"entry_id": entry_id, "problem": problem, "masked": general(problem)}
        return indexed_put(self.examples, _key(entry_id, problem), value)


def _all_equal(items: Sequence[SearchItem], limit: int) -> bool:
    """Whether as many as were asked for are equally near, so that there may be more."""
    return len(items) >= limit and (items[0].score or 0) - (items[-1].score or 0) < 1e-6


def _key(entry_id: str, text: str) -> str:
    return f"{entry_id}@{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def entry_value(entry: MemoryEntry) -> dict[str, Any]:
    """An entry as a store keeps it: its fields, the text that is embedded, and its state."""
    return entry.model_dump(mode="json") | {"index_text": entry.index_text, "state": entry.state}


def read_entries(items: Sequence[Item]) -> list[MemoryEntry]:
    """The entries of store items.

    Raises:
        MemoryStoreError: one holds something else.
    """
    entries = []
    for item in items:
        fields = {k: v for k, v in item.value.items() if k not in ("index_text", "state")}
        try:
            entries.append(MemoryEntry.model_validate(fields))
        except ValidationError as error:
            raise MemoryStoreError(
                f"item {item.key!r} of {item.namespace} is no memory entry: {error_lines(error)}; "
                "delete it, or make the memory again from its journal with: vitarmm memory reindex"
            ) from None
    return entries


def indexed_put(place: tuple[str, ...], key: str, value: dict[str, Any]) -> PutOp:
    """The operation that writes an item of a memory, which says what of it is embedded."""
    part = place[-1]
    fields: list[str] = []
    if part == f"%{PAST}" or (part == f"%{ENTRIES}" and value.get("state", "live") == "live"):
        fields = ["index_text"]
    elif part == f"%{EXAMPLES}":
        fields = ["problem"] if value["masked"] == value["problem"] else ["problem", "masked"]
    return PutOp(place, key, value, index=fields or False)


def candidates(items: Sequence[SearchItem]) -> list[Candidate]:
    """Found items as entries with their similarity."""
    scores = [float(item.score or 0.0) for item in items]
    return [*map(Candidate, read_entries(items), scores)]


def sizes(store: BaseStore) -> dict[tuple[str, ...], int]:
    """All memories of a store and how many entries each has, put-aside ones included."""
    found = store.list_namespaces(suffix=(f"%{ENTRIES}",), limit=EVERYTHING)
    return {decode_namespace(stored): _size(store, stored) for stored in found}


def _size(store: BaseStore, stored: tuple[str, ...]) -> int:
    if isinstance(store, ChromaStore):
        return store.count(stored)
    items = store.search(stored, limit=EVERYTHING)
    return sum(item.namespace == stored for item in items)
