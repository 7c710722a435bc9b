"""A LangGraph ``BaseStore`` on Chroma: a folder, memory, or a server."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    validate_op_namespace,
)

from vitarmm_agent.effects import Flow, arun, calls, in_thread, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.backend import Backend, LocalBackend
from vitarmm_agent.memory_store.store.chroma_index import COMPACT_AT
from vitarmm_agent.memory_store.store.embedded_once import awaits
from vitarmm_agent.memory_store.store.field_index import FieldIndex
from vitarmm_agent.memory_store.store.filters import matches, select_namespaces
from vitarmm_agent.memory_store.store.indexed_texts import (
    SAMPLE,
    IndexedTexts,
    VectorCheck,
    as_matrix,
)
from vitarmm_agent.memory_store.store.records import (
    Known,
    Namespace,
    Put,
    StaleVectorError,
    Vector,
    dump,
    puts_of,
    search_item,
)
from vitarmm_agent.memory_store.store.sqlite_items import Items

if TYPE_CHECKING:
    from vitarmm_agent.memory_store.store.server_backend import ServerBackend

SCORE_DECIMALS = 4
"""Similarities agree to this in whatever way they were computed; equal ones are told apart by key."""


class ChromaStore(BaseStore):
    """LangGraph's store interface, complete, on Chroma.

    ``ChromaStore(path=…)`` keeps a folder that several processes may use at once,
    ``ChromaStore(url=…)`` uses a Chroma server, ``ChromaStore()`` lives in memory. Each namespace
    has a Chroma collection of its own; similarity is the cosine, -1 to 1.

    It answers as LangGraph's ``SqliteStore`` does on the same calls: reads of a batch come before
    its writes, the last write to a key wins, listings are last updated first. Overwriting keeps
    ``created_at``, as the Postgres store does.

    Usable as ``compile(store=…)`` and with any tool that takes a ``BaseStore``. All methods may be
    called from several threads, and from an event loop in their ``a…`` form.
    """

    supports_ttl = True

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        url: str | None = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        embedder: str = "",
        timeout: float = 30.0,
        index_batch: int = COMPACT_AT,
    ) -> None:
        """Open or make a store.

        Args:
            path: folder; made when missing.
            url: http(s) address of a Chroma server, instead of ``path``.
            index: ``embed`` (embeddings, function, or ``provider:model``), ``dims`` and
                ``fields`` (JSON paths of the texts to embed; default the whole value). Without
                it there is no search by meaning.
            ttl: default time-to-live and whether reading renews it, as in ``TTLConfig``.
            embedder: name of the embedder; recorded, and compared when the store is opened again.
            timeout: seconds to wait for a server's answer.
            index_batch: how many new vectors are written into a folder's Chroma index at once;
                those not yet in it are searched all the same.

        Raises:
            InputError: both path and url are given, or the index names no dims or embedder.
            MemoryStoreError: the folder or server cannot be used as it is.
        """
        if path is not None and url is not None:
            raise InputError(f"give a path or a url, not both: {path!r} and {url!r}")
        super().__init__()
        self.index_config = index
        self.ttl_config = ttl
        self.embeddings = None if index is None else ensure_embeddings(index.get("embed"))
        self._texts = IndexedTexts(index, self.embeddings)
        self._dims = self._texts.dims
        self._backend: Backend
        self.file: Items | None = None  # of a folder
        if url is not None:
            from vitarmm_agent.memory_store.store.server_backend import ServerBackend

            self._backend = ServerBackend(url, embedder=embedder, dims=self._dims, timeout=timeout)
        else:
            folder = None if path is None else Path(path)
            local = LocalBackend(folder, embedder=embedder, dims=self._dims, batch=index_batch)
            self._backend, self.file = local, local.items
        self.fields = FieldIndex(self.file)
        where = f"memory on {url}" if url else f"memory folder {str(path)!r}"
        self._check = VectorCheck(self._backend, self.embeddings, self._texts, where)
        self._sweeping: threading.Event | None = None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations: all reads first, then all writes as one.

        Raises:
            InputError: a value is not JSON, or a text cannot be stored.
            MemoryStoreError: the folder or server cannot be used.
        """
        return run(self._batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """:meth:`batch`, without blocking the event loop."""
        return await arun(self._batch(list(ops)))

    @property
    def blocks_briefly(self) -> bool:
        """Whether all of its calls block for milliseconds: nothing goes over a network."""
        return isinstance(self._backend, LocalBackend) and not awaits(self.embeddings)

    def count(self, namespace: tuple[str, ...]) -> int:
        """How many items a namespace holds, not counting those below it."""
        return self._backend.count(namespace)

    def flush(self) -> None:
        """Bring a folder's Chroma index up to date now, rather than with the next batches."""
        if isinstance(self._backend, LocalBackend):  # a server keeps its own
            self._backend.flush()

    def renew_vectors(self, namespace: Namespace, written: Callable[[Item], PutOp]) -> int:
        """Make a namespace's vectors on a server anew with this store's embedder.

        The items stay where they are, and clients may go on.

        Args:
            namespace: what is renewed, not counting what is below it.
            written: the operation that an item was written with, which says what is embedded.

        Returns:
            How many items the namespace holds.
        """

        def embedded(items: list[Item], known: Known) -> list[Put]:
            ops = [written(item) for item in items]
            return puts_of(ops, [b""] * len(ops), run(self._texts.vectors(ops, known)))

        assert not isinstance(self._backend, LocalBackend)  # a folder is made again whole
        return cast("ServerBackend", self._backend).renew(namespace, embedded)

    def sweep_ttl(self) -> int:
        """Delete what has expired; returns how many items."""
        expired = self._backend.expired(time.time())
        if expired:
            self._backend.write([], expired)
        return len(expired)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> None:
        """Delete what has expired every so many minutes (default: as configured, or 5)."""
        if self._sweeping is not None:
            return
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        minutes = sweep_interval_minutes or configured or 5
        stop = self._sweeping = threading.Event()

        def sweep() -> None:
            while not stop.wait(minutes * 60):
                self.sweep_ttl()

        threading.Thread(target=sweep, daemon=True, name="ttl-sweeper").start()

    def stop_ttl_sweeper(self) -> None:
        """Stop deleting what has expired."""
        stop, self._sweeping = self._sweeping, None
        if stop is not None:
            stop.set()

    def close(self) -> None:
        """Bring the index up to date and release files and connections."""
        self.stop_ttl_sweeper()
        self._backend.close()

    def __enter__(self) -> ChromaStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # one batch

    def _batch(self, ops: Sequence[Op]) -> Flow[list[Result]]:
        ops = [_usable(op) for op in ops]
        queries: dict[str, list[float]] = {}
        embed = self.embeddings
        for op in ops:
            if isinstance(op, SearchOp) and op.query and op.query not in queries and embed:
                if (yield from self._holds(op.namespace_prefix)):  # no embedder starts for nothing
                    vector = yield from calls(embed.embed_query, embed.aembed_query, op.query)
                    queries[op.query] = as_matrix([vector], self._dims)[0].tolist()
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        results: list[Result] = [None] * len(ops)
        if len(puts) < len(ops):
            results = yield from in_thread(self._read_all, ops, queries)
            for op, found in zip(ops, results, strict=True):
                if isinstance(op, SearchOp) and op.query in queries:
                    yield from self._check.items(cast("list[SearchItem]", found))
        if puts:
            yield from self._write(list(puts.values()))
        return results

    def _holds(self, prefix: Namespace) -> Flow[bool]:
        local = isinstance(self._backend, LocalBackend)  # a server is not asked for that alone
        return not local or bool((yield from in_thread(self._backend.namespaces, prefix)))

    def _read_all(self, ops: Sequence[Op], queries: dict[str, list[float]]) -> list[Result]:
        keys: dict[Namespace, list[str]] = defaultdict(list)
        for op in ops:
            if isinstance(op, GetOp):
                keys[op.namespace].append(op.key)
        got = {namespace: self._present(namespace, some) for namespace, some in keys.items()}
        return [self._read(op, queries, got) for op in ops]

    def _read(
        self, op: Op, queries: dict[str, list[float]], got: dict[Namespace, dict[str, Item]]
    ) -> Result:
        if isinstance(op, GetOp):
            item = got[op.namespace].get(op.key)
            self._renew(op.refresh_ttl, [item] if item else [])
            return item
        if isinstance(op, SearchOp):
            items = self._search(op, queries)
            self._renew(op.refresh_ttl, items)
            return items
        if isinstance(op, ListNamespacesOp):
            return select_namespaces(self._occupied(), op)
        if isinstance(op, PutOp):
            return None
        raise ValueError(f"Unknown operation type: {type(op)}")

    # reading

    def _search(self, op: SearchOp, queries: dict[str, list[float]]) -> list[SearchItem]:
        namespaces = self._backend.namespaces(op.namespace_prefix)
        if op.query and self._dims:
            known = op.query in queries  # or there was nothing to compare
            return self._nearest(op, namespaces, queries[op.query]) if known else []
        found, skipped = list[SearchItem](), 0
        hidden = self._hidden()
        items = None if hidden else self.fields.page(namespaces, op)
        if items is not None:
            return [search_item(item, None) for item in items]
        for item in self._backend.scan(namespaces) if op.limit > 0 else ():
            if (item.namespace, item.key) in hidden or not matches(item.value, op.filter):
                continue
            if skipped < op.offset:
                skipped += 1
                continue
            found.append(search_item(item, None))
            if len(found) == op.limit:
                break
        return found

    def _nearest(
        self, op: SearchOp, namespaces: Sequence[Namespace], vector: list[float]
    ) -> list[SearchItem]:
        """Nearest items; asks for more candidates until enough of them meet the filter."""
        needed = op.offset + op.limit
        wanted = needed
        while True:
            hits = [
                (round(score, SCORE_DECIMALS), namespace, key)
                for namespace in namespaces
                for key, score in self._backend.search(namespace, vector, wanted)
            ]
            hits.sort(key=lambda hit: (-hit[0], hit[1:]))
            keys: dict[Namespace, list[str]] = defaultdict(list)
            for _, namespace, key in hits:
                keys[namespace].append(key)
            items = {n: self._present(n, some) for n, some in keys.items()}
            found = [
                (items[namespace][key], score)
                for score, namespace, key in hits
                if key in items[namespace] and matches(items[namespace][key].value, op.filter)
            ]
            exhausted = all(len(keys[n]) < wanted for n in namespaces)
            if len(found) >= needed or exhausted:
                return [search_item(item, score) for item, score in found[op.offset : needed]]
            wanted *= 4

    def _present(self, namespace: Namespace, keys: Sequence[str]) -> dict[str, Item]:
        found = self._backend.get(namespace, keys)
        hidden = self._hidden()
        return {key: item for key, item in found.items() if (namespace, key) not in hidden}

    def _occupied(self) -> list[Namespace]:
        """Namespaces of which something may be shown."""
        hidden = Counter(namespace for namespace, _ in self._hidden())
        return [
            namespace
            for namespace in self._backend.namespaces()
            if namespace not in hidden or self._backend.count(namespace) > hidden[namespace]
        ]

    def _hidden(self) -> set[tuple[Namespace, str]]:
        """Expired items, where the configuration says that they are not shown."""
        if not (self.ttl_config or {}).get("omit_expired"):
            return set()
        return set(self._backend.expired(time.time()))

    def _renew(self, asked: bool, items: Iterable[Item]) -> None:
        if not (asked and (self.ttl_config or {}).get("refresh_on_read")):
            return
        keys: dict[Namespace, list[str]] = defaultdict(list)
        for item in items:
            keys[item.namespace].append(item.key)
        for namespace, some in keys.items():
            self._backend.touch(namespace, some)

    # writing

    def _write(self, ops: Sequence[PutOp]) -> Flow[None]:
        deletes = [(op.namespace, op.key) for op in ops if op.value is None]
        kept = [op for op in ops if op.value is not None]
        values = [dump(op.value or {}) for op in kept]  # refused before anything is embedded
        embedded = [op for op in kept if self._texts.of_put(op)]
        try:
            known = (yield from in_thread(self._known, embedded)) if embedded else set()
            vectors = yield from self._texts.vectors(kept, known)
            yield from self._check_beside(kept, vectors)
            yield from in_thread(self._backend.write, puts_of(kept, values, vectors), deletes)
        except StaleVectorError:  # another process deleted the item meanwhile
            vectors = yield from self._texts.vectors(kept, set())
            yield from in_thread(self._backend.write, puts_of(kept, values, vectors), deletes)

    def _check_beside(
        self, ops: Sequence[PutOp], vectors: Sequence[tuple[Vector, ...]]
    ) -> Flow[None]:
        """Compare what new vectors will lie beside with what the embedder gives for it."""
        new = {
            op.namespace: np.frombuffer(vector.data, dtype=np.float32).tolist()
            for op, some in zip(ops, vectors, strict=True)
            for vector in some
            if vector.data and self._check.is_due(op.namespace)
        }
        for namespace, vector in new.items():
            op = SearchOp(namespace, limit=SAMPLE)
            near = yield from in_thread(self._nearest, op, [namespace], vector)
            yield from self._check.items(near)
            self._check.note(namespace)

    def _known(self, ops: Sequence[PutOp]) -> Known:
        """Vectors stored already: namespace, record and text hash."""
        keys: dict[Namespace, list[str]] = defaultdict(list)
        for op in ops:
            keys[op.namespace].append(op.key)
        return {
            (namespace, record, digest)
            for namespace, some in keys.items()
            for record, digest in self._backend.digests(namespace, some).items()
        }


def _usable(op: Op) -> Op:
    """The operation, checked, with its namespace as a tuple; callers may give a list."""
    validate_op_namespace(op)
    if isinstance(op, SearchOp):
        return op._replace(namespace_prefix=tuple(op.namespace_prefix))
    if isinstance(op, GetOp | PutOp):
        return op._replace(namespace=tuple(op.namespace))
    return op
