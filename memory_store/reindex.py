"""Make a memory's store again from its journal: lost or damaged files, another embedder."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from langgraph.store.base import Item, PutOp

from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store.curation import person_run
from vitarmm_agent.memory_store.entry_store import (
    BATCHES,
    CHUNK,
    ENTRIES,
    EVERYTHING,
    EXAMPLES,
    PAST,
    indexed_put,
    read_entries,
)
from vitarmm_agent.memory_store.identity import is_url
from vitarmm_agent.memory_store.journal import Batch, Change, Journal
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.namespaces import decode_namespace
from vitarmm_agent.memory_store.open import OFF, open_journal, open_store
from vitarmm_agent.memory_store.past import Refilled
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.memory_store.store.folder_files import (
    FRESH,
    ITEMS_FILE,
    declare_whole,
    finish_renaming,
    folder_lock,
)
from vitarmm_agent.memory_store.store.locks import holding
from vitarmm_agent.memory_store.store.records import Namespace
from vitarmm_agent.memory_store.store.sqlite_items import Items
from vitarmm_agent.settings import Settings

logger = logging.getLogger(__name__)

PARTS = tuple(f"%{part}" for part in (ENTRIES, PAST, EXAMPLES, BATCHES))


@dataclass(frozen=True)
class Reindexed:
    """What was made again.

    Attributes:
        entries: entries by memory.
        others: items of a folder that belong to no memory, carried over.
        adopted: entries that the journal did not know and now does.
        left: by memory, entries of a server that the journal does not know, and that are as they were.
        damaged: why the old files could not be read, or empty.
    """

    entries: dict[Namespace, int]
    others: int
    adopted: int
    damaged: str
    left: dict[Namespace, int]


def reindex(settings: Settings) -> Reindexed:
    """Make the store of the settings' location again, with the settings' embedder.

    Entries come from the journal. What it does not know stays as well: in a folder the journal takes
    it in. On a server it may be another's, so only the memory that the settings name and those with a
    history here get new vectors, and only a journal in a database, which all machines share, takes in
    what these hold; the rest is left alone. Until the new store or its vectors are whole, the old ones
    stay; a process that still has an old folder open is told so.

    Raises:
        InputError: memory is off, or there is nothing to make it from.
        MemoryStoreError: the journal is damaged, or folder or server cannot be used.
    """
    location = settings.memory_location
    if location == "off":
        raise InputError(OFF)
    if not is_url(location) and not Path(location).is_dir():
        raise InputError(f"memory folder {location!r} does not exist; check --memory")
    journal = open_journal(settings)
    try:
        writers = journal.lock({*journal.namespaces(), settings.namespace})
        assert writers is not None, "a journal that is kept somewhere has one"
        with holding(writers):
            if is_url(location):
                return _reindex_server(settings, journal)
            return _reindex_folder(settings, journal, Path(location))
    finally:
        journal.close()


def _reindex_folder(settings: Settings, journal: Journal, folder: Path) -> Reindexed:
    with holding(folder_lock(folder)):
        finish_renaming(folder)
    old, damaged = _read_folder(folder)
    parts = {name: items for name, items in old.items() if name[-1] == f"%{ENTRIES}"}
    adopted = _adopt(journal, {decode_namespace(n): read_entries(parts[n]) for n in parts})
    fresh = folder / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    store = open_store(settings.model_copy(update={"memory": str(fresh)}))
    try:
        filled, others = _fill(store, journal), _carry_over(store, old)
    finally:
        store.close()
    if not filled and not others:
        raise _nothing()
    with holding(folder_lock(folder)):
        aside = declare_whole(folder, keep_old=bool(damaged))
        finish_renaming(folder)
    if damaged:
        logger.warning("the damaged files are kept in %s", aside)
    counts = {name: done.entries for name, done in filled.items()}
    return Reindexed(counts, others, adopted, damaged, {})


def _reindex_server(settings: Settings, journal: Journal) -> Reindexed:
    store = open_store(settings)
    try:
        sizes = ReasoningMemory(store, settings.namespace).namespaces()
        ours = {*journal.namespaces(), settings.namespace}
        for name in store.list_namespaces(limit=EVERYTHING):
            if name[-1] in PARTS and decode_namespace(name) in ours:
                store.renew_vectors(name, lambda i: indexed_put(i.namespace, i.key, i.value))
        adopted = 0
        if journal.joined_later:
            memories = (ReasoningMemory(store, name) for name in ours)
            adopted = _adopt(journal, {memory.namespace: memory.list() for memory in memories})
        filled = _fill(store, journal)
    finally:
        store.close()
    if not filled and settings.namespace not in sizes:
        raise _nothing()
    left = {name: size for name, size in sizes.items() if name not in filled}
    left |= {name: done.left for name, done in filled.items() if done.left}
    return Reindexed({name: done.entries for name, done in filled.items()}, 0, adopted, "", left)


def _read_folder(folder: Path) -> tuple[dict[Namespace, list[Item]], str]:
    """All items by namespace, and why they cannot be read, if so."""
    if not (folder / ITEMS_FILE).exists():
        return {}, ""
    try:
        items = Items(folder / ITEMS_FILE)
        try:
            return {name: list(items.scan([name])) for name in items.namespaces()}, ""
        finally:
            items.close()
    except (MemoryStoreError, ValueError) as error:
        return {}, str(error)


def _adopt(journal: Journal, memories: Mapping[Namespace, Sequence[MemoryEntry]]) -> int:
    """Tell the journal about entries as it does not know them; returns how many."""
    adopted = 0
    for memory, found in memories.items():
        strange = journal.unknown(memory, found).values()
        if not strange:
            continue
        before = {entry.id: entry for entry in journal.entries(memory)}
        changes = tuple(
            Change(kind="import", entry_id=e.id, before=before.get(e.id), after=e, reason="adopted")
            for e in sorted(strange, key=lambda e: e.created_at)
        )
        run = person_run("adopt")
        journal.append(memory, Batch(run, run, 0, changes, [], time.time()))
        journal.mark_applied(memory, run)
        adopted += len(strange)
    return adopted


def _fill(store: ChromaStore, journal: Journal) -> dict[Namespace, Refilled]:
    return {
        name: run(ReasoningMemory(store, name, journal=journal).refill())
        for name in journal.namespaces()
    }


def _carry_over(store: ChromaStore, old: dict[Namespace, list[Item]]) -> int:
    """Put what belongs to no memory into a new store; returns how many items."""
    others = [item for name, items in old.items() if name[-1] not in PARTS for item in items]
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        store.batch([PutOp(item.namespace, item.key, item.value) for item in part])
    return len(others)


def _nothing() -> InputError:
    return InputError("neither the journal nor the store holds anything to make a memory from")
