"""A Chroma index of the vectors in :class:`~vitarmm_agent.memory_store.store.sqlite_items.Items`.

Embedded Chroma is not safe for several processes: a process never sees vectors that another wrote
after it opened the folder, and two writers overwrite each other's index files (two processes
writing 1,500 vectors each lost 100 of 3,000 in a trial). So here only one process at a time
writes, under a lock and with a freshly opened index, in batches of at least
:data:`COMPACT_AT` vectors; whatever the index does not hold yet (the *unindexed* vectors) each
process reads from SQLite and compares directly. A search is therefore complete in every process at every moment.

An index in doubt is thrown away and made again: when its files are not as they were written
(:mod:`~vitarmm_agent.memory_store.store.index_files`), or when the process that last opened, loaded or
wrote them died over it, which a mark beside the items says.
"""

from __future__ import annotations

import heapq
import logging
import random
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.clients import chroma_errors, close_client, embedded_client
from vitarmm_agent.memory_store.store.index_files import IndexFiles
from vitarmm_agent.memory_store.store.locks import FolderLock, holding
from vitarmm_agent.memory_store.store.records import (
    Namespace,
    VectorRow,
    collection_name,
    namespace_labels,
)
from vitarmm_agent.memory_store.store.sqlite_items import Items, Standing, put_meta
from vitarmm_agent.memory_store.store.unindexed import Hits, Unindexed

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

logger = logging.getLogger(__name__)

COMPACT_AT = 256
"""So many unindexed vectors are moved into Chroma, by the writer who made them so many."""
CATCH_UP = 4_096
"""At most this many vectors are moved at once, so that no single write takes long."""
SAMPLE = 32
"""Vectors looked up by themselves when an index is opened; a sound one may miss a sixteenth."""
UNINDEXED_MAX = 2_048
"""So many, held by others' index already, make a reader open the index anew."""


