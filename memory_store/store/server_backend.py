"""Items and vectors on a Chroma server.

Each namespace has two collections: ``…-items`` holds the values as documents (its vectors mean
nothing: Chroma wants some), and ``…-vectors`` the embeddings. Vectors are written first and
items last, so what is not yet whole is not found. The server itself orders the writes of several
processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

import numpy as np
from langgraph.store.base import Item

from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.backend import check_embedder
from vitarmm_agent.memory_store.store.clients import (
    Answer,
    close_client,
    filler,
    page_items,
    patiently,
    server_client,
)
from vitarmm_agent.memory_store.store.names import (
    collection_name,
    namespace_labels,
    namespace_text,
    record_id,
)
from vitarmm_agent.memory_store.store.records import Namespace, Put, StaleVectorError, Vector
from vitarmm_agent.memory_store.store.unindexed import Hits

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import GetResult

logger = logging.getLogger(__name__)

PREFIX = "vitarmm"
PAGE = 300
FRESH = 1.0
"""Seconds for which a list of namespaces is good enough to search below a prefix."""
PATIENCE = 12.0
"""Seconds in which a server that went away may come back."""


class ServerBackend:
    """A Chroma server at an http(s) address; safe for threads, processes and machines."""

    def __init__(self, url: str, *, embedder: str, dims: int, timeout: float = 30.0) -> None:
        """Connect to ``url``; a call fails after ``timeout`` seconds without an answer.

        Raises:
            InputError: ``url`` is no http(s) address.
            MemoryStoreError: the server cannot be reached.
        """
        parts = urlparse(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"Chroma server address {url!r} is not http(s)://host:port; correct it"
            )
        self.url = url
        self._embedder, self._dims, self._timeout = embedder, dims, timeout
        self._collections: dict[tuple[Namespace, str], Collection] = {}
        self._client: ClientAPI | None = None
        self._reached = False
        self._listing: list[Namespace] = []
        self._listing_until = 0.0
        self._call(lambda: self._connected().heartbeat())

    # what the store reads

    def get(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Item]:
        """The items of ``keys`` that exist."""
        pages = self._pages(namespace, "items", keys, "documents", "metadatas")
        return {item.key: item for page in pages for item in page_items(namespace, page)}

    def scan(self, namespaces: Sequence[Namespace]) -> Iterator[Item]:
        """All items of the namespaces, last updated first (read completely, then sorted)."""
        found: list[Item] = []
        for namespace in namespaces:
            collection, offset = self._collection(namespace, "items"), 0
            while collection:
                page = self._found(namespace, collection, limit=PAGE, offset=offset)
                found += page
                offset += PAGE
                if len(page) < PAGE:
                    break
        return iter(sorted(found, key=lambda item: item.updated_at, reverse=True))

    def search(self, namespace: Namespace, vector: Sequence[float], limit: int) -> Hits:
        """Keys and similarities of the nearest items, best first."""
        collection = self._collection(namespace, "vectors")
        wanted = limit
        while collection and limit > 0:
            ask = partial(
                collection.query,
                query_embeddings=list(vector),
                n_results=wanted,
                include=["distances", "metadatas"],
            )
            found = self._call(ask)
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
        if not prefix:
            return [namespace for namespace in self._listed() if self.count(namespace)]
        if time.monotonic() > self._listing_until:
            self._listing, self._listing_until = self._listed(), time.monotonic() + FRESH
        found = {n for n in self._listing if n[: len(prefix)] == prefix}
        if self._collection(prefix, "items") is not None:
            found.add(prefix)
        return sorted(found)

    def _listed(self) -> list[Namespace]:
        client = self._connected()
        found: list[Namespace] = []
        offset = 0
        while True:
            page = self._call(partial(client.list_collections, limit=PAGE, offset=offset))
            for collection in page:
                metadata = collection.metadata or {}
                if metadata.get("vitarmm") == "items":
                    found.append(namespace_labels(str(metadata["namespace"])))
            offset += PAGE
            if len(page) < PAGE:
                return found

    def count(self, namespace: Namespace) -> int:
        """How many items the namespace holds."""
        collection = self._collection(namespace, "items")
        return self._call(collection.count) if collection else 0

    def digests(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, str]:
        """Text hashes of the first vectors of these items, by record."""
        return {
            record: str(metadata["digest"])
            for page in self._pages(namespace, "vectors", keys, "metadatas")
            for record, metadata in zip(page["ids"], page["metadatas"] or (), strict=True)
        }

    def vectors(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Vector]:
        """The first vectors of these items, by record."""
        found: dict[str, Vector] = {}
        for page in self._pages(namespace, "vectors", keys, "metadatas", "embeddings"):
            matrix = np.asarray(page["embeddings"], dtype=np.float32)
            rows = zip(page["ids"], page["metadatas"] or (), matrix, strict=True)
            found |= {
                record: Vector(record, str(m["digest"]), row.tobytes()) for record, m, row in rows
            }
        return found

    def expired(self, moment: float) -> list[tuple[Namespace, str]]:
        """Items whose time was over at ``moment``."""
        found = []
        for namespace in self.namespaces():
            collection = self._collection(namespace, "items")
            if collection:
                items = self._found(namespace, collection, where={"expires": {"$lte": moment}})
                found += [(namespace, item.key) for item in items]
        return found

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
        collection = self._collection(namespace, "items")
        renewed = {
            record: {**metadata, "expires": time.time() + float(cast(float, metadata["ttl"])) * 60}
            for page in self._pages(namespace, "items", keys, "metadatas")
            for record, metadata in zip(page["ids"], page["metadatas"] or (), strict=True)
            if "ttl" in metadata
        }
        if renewed and collection is not None:
            rows = cast(Any, list(renewed.values()))
            self._call(partial(collection.update, ids=list(renewed), metadatas=rows))

    def drop(self, namespace: Namespace) -> None:
        """Delete the collections of a namespace, whatever embedder they were made with."""
        from chromadb.errors import NotFoundError

        for kind in ("items", "vectors"):
            name = collection_name(namespace, PREFIX) + f"-{kind}"
            self._collections.pop((namespace, kind), None)
            try:
                self._call(partial(self._connected().delete_collection, name))
            except NotFoundError:
                continue

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            close_client(client)

    def _stored(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What is noted with these items: when they were made, and how many vectors they have."""
        pages = self._pages(namespace, "items", keys, "metadatas")
        return {str(row["key"]): dict(row) for page in pages for row in page["metadatas"] or ()}

    def _write_vectors(
        self, namespace: Namespace, puts: Sequence[Put], old: dict[str, dict[str, Any]]
    ) -> None:
        known = self.digests(namespace, [put.key for put in puts])
        fresh: list[tuple[str, bytes, dict[str, Any]]] = []
        for put in puts:
            for vector in put.vectors:
                if vector.data is not None:
                    metadata = {"key": put.key, "digest": vector.digest}
                    fresh.append((vector.record, vector.data, metadata))
                elif known.get(vector.record) != vector.digest:
                    raise StaleVectorError(put.key)
        keep = {put.key: len(put.vectors) for put in puts}
        self._drop_vectors(namespace, keep, old)
        for start in range(0, len(fresh), PAGE):
            part = fresh[start : start + PAGE]
            matrix = np.frombuffer(b"".join(data for _, data, _ in part), dtype=np.float32)
            self._upsert(
                namespace,
                "vectors",
                ids=[record for record, _, _ in part],
                embeddings=matrix.reshape(len(part), -1),
                metadatas=[metadata for _, _, metadata in part],
            )

    def _drop_vectors(
        self, namespace: Namespace, keep: dict[str, int], old: dict[str, dict[str, Any]]
    ) -> None:
        """Delete the vectors of each key beyond the number to keep."""
        collection = self._collection(namespace, "vectors")
        gone = [
            record_id(key, number)
            for key, first in keep.items()
            for number in range(first, int(old.get(key, {}).get("vectors", 0)))
        ]
        if gone and collection is not None:
            self._call(lambda: collection.delete(ids=gone))

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
            "items",
            ids=[record_id(put.key, 0) for put in part],
            embeddings=[filler(put.key) for put in part],
            documents=[put.value.decode() for put in part],
            metadatas=metadatas,
        )

    def _delete(self, namespace: Namespace, keys: Sequence[str]) -> None:
        old = self._stored(namespace, keys)
        items = self._collection(namespace, "items")
        if items is not None:
            self._call(lambda: items.delete(ids=[record_id(key, 0) for key in keys]))
        self._drop_vectors(namespace, dict.fromkeys(keys, 0), old)

    def _upsert(self, namespace: Namespace, kind: str, **rows: Any) -> None:
        collection = self._made(namespace, kind)
        self._call(lambda: collection.upsert(**rows))

    # the server

    def _found(self, namespace: Namespace, collection: Collection, **options: Any) -> list[Item]:
        ask = partial(collection.get, include=["documents", "metadatas"], **options)
        return page_items(namespace, self._call(ask))

    def _pages(
        self, namespace: Namespace, kind: str, keys: Sequence[str], *include: str
    ) -> Iterator[GetResult]:
        """What one of the namespace's collections holds of the first records of these items."""
        collection = self._collection(namespace, kind)
        if collection is None:
            return
        for start in range(0, len(keys), PAGE):
            ids = [record_id(key, 0) for key in keys[start : start + PAGE]]
            yield self._call(partial(collection.get, ids=ids, include=cast(Any, [*include])))

    def _collection(self, namespace: Namespace, kind: str) -> Collection | None:
        from chromadb.errors import NotFoundError

        known = self._collections.get((namespace, kind))
        if known is not None:
            return known
        name = collection_name(namespace, PREFIX) + f"-{kind}"
        try:
            found = self._call(
                lambda: self._connected().get_collection(name, embedding_function=None)
            )
        except NotFoundError:
            return None
        return self._checked(namespace, kind, found)

    def _made(self, namespace: Namespace, kind: str) -> Collection:
        known = self._collection(namespace, kind)
        if known is not None:
            return known
        metadata = {
            "vitarmm": kind,
            "namespace": namespace_text(namespace),
            "embedder": self._embedder,
            "dims": self._dims,
        }
        made = self._call(
            lambda: self._connected().get_or_create_collection(
                collection_name(namespace, PREFIX) + f"-{kind}",
                configuration={"hnsw": {"space": "cosine"}},
                metadata=metadata,
                embedding_function=None,
            )
        )
        self._listing_until = 0.0
        return self._checked(namespace, kind, made)

    def _checked(self, namespace: Namespace, kind: str, collection: Collection) -> Collection:
        made = collection.metadata or {}
        check_embedder(
            f"memory {namespace} on {self.url}",
            (str(made.get("embedder", "")), int(cast(int, made.get("dims", 0)))),
            (self._embedder, self._dims),
        )
        self._collections[namespace, kind] = collection
        return collection

    def _connected(self) -> ClientAPI:
        if self._client is None:
            self._client = server_client(self.url, self._timeout)
        return self._client

    def _call(self, request: Callable[[], Answer]) -> Answer:
        """Ask the server; one that answered before is given some time to come back."""
        answer = patiently(request, self.url, PATIENCE if self._reached else 0.5)
        self._reached = True
        return answer
