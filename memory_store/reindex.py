"""Make a memory's store again from its journal: lost or damaged files, another embedder."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
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
    EXAMPLES,
    PAST,
    read_entry,
)
from vitarmm_agent.memory_store.journal import Batch, Change, Journal
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.namespaces import decode_namespace
from vitarmm_agent.memory_store.open import is_url, journal_path, open_store
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.memory_store.store.backend import INDEX_FOLDER, ITEMS_FILE
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.memory_store.store.locks import FolderLock, holding
from vitarmm_agent.memory_store.store.records import Namespace
from vitarmm_agent.memory_store.store.server_backend import ServerBackend
from vitarmm_agent.memory_store.store.sqlite_items import Items
from vitarmm_agent.settings import Settings

logger = logging.getLogger(__name__)

FRESH = ".reindexing"
PARTS = tuple(f"%{part}" for part in (ENTRIES, PAST, EXAMPLES, BATCHES))


@dataclass(frozen=True)
class Reindexed:
    """What was made again.

    Attributes:
        entries: entries by memory.
        others: items of the store that belong to no memory, carried over.
        adopted: entries that the journal did not know and now does.
        damaged: why the old files could not be read, or empty.
    """

    entries: dict[Namespace, int]
    others: int
    adopted: int
    damaged: str


def reindex(settings: Settings) -> Reindexed:
    """Make the store of the settings' location again, with the settings' embedder.

    Entries come from the journal; where it knows none of a memory, from the store. Until the new
    store is whole, the old one stays; a process that still has the old one open is told so.

    Raises:
        InputError: memory is off, or there is nothing to make it from.
        MemoryStoreError: the journal is damaged, or folder or server cannot be used.
    """
    location = settings.memory_location
    if location == "off":
        raise InputError("memory is off; name its folder or server with --memory")
    path = journal_path(settings)
    if not is_url(location) and not path.parent.is_dir():
        raise InputError(f"memory folder {location!r} does not exist; check --memory")
    journal = Journal(path)
    try:
        with holding(FolderLock(path.with_suffix(".lock"))):
            if is_url(location):
                return _reindex_server(settings, journal)
            return _reindex_folder(settings, journal, Path(location))
    finally:
        journal.close()


def _reindex_folder(settings: Settings, journal: Journal, folder: Path) -> Reindexed:
    old, damaged = _read_folder(folder)
    adopted = _adopt(journal, old)
    fresh = folder / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    store = open_store(settings.model_copy(update={"memory": str(fresh)}))
    try:
        counts, others = _fill(store, journal, old)
    finally:
        store.close()
    aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=folder))
    for name in (ITEMS_FILE, f"{ITEMS_FILE}-wal", f"{ITEMS_FILE}-shm", INDEX_FOLDER):
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    for name in (INDEX_FOLDER, ITEMS_FILE):
        if (fresh / name).exists():
            (fresh / name).rename(folder / name)
    shutil.rmtree(fresh, ignore_errors=True)
    if damaged:
        logger.warning("the damaged files are kept in %s", aside)
    else:
        shutil.rmtree(aside, ignore_errors=True)
    return Reindexed(counts, others, adopted, damaged)


def _reindex_server(settings: Settings, journal: Journal) -> Reindexed:
    backend = ServerBackend(settings.memory_location, embedder="", dims=0)
    old = {name: list(backend.scan([name])) for name in backend.namespaces()}
    adopted = _adopt(journal, old)
    ours = {name: items for name, items in old.items() if name[-1] in PARTS}
    for name in ours:  # items of others keep their embedder
        backend.drop(name)
    backend.close()
    store = open_store(settings)
    try:
        counts, others = _fill(store, journal, ours)
    finally:
        store.close()
    return Reindexed(counts, others, adopted, "")


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


def _adopt(journal: Journal, old: dict[Namespace, list[Item]]) -> int:
    """Tell the journal about memories that it knows nothing of; returns how many entries."""
    known = set(journal.namespaces())
    adopted = 0
    for name, items in old.items():
        memory = decode_namespace(name)
        if name[-1] != f"%{ENTRIES}" or memory in known:
            continue
        entries = sorted((read_entry(item) for item in items), key=lambda e: e.created_at)
        name_of_run = person_run("adopt")
        changes = tuple(_taken_in(entry) for entry in entries)
        now = time.time()
        journal.append(memory, Batch(name_of_run, name_of_run, 0, changes, [], now))
        journal.mark_applied(memory, name_of_run)
        adopted += len(entries)
    return adopted


def _fill(
    store: ChromaStore, journal: Journal, old: dict[Namespace, list[Item]]
) -> tuple[dict[Namespace, int], int]:
    counts = {}
    for namespace in journal.namespaces():
        memory = ReasoningMemory(store, namespace, journal=journal)
        counts[namespace] = run(memory.refill())
    others = [item for name, items in old.items() if name[-1] not in PARTS for item in items]
    for start in range(0, len(others), CHUNK):
        part = others[start : start + CHUNK]
        store.batch([PutOp(item.namespace, item.key, item.value) for item in part])
    if not counts and not others:
        raise InputError("neither the journal nor the store holds anything to make a memory from")
    return counts, len(others)


def _taken_in(entry: MemoryEntry) -> Change:
    return Change(kind="import", entry_id=entry.id, before=None, after=entry, reason="adopted")
