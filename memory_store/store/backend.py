"""Where a Chroma store keeps things: what it needs of a place, and a folder as such a place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from langgraph.store.base import Item

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.chroma_index import COMPACT_AT, ChromaIndex
from vitarmm_agent.memory_store.store.folder_files import (
    INDEX_FOLDER,
    ITEMS_FILE,
    finish_renaming,
    folder_lock,
)
from vitarmm_agent.memory_store.store.locks import holding
from vitarmm_agent.memory_store.store.records import Namespace, Put, Vector
from vitarmm_agent.memory_store.store.sqlite_items import Items
from vitarmm_agent.memory_store.store.unindexed import Hits
from vitarmm_agent.private import private_folder

LAYOUT = "1"


class Backend(Protocol):
    """What differs between a folder and a server; all else is the store's.

    Items by namespace and key, the nearest of them to a vector, and the time-to-live.
    """

    def get(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Item]:
        """The items of ``keys`` that exist."""
        ...

    def scan(self, namespaces: Sequence[Namespace]) -> Iterator[Item]:
        """All items of the namespaces, last updated first."""
        ...

    def search(self, namespace: Namespace, vector: Sequence[float], limit: int) -> Hits:
        """Keys and similarities of the nearest items, best first."""
        ...

    def namespaces(self, prefix: Namespace = ()) -> list[Namespace]:
        """The namespace ``prefix`` and those under it, as far as they may hold items.

        Without a prefix, exactly those that hold one.
        """
        ...

    def count(self, namespace: Namespace) -> int:
        """How many items the namespace holds."""
        ...

    def digests(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, str]:
        """Text hashes of stored vectors, by record."""
        ...

    def vectors(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Vector]:
        """Stored vectors, by record."""
        ...

    def write(self, puts: Sequence[Put], deletes: Sequence[tuple[Namespace, str]]) -> None:
        """Store and delete; durable when it returns."""
        ...

    def touch(self, namespace: Namespace, keys: Sequence[str]) -> None:
        """Start the time-to-live of these items anew."""
        ...

    def expired(self, moment: float) -> list[tuple[Namespace, str]]:
        """Items whose time was over at ``moment``."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


class LocalBackend:
    """Items in SQLite, their vectors indexed by embedded Chroma; a folder, or memory."""

    def __init__(
        self, folder: Path | None, *, embedder: str, dims: int, batch: int = COMPACT_AT
    ) -> None:
        """Open or make ``folder``; None keeps everything in memory. ``dims`` 0: no vectors.

        Raises:
            MemoryStoreError: the folder cannot be used, is damaged or half copied, or was made
                with another embedder or dimension.
        """
        self.folder = folder
        if folder is None:
            self.items = Items(None)
        else:
            _make_writable(folder)
            with holding(folder_lock(folder)):
                finish_renaming(folder)
                self.items = self._open_items(folder, embedder, dims)
        index_folder = folder / INDEX_FOLDER if folder else None
        self.index = ChromaIndex(self.items, index_folder, dims, batch) if dims else None
        self.search = self.index.search if self.index else _nothing
        self.get, self.scan, self.namespaces = (
            self.items.get,
            self.items.scan,
            self.items.namespaces,
        )
        self.digests, self.vectors = self.items.digests, self.items.vectors
        self.expired, self.count = self.items.expired, self.items.count
        self.touch = self.items.touch

    def write(self, puts: Sequence[Put], deletes: Sequence[tuple[Namespace, str]]) -> None:
        """Store and delete in one transaction; durable when it returns."""
        self.items.write(puts, deletes)
        if self.index:
            self.index.note_write()

    def flush(self) -> None:
        """Bring the index up to date."""
        if self.index:
            self.index.flush()

    def close(self) -> None:
        """Bring the index up to date and close the files."""
        if self.index:
            self.index.close()
        self.items.close()

    def _open_items(self, folder: Path, embedder: str, dims: int) -> Items:
        if not (folder / ITEMS_FILE).exists() and (folder / INDEX_FOLDER).exists():
            raise MemoryStoreError(
                f"memory folder {str(folder)!r} is half copied: it has {INDEX_FOLDER}/ but no "
                f"{ITEMS_FILE}. Copy the whole folder, or make it again from its journal with: "
                "vitarmm memory reindex"
            )
        items = Items(folder / ITEMS_FILE)
        layout = items.meta("layout")
        if layout not in ("", LAYOUT):
            raise MemoryStoreError(
                f"memory folder {str(folder)!r} has layout {layout}, this version reads "
                f"{LAYOUT}; use the version that made it"
            )
        check_embedder(
            f"memory folder {str(folder)!r}",
            (items.meta("embedder"), int(items.meta("dims") or 0)),
            (embedder, dims),
        )
        items.set_meta(
            layout=LAYOUT,
            embedder=embedder or items.meta("embedder"),
            dims=dims or items.meta("dims") or 0,
        )
        return items


def check_embedder(where: str, made: tuple[str, int], given: tuple[str, int]) -> None:
    """Compare the embedder a memory was made with and the one it is opened with.

    Each is a name and a dimension; an empty name or a dimension of 0 is not known and passes.

    Raises:
        MemoryStoreError: they differ.
    """
    names_differ = made[0] and given[0] and made[0] != given[0]
    dims_differ = made[1] and given[1] and made[1] != given[1]
    if names_differ or dims_differ:
        raise MemoryStoreError(
            f"{where} was made with embedder {made[0] or 'unknown'} of {made[1] or 'unknown'} "
            f"dimensions, but is opened with {given[0] or 'unknown'} of {given[1] or 'unknown'}. "
            f"Open it with the first, or change it with: "
            f"vitarmm memory reindex --embedder {given[0] or 'NAME'}"
        )


def _nothing(namespace: Namespace, vector: Sequence[float], limit: int) -> Hits:
    """What is found by meaning where nothing is embedded."""
    return []


def _make_writable(folder: Path) -> None:
    try:
        private_folder(folder)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise MemoryStoreError(
            f"memory folder {str(folder)!r} cannot be written: {error.strerror}; "
            "choose another with --memory or change its permissions"
        ) from None
