"""The name of an embedder stands for exact vectors.

The name is recorded with a memory, but what it names may be replaced: the files in a folder, the
model behind an address. Vectors of two models cannot be compared, so nothing that fits would ever be
recalled. What was stored tells: a stored text, embedded again, must have the vector that is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from langgraph.store.base import Item

from vitarmm_agent.effects import Flow, calls, in_thread
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.backend import Backend
from vitarmm_agent.memory_store.store.indexed_texts import IndexedTexts, text_digest
from vitarmm_agent.memory_store.store.records import Namespace, record_id

SAME = 0.999
"""Least cosine of two vectors of one text from one model. Servers of one model, and llama.cpp and
torch on the same weights, differ by less; other weights, even of a model trained further, by more."""
SAMPLE = 3
"""Items that are looked at for one whose text is known."""

Matrix = np.ndarray[Any, np.dtype[np.float32]]


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
        for namespace in {item.namespace for item in items} - self._agreed:
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
