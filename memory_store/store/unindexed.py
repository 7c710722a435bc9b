"""Vectors that a Chroma index does not hold yet, compared directly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.records import VectorRow

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Hits = list[tuple[str, float]]
"""Keys and cosine similarities, best first, each key once."""


@dataclass
class Unindexed:
    """Newest vectors of one namespace: what Chroma does not hold, or holds an old version of."""

    rows: dict[str, VectorRow] = field(default_factory=dict)
    _matrix: tuple[list[str], Matrix] | None = None

    def add(self, row: VectorRow) -> None:
        """Take in a change."""
        self.rows[row.record] = row
        self._matrix = None

    def search(self, vector: Sequence[float], dims: int) -> Hits:
        """All of them with their similarity, unsorted."""
        if self._matrix is None:
            live = [row for row in self.rows.values() if row.vector is not None]
            data = b"".join(row.vector or b"" for row in live)
            matrix: Matrix = np.frombuffer(data, dtype=np.float32).reshape(-1, dims)
            norms = np.linalg.norm(matrix, axis=1, keepdims=True)
            matrix = (matrix / np.where(norms == 0, 1, norms)).astype(np.float32)
            self._matrix = [row.key for row in live], matrix
        keys, matrix = self._matrix
        query = np.asarray(vector, dtype=np.float32)
        norm = float(np.linalg.norm(query)) or 1.0
        return list(zip(keys, (matrix @ (query / norm)).tolist(), strict=True))


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
