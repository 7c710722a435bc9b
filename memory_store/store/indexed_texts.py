"""Which texts of an item are embedded, as LangGraph's ``IndexConfig`` says it, and their vectors.

The name of an embedder stands for exact vectors. It is recorded with a memory, but what it names may be
replaced: the files in a folder, the model behind an address. Vectors of two models cannot be compared, so
nothing that fits would ever be recalled. What was stored tells: a stored text, embedded again, must have
the vector that is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import (
    IndexConfig,
    Item,
    PutOp,
    get_text_at_path,
    tokenize_path,
)

from vitarmm_agent.effects import Flow, calls, in_thread
from vitarmm_agent.errors import InputError, MemoryStoreError
from vitarmm_agent.memory_store.store.backend import Backend
from vitarmm_agent.memory_store.store.records import (
    Known,
    Namespace,
    Vector,
    record_id,
    text_digest,
)
from vitarmm_agent.memory_store.store.unindexed import Matrix

SAME = 0.999
"""Least cosine of two vectors of one text from one model. Servers of one model, and llama.cpp and
torch on the same weights, differ by less; other weights, even of a model trained further, by more."""
SAMPLE = 3
"""Items that are looked at for one whose text is known."""


class IndexedTexts:
    """The texts at some JSON paths of a value."""

    def __init__(self, index: IndexConfig | None, embeddings: Embeddings | None) -> None:
        """Read the paths and the vectors' length from ``index``; without it nothing is embedded.

        ``embeddings`` gives the vectors.

        Raises:
            InputError: it names no embedder or no dims.
        """
        self._embeddings = embeddings
        self.dims = 0 if index is None else _dims(index)
        self._paths = [] if index is None else _tokenized(index.get("fields") or ["$"])

    def of(self, value: Any) -> list[str]:
        """Texts of a value at the store's own paths."""
        return [text for _, path in self._paths for text in get_text_at_path(value, path)]

    def of_put(self, op: PutOp) -> list[str]:
        """Texts of a value that is put, which may name other paths."""
        if not self.dims or op.index is False:
            return []
        if op.index is None:
            return self.of(op.value)
        return [
            text for _, path in _tokenized(op.index) for text in get_text_at_path(op.value, path)
        ]

    def vectors(self, ops: Sequence[PutOp], known: Known) -> Flow[list[tuple[Vector, ...]]]:
        """Of each operation; every text is embedded once, but for those that are stored already."""
        plans = []
        for op in ops:
            texts = self.of_put(op)
            records = [(t, record_id(op.key, i), text_digest(t)) for i, t in enumerate(texts)]
            plans.append([(t, r, d, (op.namespace, r, d) in known) for t, r, d in records])
        wanted = list(dict.fromkeys(t for plan in plans for t, *_, stored in plan if not stored))
        vectors: dict[str, bytes] = {}
        embed = self._embeddings
        if wanted and embed:
            embedded = yield from calls(embed.embed_documents, embed.aembed_documents, wanted)
            matrix = as_matrix(embedded, self.dims)
            vectors = {text: row.tobytes() for text, row in zip(wanted, matrix, strict=True)}
        return [
            tuple(Vector(r, d, None if stored else vectors[t]) for t, r, d, stored in plan)
            for plan in plans
        ]


class VectorCheck:
    """Checks each namespace once, when the embedder is first used on it. Safe for threads."""

    def __init__(
        self,
        backend: Backend,
        embeddings: Embeddings | None,
        texts: IndexedTexts,
        where: str,
    ) -> None:
        """Check what ``backend`` keeps.

        Args:
            backend: where the vectors are.
            embeddings: what gives them now.
            texts: which texts of an item are embedded.
            where: the store, for the error.
        """
        self._backend = backend
        self._embeddings = embeddings
        self._texts = texts
        self._where = where
        self._agreed: set[Namespace] = set()

    def is_due(self, namespace: Namespace) -> bool:
        """Whether this namespace was not checked yet."""
        return namespace not in self._agreed

    def note(self, namespace: Namespace) -> None:
        """It holds no vectors but those of this embedder."""
        self._agreed.add(namespace)

    def items(self, items: Sequence[Item]) -> Flow[None]:
        """Embed the text of one of these items of each namespace again, and compare.

        Raises:
            MemoryStoreError: another model gave the vectors that are stored.
        """
        for namespace in sorted({item.namespace for item in items} - self._agreed):
            some = [item for item in items if item.namespace == namespace][:SAMPLE]
            found = yield from in_thread(self._stored, namespace, some)
            if found is None or self._embeddings is None:
                continue
            text, stored = found
            embed = self._embeddings
            (given,) = yield from calls(embed.embed_documents, embed.aembed_documents, [text])
            self._compare(stored, np.asarray(given, dtype=np.float32))
            self.note(namespace)

    def _stored(self, namespace: Namespace, items: Sequence[Item]) -> tuple[str, Matrix] | None:
        """A text of one of the items, and its vector; None when no text is known any more."""
        vectors = self._backend.vectors(namespace, [item.key for item in items])
        for item in items:
            vector = vectors.get(record_id(item.key, 0))
            for text in self._texts.of(item.value):
                if vector is not None and vector.data and vector.digest == text_digest(text):
                    return text, np.frombuffer(vector.data, dtype=np.float32)
        return None

    def _compare(self, stored: Matrix, given: Matrix) -> None:
        if stored.shape == given.shape:
            norms = float(np.linalg.norm(stored) * np.linalg.norm(given))
            cosine = float(stored @ given) / norms if norms else float(np.allclose(stored, given))
            if cosine >= SAME:
                return
            difference = (
                f"cosine {cosine:.3f} between the stored vector of a text and its vector now"
            )
        else:
            difference = f"{stored.size} dimensions then, {given.size} now"
        raise MemoryStoreError(
            f"{self._where} was made with another model than the one that has the embedder's name "
            f"now ({difference}). Put the first model back, or make the vectors anew with: "
            "vitarmm memory reindex"
        )


def _dims(index: IndexConfig) -> int:
    dims = index.get("dims")
    if not isinstance(dims, int) or dims < 1 or index.get("embed") is None:
        raise InputError(
            f"index must name `embed` and a `dims` of at least 1, got {dict(index)!r:.200}"
        )
    return dims


def _tokenized(fields: Sequence[str]) -> list[tuple[str, Any]]:
    return [(path, path if path == "$" else tokenize_path(path)) for path in fields]


def as_matrix(vectors: Sequence[Sequence[float]], dims: int) -> Matrix:
    """What an embedder gives as float32 of shape (number, dims).

    Raises:
        MemoryStoreError: it has another shape, or is not finite.
    """
    matrix = np.asarray(vectors, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != dims:
        raise MemoryStoreError(
            f"the embedder gives vectors of shape {matrix.shape}, but the index has "
            f"{dims} dimensions; set dims to what the embedder gives"
        )
    if not np.isfinite(matrix).all():
        raise MemoryStoreError("the embedder gives a vector that is not finite; replace it")
    return matrix