class ChromaIndex:
    """The embedded Chroma index of one folder, or of memory when ``folder`` is None."""

    def __init__(
        self, items: Items, folder: Path | None, dims: int, batch: int = COMPACT_AT
    ) -> None:
        """Index the vectors of ``items``; Chroma itself is opened when first needed.

        ``batch`` is how many unindexed vectors are moved into Chroma.
        """
        self.items = items
        self.folder = folder
        self.dims = dims
        self.batch = batch
        self._process = RLock()
        self._lock = FolderLock(folder.with_suffix(".lock")) if folder else None
        self._files = IndexFiles(items, folder)
        self._prefix = "" if folder else f"mem-{uuid.uuid4().hex[:12]}"
        self._client: ClientAPI | None = None
        self._generation = ""
        self._collections: dict[int, Collection] = {}
        self._unindexed = Unindexed()
        self._complete = 0  # our Chroma holds all changes up to this number
        self._seen = 0  # we hold all unindexed ones up to this number

    def search(self, namespace: Namespace, vector: Sequence[float], limit: int) -> Hits:
        """The ``limit`` nearest items of one namespace.

        Raises:
            MemoryStoreError: the folder cannot be used.
        """
        number = self.items.namespace_id(namespace)
        if number < 0 or limit < 1:
            return []
        with self._process:
            try:
                return self._search(number, vector, limit)
            except chroma_errors() as error:
                if self._lock is None:
                    raise MemoryStoreError(f"the index in memory failed: {error}") from error
                logger.info("index %s is opened anew after: %s", self.folder, error)
                self._close_client()
            try:
                return self._search(number, vector, limit)
            except chroma_errors() as error:
                self._start_over(error)
            return self._search(number, vector, limit)

    def note_write(self) -> None:
        """After a write: move vectors into Chroma if they are many and no other process is at it."""
        standing = self.items.standing()
        if standing.last - standing.applied >= self.batch:
            self.compact(wait=False)

    def compact(self, *, wait: bool = True, limit: int = CATCH_UP) -> None:
        """Move up to ``limit`` unindexed vectors into Chroma.

        With ``wait`` off, return at once when another process is doing so.
        """
        with self._process:
            if self._lock is None:
                return self._move(limit)
            if not self._lock.acquire(blocking=wait):
                return None
            try:
                self._move(limit)
            except chroma_errors() as error:
                self._start_over(error, locked=True)
            finally:
                self._lock.release()

    def flush(self) -> None:
        """Move all unindexed vectors into Chroma."""
        while (standing := self.items.standing()).applied < standing.last:
            self.compact()

    def close(self) -> None:
        """Bring Chroma up to date if nobody else is at it, and close it."""
        with self._process:
            try:
                standing = self.items.standing()
                if self.folder and standing.last > standing.applied:
                    self.compact(wait=False, limit=COMPACT_AT)
            except MemoryStoreError as error:
                logger.info("index %s stays as it is: %s", self.folder, error)
            if self._prefix and self._client:
                for collection in self._collections.values():
                    self._client.delete_collection(collection.name)
            self._close_client()

    def _search(self, number: int, vector: Sequence[float], limit: int) -> Hits:
        collection = self._ready(number)
        best = self._search_chroma(collection, number, vector, limit) if collection else {}
        for key, score in self._unindexed.search(number, vector, self.dims):
            best[key] = max(score, best.get(key, -2.0))
        return heapq.nlargest(limit, best.items(), key=lambda hit: hit[1])

    # Unindexed

    def _applied(self) -> int:
        return int(self.items.meta("applied") or 0)

    def _ready(self, number: int) -> Collection | None:
        """Take in what any process has written; the collection to search, if Chroma has one."""
        while True:
            self._catch_up()
            client = self._client
            collection = self._collection(number)
            if self._client is client:
                return collection

    def _catch_up(self) -> None:
        """Read changes by any process; open the index anew when it has fallen far behind."""
        standing = self.items.standing()
        if self._client is None and standing.applied:
            self._open()
        standing = self._read_unindexed(standing)
        behind = self._complete < standing.pruned
        long = sum(map(len, self._unindexed.rows.values())) > UNINDEXED_MAX
        stale = behind or (long and standing.applied > self._complete)
        if stale and self._generation != standing.generation:
            self._open()
            self._read_unindexed(self.items.standing())

    def _read_unindexed(self, standing: Standing) -> Standing:
        """Read what is newer than what was seen; how things stand after that."""
        if standing.last <= self._seen:
            return standing
        rows = self.items.changes(self._seen)
        self._unindexed.add(rows)
        self._seen = max([self._seen, *(row.seq for row in rows)])
        return self.items.standing()

    # Chroma

    def _search_chroma(
        self, collection: Collection, number: int, vector: Sequence[float], limit: int
    ) -> dict[str, float]:
        """Best similarity per key, of records of which no newer vector is unindexed."""
        unindexed = self._unindexed.rows.get(number, {})
        wanted = limit + 8
        while True:
            found = collection.query(
                query_embeddings=list(vector), n_results=wanted, include=["distances"]
            )
            records, distances = found["ids"][0], (found["distances"] or [[]])[0]
            fresh = {r: d for r, d in zip(records, distances, strict=True) if r not in unindexed}
            keys = self.items.keys_of(number, list(fresh))
            best: dict[str, float] = {}
            for record, distance in fresh.items():
                if record in keys:
                    best[keys[record]] = max(1.0 - distance, best.get(keys[record], -2.0))
            if len(best) >= limit or len(records) < wanted:
                return best
            wanted *= 4

    def _collection(self, number: int) -> Collection | None:
        """The collection of a namespace; its index files are first read under the lock."""
        if number in self._collections:
            return self._collections[number]
        if self._complete == 0 or self._client is None or self._lock is None:
            return None
        with holding(self._lock):
            if self._generation != self.items.meta("generation"):
                self._open(locked=True)
            return self._load(number)

    def _load(self, number: int, *, make: bool = False) -> Collection | None:
        """The collection of a namespace, its files read and tried. The lock is held."""
        with self._files.in_hand():
            return self._loaded(number, make=make)

    def _loaded(self, number: int, *, make: bool) -> Collection | None:
        from chromadb.errors import NotFoundError

        client = self._client
        if client is None:
            raise MemoryStoreError("the index is closed; open the store again")
        labels = namespace_labels(
            self.items.query("SELECT labels FROM namespaces WHERE id = ?", number)[0][0]
        )
        name = collection_name(labels, self._prefix)
        held = self._held_by_chroma(number)
        try:
            collection = client.get_collection(name, embedding_function=None)
        except NotFoundError:
            if held:
                raise _BrokenIndexError(f"the collection of {labels} is missing") from None
            if not make:
                return None
            collection = client.create_collection(
                name,
                configuration={"hnsw": {"space": "cosine"}},
                metadata={"namespace": str(list(labels))[:1000]},
                embedding_function=None,
            )
        if collection.count() < held:
            raise _BrokenIndexError(f"the collection of {labels} lacks vectors")
        if held:  # reads its files, now and under the lock
            self._check(collection, number, labels)
        self._collections[number] = collection
        return collection

    def _held_by_chroma(self, number: int) -> int:
        """How many vectors of a namespace Chroma must hold."""
        ((count,),) = self.items.query(
            "SELECT count(*) FROM vectors WHERE namespace = ? AND seq <= ? AND vector IS NOT NULL",
            number,
            self._applied(),
        )
        return int(count)

    def _open(self, *, locked: bool = False) -> None:
        """Open Chroma as it is on disk now."""
        if self._lock is not None and not locked:
            with holding(self._lock):
                return self._open(locked=True)
        self._close_client()
        if doubt := self._files.doubt():
            self._set_aside(doubt)
        with self._files.in_hand():
            try:
                self._client = embedded_client(self.folder)
            except chroma_errors() as error:
                self._set_aside(error)
                self._client = embedded_client(self.folder)
        self._generation = self.items.meta("generation")
        self._unindexed = Unindexed()
        self._complete = self._seen = self._applied()
        return None

    def _close_client(self) -> None:
        self._collections = {}
        client, self._client = self._client, None
        if client is not None:
            close_client(client)

    def _move(self, limit: int) -> None:
        """Write changes into Chroma. The lock is held."""
        if self._client is None or self._generation != self.items.meta("generation"):
            self._open(locked=True)
        applied = self._applied()
        rows = self.items.changes(applied, limit=limit)
        if not rows or self._client is None:
            return
        places = {row.namespace for row in rows}
        for number in places - self._collections.keys():
            self._load(number, make=True)
        self._generation = uuid.uuid4().hex
        self.items.set_meta(generation=self._generation, opening=self._generation)
        for number in places:
            collection = self._collections.get(number)
            changes = [row for row in rows if row.namespace == number]
            if collection is not None:
                _apply(collection, changes, self._client.get_max_batch_size())
        last = rows[-1].seq
        with self.items.transaction() as db:
            db.execute("DELETE FROM vectors WHERE vector IS NULL AND seq <= ?", (applied,))
            put_meta(
                db,
                {"applied": last, "pruned": applied, "files": self._files.digest(), "opening": ""},
            )
        self._complete, self._seen = last, max(self._seen, last)
        self._unindexed.forget(last)

    # damage

    def _check(self, collection: Collection, number: int, labels: Namespace) -> None:
        """Look some vectors up by themselves: Chroma opens some damaged files without a word."""
        last, dice = self._applied(), random.Random()
        found = [
            self.items.query(
                "SELECT vector FROM vectors WHERE namespace = ? AND seq BETWEEN ? AND ? "
                "AND vector IS NOT NULL ORDER BY seq LIMIT 1",
                number,
                dice.randint(0, last),
                last,
            )
            for _ in range(SAMPLE)
        ]
        sample = [rows[0][0] for rows in found if rows]
        if not sample:
            return
        matrix = np.frombuffer(b"".join(sample), dtype=np.float32).reshape(len(sample), -1)
        nearest = collection.query(query_embeddings=matrix, n_results=1, include=["distances"])
        bad = sum(not row or row[0] > 1e-3 for row in nearest["distances"] or [])
        if bad > len(sample) // 16:
            raise _BrokenIndexError(f"{bad} of {len(sample)} vectors of {labels} are not found")

    def _start_over(self, error: BaseException | None, *, locked: bool = False) -> None:
        """Make a new, empty index; until it is filled, searches compare with all vectors."""
        if self._lock is not None and not locked:
            with holding(self._lock):
                return self._start_over(error, locked=True)
        self._close_client()
        self._set_aside(error)
        self._open(locked=True)
        return None

    def _set_aside(self, error: BaseException | str | None) -> None:
        if self.folder is None:
            return
        if error is not None:
            logger.warning("index %s is made again: %s", self.folder, error)
        if self.folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.items.set_meta(applied=0, opening="", files="", generation=uuid.uuid4().hex)


class _BrokenIndexError(RuntimeError):
    pass


def _apply(collection: Collection, rows: Sequence[VectorRow], batch: int) -> None:
    gone = [row.record for row in rows if row.vector is None]
    kept = [row for row in rows if row.vector is not None]
    for part in _parts(gone, batch):
        collection.delete(ids=part)
    for some in _parts(kept, batch):
        data = b"".join(row.vector or b"" for row in some)
        matrix = np.frombuffer(data, dtype=np.float32).reshape(len(some), -1)
        collection.upsert(ids=[row.record for row in some], embeddings=matrix)


def _parts(things: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
