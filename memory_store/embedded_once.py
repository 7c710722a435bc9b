"""A text is embedded once: the vectors of the newest texts are kept."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from vitarmm_agent.effects import Flow, arun, call, run

MOST = 2048
"""Texts whose vectors are kept; 384 dimensions take 3 KiB each, 3,072 take 24 KiB."""

Key = tuple[str, bytes]


class EmbeddedOnce(Embeddings):
    """An embedder that is asked for a text only once, as long as it is among the newest.

    One run asks for the vector of its problem, and for that of a lesson to find those that are like
    it, to compare it with them, and to store it. Safe for threads; the other embedder is asked in its
    own synchronous or asynchronous way.
    """

    def __init__(self, inner: Embeddings, *, one_kind: bool = False, most: int = MOST) -> None:
        """Ask ``inner`` for what is new.

        Args:
            inner: the embedder.
            one_kind: it embeds a query as it does a document.
            most: how many texts to keep.
        """
        self.inner = inner
        self._query = "embed_documents" if one_kind else "embed_query"
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, array[float]] = OrderedDict()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts."""
        return run(self._vectors("embed_documents", texts))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts."""
        return await arun(self._vectors("embed_documents", texts))

    def embed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return run(self._vectors(self._query, [text]))[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return (await arun(self._vectors(self._query, [text])))[0]

    def _vectors(self, method: str, texts: Sequence[str]) -> Flow[list[list[float]]]:
        keys = [(method, _digest(text)) for text in texts]
        vectors = self._known(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if new:
            if method == "embed_query":
                (text,) = new.values()
                given = [(yield call(self.inner, method, text))]
            else:
                given = yield call(self.inner, method, list(new.values()))
            fresh = {key: array("d", one) for key, one in zip(new, given, strict=True)}
            self._keep(fresh)
            vectors |= fresh
        return [vectors[key].tolist() for key in keys]

    def _known(self, keys: Sequence[Key]) -> dict[Key, array[float]]:
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        return found

    def _keep(self, vectors: dict[Key, array[float]]) -> None:
        with self._lock:
            self._kept |= vectors
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def innermost(embeddings: Embeddings) -> Embeddings:
    """The embedder that is asked in the end."""
    while isinstance(embeddings, EmbeddedOnce):
        embeddings = embeddings.inner
    return embeddings


def awaits(embeddings: Embeddings | None) -> bool:
    """Whether an embedder is natively asynchronous: it goes over a network."""
    if embeddings is None:
        return False
    own = type(innermost(embeddings)).aembed_documents
    return own is not Embeddings.aembed_documents


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
