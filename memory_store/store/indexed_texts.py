"""Which texts of an item are embedded, as LangGraph's ``IndexConfig`` says it, and their vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import IndexConfig, PutOp, get_text_at_path, tokenize_path

from vitarmm_agent.effects import Flow, calls
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store.store.records import Known, Vector, record_id
from vitarmm_agent.memory_store.store.unindexed import as_matrix


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


def text_digest(text: str) -> str:
    """A hash of a text, which is kept with its vector."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _dims(index: IndexConfig) -> int:
    dims = index.get("dims")
    if not isinstance(dims, int) or dims < 1 or index.get("embed") is None:
        raise InputError(
            f"index must name `embed` and a `dims` of at least 1, got {dict(index)!r:.200}"
        )
    return dims


def _tokenized(fields: Sequence[str]) -> list[tuple[str, Any]]:
    return [(path, path if path == "$" else tokenize_path(path)) for path in fields]
