"""The collections of a Chroma server, by namespace and kind: found, made, asked, replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store.store.backend import check_embedder
from vitarmm_agent.memory_store.store.clients import (
    Answer,
    close_client,
    patiently,
    server_client,
)
from vitarmm_agent.memory_store.store.records import (
    Namespace,
    collection_name,
    namespace_labels,
    namespace_text,
)
from vitarmm_agent.one_process import OneProcess

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

PREFIX = "vitarmm"
PAGE = 300
PATIENCE = 12.0
"""Seconds in which a server that went away may come back."""
ITEMS, VECTORS = "items", "vectors"
NEW_VECTORS, OLD_VECTORS = "vectors-new", "vectors-old"
"""Kinds that are there only while a namespace's vectors are replaced."""


class ServerCollections:
    """What a server holds of each namespace: a collection of each kind."""

    def __init__(self, url: str, *, embedder: str, dims: int, timeout: float) -> None:
        """Connect to ``url``; collections of another embedder or dimension are refused.

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
        self._known: dict[tuple[Namespace, str], Collection] = {}
        self._client: ClientAPI | None = None
        self._opened = OneProcess(f"memory on {url}")
        self._reached = False
        self._call(lambda: self._connected().heartbeat())

    def get(self, namespace: Namespace, kind: str) -> Collection | None:
        """A collection, or None where there is none.

        Raises:
            MemoryStoreError: it was made with another embedder.
        """
        known = self._known.get((namespace, kind))
        if known is None:
            found = self._stored(namespace, kind)
            known = found and self._checked(namespace, kind, found)
        return known

    def made(self, namespace: Namespace, kind: str) -> Collection:
        """A collection, made when there is none; raises as :meth:`get`."""
        known = self.get(namespace, kind)
        if known is not None:
            return known
        made = self._call(
            lambda: self._connected().get_or_create_collection(
                _name(namespace, kind),
                configuration={"hnsw": {"space": "cosine"}},
                metadata=self._metadata(namespace, kind),
                embedding_function=None,
            )
        )
        return self._checked(namespace, kind, made)

    def ask(
        self,
        namespace: Namespace,
        kind: str,
        request: Callable[[Collection], Answer],
        *,
        any_embedder: bool = False,
    ) -> Answer | None:
        """What a collection answers, perhaps one of another embedder; None where there is none."""
        find = self._stored if any_embedder else self.get
        return self._asked(namespace, kind, find, request)

    def tell(
        self, namespace: Namespace, kind: str, request: Callable[[Collection], object]
    ) -> None:
        """As :meth:`ask`, of a collection that is made when there is none."""
        self._asked(namespace, kind, self.made, request)

    def namespaces(self) -> list[Namespace]:
        """Those that have a collection of items, empty ones too."""
        client = self._connected()
        found: list[Namespace] = []
        offset = 0
        while True:
            page = self._call(partial(client.list_collections, limit=PAGE, offset=offset))
            for collection in page:
                metadata = collection.metadata or {}
                if metadata.get("vitarmm") == ITEMS:
                    found.append(namespace_labels(str(metadata["namespace"])))
            offset += PAGE
            if len(page) < PAGE:
                return found

    # replacing vectors

    def begin_vectors(self, namespace: Namespace) -> None:
        """Make an empty collection beside the vectors; what a killed process left of one goes."""
        for kind in (NEW_VECTORS, OLD_VECTORS):
            self._delete(namespace, kind)
        self.made(namespace, NEW_VECTORS)

    def replace_vectors(self, namespace: Namespace) -> None:
        """Put the collection that was begun in the place of the vectors.

        Who has the replaced one open finds the new one by its name, or is told that the embedder is
        another. A kill leaves the items as they are, and at worst without vectors.
        """
        from chromadb.errors import ChromaError

        fresh, old = self.made(namespace, NEW_VECTORS), self._stored(namespace, VECTORS)
        if old is not None:
            self._call(partial(old.modify, name=_name(namespace, OLD_VECTORS)))
        rename = partial(fresh.modify, name=_name(namespace, VECTORS))
        try:
            self._call(rename)
        except ChromaError:  # a client that writes has made one meanwhile
            self._delete(namespace, VECTORS)
            self._call(rename)
        items = self._stored(namespace, ITEMS)
        for collection, kind in ((fresh, VECTORS), (items, ITEMS)):
            if collection is not None:
                metadata = self._metadata(namespace, kind)
                self._call(partial(collection.modify, metadata=metadata))
        self._delete(namespace, OLD_VECTORS)
        for kind in (ITEMS, VECTORS, NEW_VECTORS):
            self._known.pop((namespace, kind), None)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            self._opened.only(lambda: close_client(client))()

    def _asked(
        self,
        namespace: Namespace,
        kind: str,
        find: Callable[[Namespace, str], Collection | None],
        request: Callable[[Collection], Answer],
    ) -> Answer | None:
        from chromadb.errors import NotFoundError

        for _ in range(2):
            collection = find(namespace, kind)
            if collection is None:
                return None
            try:
                return self._call(partial(request, collection))
            except NotFoundError:  # replaced since it was found
                self._known.pop((namespace, kind), None)
        raise MemoryStoreError(
            f"memory {namespace} on {self.url} is being made again by another process; try again"
        )

    def _stored(self, namespace: Namespace, kind: str) -> Collection | None:
        from chromadb.errors import NotFoundError

        name = _name(namespace, kind)
        try:
            return self._call(
                lambda: self._connected().get_collection(name, embedding_function=None)
            )
        except NotFoundError:
            return None

    def _delete(self, namespace: Namespace, kind: str) -> None:
        from chromadb.errors import NotFoundError

        self._known.pop((namespace, kind), None)
        try:
            self._call(partial(self._connected().delete_collection, _name(namespace, kind)))
        except NotFoundError:
            return

    def _metadata(self, namespace: Namespace, kind: str) -> dict[str, Any]:
        return {
            "vitarmm": kind,
            "namespace": namespace_text(namespace),
            "embedder": self._embedder,
            "dims": self._dims,
        }

    def _checked(self, namespace: Namespace, kind: str, collection: Collection) -> Collection:
        made = collection.metadata or {}
        check_embedder(
            f"memory {namespace} on {self.url}",
            (str(made.get("embedder", "")), int(cast(int, made.get("dims", 0)))),
            (self._embedder, self._dims),
        )
        self._known[namespace, kind] = collection
        return collection

    def _connected(self) -> ClientAPI:
        if self._client is None:
            self._client = server_client(self.url, self._timeout)
        return self._client

    def _call(self, request: Callable[[], Answer]) -> Answer:
        """Ask the server; one that answered before is given some time to come back."""
        self._opened.check()
        answer = patiently(request, self.url, PATIENCE if self._reached else 0.5)
        self._reached = True
        return answer


def _name(namespace: Namespace, kind: str) -> str:
    return f"{collection_name(namespace, PREFIX)}-{kind}"
