"""Items and vectors on a Chroma server.

Each namespace has two collections: ``…-items`` holds the values as documents (its vectors mean
nothing: Chroma wants some), and ``…-vectors`` the embeddings. Vectors are written first and
items last, so what is not yet whole is not found. The server itself orders the writes of several
processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from langgraph.store.base import Item

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.clients import filler, page_items
from vitarmm_agent.memory_store.store.records import (
    Known,
    Namespace,
    Put,
    StaleVectorError,
    Vector,
    record_id,
)
from vitarmm_agent.memory_store.store.server_collections import (
    ITEMS,
    NEW_VECTORS,
    PAGE,
    VECTORS,
    ServerCollections,
)
from vitarmm_agent.memory_store.store.unindexed import Hits

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import GetResult, QueryResult

FRESH = 1.0
"""Seconds for which a list of namespaces is good enough to search below a prefix."""


class ServerBackend:
    """A Chroma server at an http(s) address; safe for threads, processes and machines."""

    def __init__(self, url: str, *, embedder: str, dims: int, timeout: float = 30.0) -> None:
        """Connect to ``url``; a call fails after ``timeout`` seconds without an answer.

        Raises:
            InputError: ``url`` is no http(s) address.
            MemoryStoreError: the server cannot be reached.
        """
        self._collections = ServerCollections(url, embedder=embedder, dims=dims, timeout=timeout)
        self._listing: list[Namespace] = []
        self._listing_until = 0.0

    # what the store reads

    def get(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Item]:
        """The items of ``keys`` that exist."""
        pages = self._pages(namespace, ITEMS, keys, "documents", "metadatas")
        return {item.key: item for page in pages for item in page_items(namespace, page)}

    def scan(self, namespaces: Sequence[Namespace]) -> Iterator[Item]:
        """All items of the namespaces, last updated first (read completely, then sorted)."""
        ask = self._collections.ask
        found = [
            item
            for namespace in namespaces
            for item in ask(namespace, ITEMS, partial(_all_items, namespace)) or ()
        ]
        return iter(sorted(found, key=lambda item: item.updated_at, reverse=True))

    def search(self, namespace: Namespace, vector: Sequence[float], limit: int) -> Hits:
        """Keys and similarities of the nearest items, best first."""
        wanted = limit
        while limit > 0:
            found = self._nearest(namespace, vector, wanted)
            if found is None:
                break
            best: dict[str, float] = {}
            distances = (found["distances"] or [[]])[0]
            for metadata, distance in zip((found["metadatas"] or [[]])[0], distances, strict=True):
                best.setdefault(str(metadata["key"]), 1.0 - distance)
            if len(best) >= limit or len(distances) < wanted:
                return list(best.items())[:limit]
            wanted *= 4
        return []

    def namespaces(self, prefix: Namespace = ()) -> list[Namespace]:
        """The namespace ``prefix`` and those under it; without one, those that hold an item.

        Under a prefix, one that another client made is seen within :data:`FRESH` seconds.
        """
        listed = self._collections.namespaces
        if not prefix:
            return [namespace for namespace in listed() if self.count(namespace)]
        if time.monotonic() > self._listing_until:
            self._listing, self._listing_until = listed(), time.monotonic() + FRESH
        found = {n for n in self._listing if n[: len(prefix)] == prefix}
        if self._collections.get(prefix, ITEMS) is not None:
            found.add(prefix)
        return sorted(found)

    def count(self, namespace: Namespace) -> int:
        """How many items the namespace holds."""
        ask = self._collections.ask
        return ask(namespace, ITEMS, lambda items: items.count(), any_embedder=True) or 0

    def digests(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, str]:
        """Text hashes of the first vectors of these items, by record."""
        return {
            record: str(metadata["digest"])
            for page in self._pages(namespace, VECTORS, keys, "metadatas")
            for record, metadata in zip(page["ids"], page["metadatas"] or (), strict=True)
        }

    def vectors(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Vector]:
        """The first vectors of these items, by record."""
        found: dict[str, Vector] = {}
        for page in self._pages(namespace, VECTORS, keys, "metadatas", "embeddings"):
            matrix = np.asarray(page["embeddings"], dtype=np.float32)
            rows = zip(page["ids"], page["metadatas"] or (), matrix, strict=True)
            found |= {
                record: Vector(record, str(m["digest"]), row.tobytes()) for record, m, row in rows
            }
        return found

    def expired(self, moment: float) -> list[tuple[Namespace, str]]:
        """Items whose time was over at ``moment``."""
        over = partial(_found, where={"expires": {"$lte": moment}})
        ask = self._collections.ask
        return [
            (namespace, item.key)
            for namespace in self.namespaces()
            for item in ask(namespace, ITEMS, partial(over, namespace), any_embedder=True) or ()
        ]

    # what the store writes

    def write(self, puts: Sequence[Put], deletes: Sequence[tuple[Namespace, str]]) -> None:
        """Store and delete; durable when it returns. Namespaces are written one after another."""
        for namespace in dict.fromkeys(put.namespace for put in puts):
            here = [put for put in puts if put.namespace == namespace]
            for start in range(0, len(here), PAGE):
                part = here[start : start + PAGE]
                old = self._stored(namespace, [put.key for put in part])
                self._write_vectors(namespace, part, old)
                self._write_items(namespace, part, old)
        for namespace in dict.fromkeys(namespace for namespace, _ in deletes):
            keys = [key for where, key in deletes if where == namespace]
            for start in range(0, len(keys), PAGE):
                self._delete(namespace, keys[start : start + PAGE])

    def touch(self, namespace: Namespace, keys: Sequence[str]) -> None:
        """Start the time-to-live of these items anew."""
        renewed = {
            record: {**metadata, "expires": time.time() + float(cast(float, metadata["ttl"])) * 60}
            for page in self._pages(namespace, ITEMS, keys, "metadatas")
            for record, metadata in zip(page["ids"], page["metadatas"] or (), strict=True)
            if "ttl" in metadata
        }
        if renewed:
            rows = cast(Any, list(renewed.values()))
            self._collections.ask(
                namespace, ITEMS, lambda items: items.update(ids=list(renewed), metadatas=rows)
            )

    def renew(
        self, namespace: Namespace, embedded: Callable[[list[Item], Known], list[Put]]
    ) -> int:
        """Make the vectors of a namespace anew, with this embedder; its items stay where they are.

        Until the new vectors are whole, the old ones are searched. Clients may write meanwhile: what
        they wrote is in the new ones too.

        Args:
            namespace: what is renewed.
            embedded: items with their vectors, but for those that are known.

        Returns:
            How many items there are.
        """
        self._collections.begin_vectors(namespace)
        known: Known = set()
        count = self._embed_all(namespace, embedded, known, NEW_VECTORS)
        self._collections.replace_vectors(namespace)
        return max(count, self._embed_all(namespace, embedded, known, VECTORS))

    def close(self) -> None:
        """Close the connection."""
        self._collections.close()

    def _embed_all(
        self,
        namespace: Namespace,
        embedded: Callable[[list[Item], Known], list[Put]],
        known: Known,
        kind: str,
    ) -> int:
        """Write the vectors of all items that are not known, and note them."""
        ask = partial(_all_items, namespace)
        items = self._collections.ask(namespace, ITEMS, ask, any_embedder=True) or []
        for start in range(0, len(items), PAGE):
            puts = embedded(items[start : start + PAGE], known)
            self._add_vectors(namespace, puts, kind)
            known |= {(namespace, v.record, v.digest) for put in puts for v in put.vectors}
        return len(items)

    def _nearest(
        self, namespace: Namespace, vector: Sequence[float], limit: int
    ) -> QueryResult | None:
        """The nearest vectors; None where there are none.

        Raises:
            MemoryStoreError: the items' vectors are gone.
        """

        def ask(collection: Collection) -> QueryResult:
            return collection.query(
                query_embeddings=list(vector), n_results=limit, include=["distances", "metadatas"]
            )

        found = self._collections.ask(namespace, VECTORS, ask)
        if found is None:
            some = partial(_found, namespace, where={"vectors": {"$gt": 0}}, limit=1)
            if self._collections.ask(namespace, ITEMS, some):
                raise MemoryStoreError(
                    f"memory {namespace} on {self._collections.url} has lost its vectors; make them "
                    "anew with: vitarmm memory reindex"
                )
        return found

    def _stored(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is noted with these items: when they were made, and how many vectors they have."""
        pages = self._pages(namespace, ITEMS, keys, "metadatas")
        return {str(row["key"]): dict(row) for page in pages for row in page["metadatas"] or ()}

    def _write_vectors(
        self, namespace: Namespace, puts: Sequence[Put], old: dict[str, dict[str, Any]]
    ) -> None:
        known = self.digests(namespace, [put.key for put in puts])
        for put in puts:
            if any(v.data is None and known.get(v.record) != v.digest for v in put.vectors):
                raise StaleVectorError(put.key)
        keep = {put.key: len(put.vectors) for put in puts}
        self._drop_vectors(namespace, keep, old)
        self._add_vectors(namespace, puts, VECTORS)

    def _add_vectors(self, namespace: Namespace, puts: Sequence[Put], kind: str) -> None:
        fresh = [(put.key, v, v.data) for put in puts for v in put.vectors if v.data is not None]
        for start in range(0, len(fresh), PAGE):
            part = fresh[start : start + PAGE]
            matrix = np.frombuffer(b"".join(data for _, _, data in part), dtype=np.float32)
            self._upsert(
                namespace,
                kind,
                ids=[vector.record for _, vector, _ in part],
                embeddings=matrix.reshape(len(part), -1),
                metadatas=[{"key": key, "digest": vector.digest} for key, vector, _ in part],
            )

    def _drop_vectors(
        self, namespace: Namespace, keep: dict[str, int], old: dict[str, dict[str, Any]]
    ) -> None:
        """Delete the vectors of each key beyond the number to keep."""
        gone = [
            record_id(key, number)
            for key, first in keep.items()
            for number in range(first, int(old.get(key, {}).get("vectors", 0)))
        ]
        if gone:
            self._collections.ask(namespace, VECTORS, lambda vectors: vectors.delete(ids=gone))

    def _write_items(
        self,
        namespace: Namespace,
        part: Sequence[Put],
        old: dict[str, dict[str, Any]],
    ) -> None:
        now = time.time()
        metadatas = []
        for put in part:
            metadata: dict[str, Any] = {
                "key": put.key,
                "created": old.get(put.key, {}).get("created", now),
                "updated": now,
                "vectors": len(put.vectors),
            }
            if put.ttl is not None:
                metadata |= {"ttl": put.ttl, "expires": now + put.ttl * 60}
            metadatas.append(metadata)
        self._upsert(
            namespace,
            ITEMS,
            ids=[record_id(put.key, 0) for put in part],
            embeddings=[filler(put.key) for put in part],
            documents=[put.value.decode() for put in part],
            metadatas=metadatas,
        )

    def _delete(self, namespace: Namespace, keys: Sequence[str]) -> None:
        old = self._stored(namespace, keys)
        ids = [record_id(key, 0) for key in keys]
        self._collections.ask(namespace, ITEMS, lambda items: items.delete(ids=ids))
        self._drop_vectors(namespace, dict.fromkeys(keys, 0), old)

    def _upsert(self, namespace: Namespace, kind: str, **rows: Any) -> None:
        if self._collections.get(namespace, kind) is None:
            self._listing_until = 0.0
        self._collections.tell(namespace, kind, lambda collection: collection.upsert(**rows))

    def _pages(
        self, namespace: Namespace, kind: str, keys: Sequence[str], *include: str
    ) -> Iterator[GetResult]:
        """What one of the namespace's collections holds of the first records of these items."""
        for start in range(0, len(keys), PAGE):
            ids = [record_id(key, 0) for key in keys[start : start + PAGE]]
            page = self._collections.ask(namespace, kind, partial(_records, ids, include))
            if page is None:
                return
            yield page


def _records(ids: list[str], include: Sequence[str], collection: Collection) -> GetResult:
    return collection.get(ids=ids, include=cast(Any, [*include]))


def _found(namespace: Namespace, collection: Collection, **options: Any) -> list[Item]:
    return page_items(namespace, collection.get(include=["documents", "metadatas"], **options))


def _all_items(namespace: Namespace, collection: Collection) -> list[Item]:
    found: list[Item] = []
    while True:
        page = _found(namespace, collection, limit=PAGE, offset=len(found))
        found += page
        if len(page) < PAGE:
            return found
