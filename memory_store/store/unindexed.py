"""Vectors that a Chroma index does not hold yet, compared directly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vitarmm_agent.memory_store.store.records import VectorRow

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Hits = list[tuple[str, float]]
"""Keys and cosine similarities, best first, each key once."""


class Unindexed:
    """Newest vectors of each namespace: what Chroma does not hold, or holds an old version of."""

    def __init__(self) -> None:
        """Hold none."""
        self.rows: dict[int, dict[str, VectorRow]] = {}
        self._matrices: dict[int, tuple[list[str], Matrix]] = {}

    def add(self, rows: Iterable[VectorRow]) -> None:
        """Take in changes, oldest first."""
        for row in rows:
            self.rows.setdefault(row.namespace, {})[row.record] = row
            self._matrices.pop(row.namespace, None)

    def forget(self, until: int) -> None:
        """Leave out what the index holds by now: the changes up to this number."""
        left = {
            namespace: {record: row for record, row in rows.items() if row.seq > until}
            for namespace, rows in self.rows.items()
        }
        self.rows = {namespace: rows for namespace, rows in left.items() if rows}
        self._matrices = {}

    def search(self, namespace: int, vector: Sequence[float], dims: int) -> Hits:
        """All of a namespace with their similarity, unsorted."""
        if namespace not in self.rows:
            return []
        if namespace not in self._matrices:
            live = [row for row in self.rows[namespace].values() if row.vector is not None]
            data = b"".join(row.vector or b"" for row in live)
            matrix: Matrix = np.frombuffer(data, dtype=np.float32).reshape(-1, dims)
            norms = np.linalg.norm(matrix, axis=1, keepdims=True)
            matrix = (matrix / np.where(norms == 0, 1, norms)).astype(np.float32)
            self._matrices[namespace] = [row.key for row in live], matrix
        keys, matrix = self._matrices[namespace]
        query = np.asarray(vector, dtype=np.float32)
        norm = float(np.linalg.norm(query)) or 1.0
        return list(zip(keys, (matrix @ (query / norm)).tolist(), strict=True))
