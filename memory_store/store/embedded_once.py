"""A text is embedded once: the vectors of the newest texts are kept."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from vitarmm_agent.effects import Flow, arun, calls, run
from vitarmm_agent.servers.failures import server_errors

MOST = 2048
"""Texts whose vectors are kept; 384 dimensions take 3 KiB each, 3,072 take 24 KiB."""

Key = tuple[str, bytes]


class EmbeddedOnce(Embeddings):
    """An embedder that is asked for a text only once, as long as it is among the newest.

    One run asks for the vector of its problem, and for that of a lesson to find those that are like
    it, to compare it with them, and to store it. Safe for threads; the other embedder is asked in its
    own synchronous or asynchronous way, and what its server refuses is a :class:`ModelServerError`.
    """

    def __init__(self, inner: Embeddings, *, one_kind: bool = False, most: int = MOST) -> None:
        """Ask ``inner`` for what is new.

        Args:
            inner: the embedder.
            one_kind: it embeds a query as it does a document.
            most: how many texts to keep.
        """
        self.inner = inner
        self._one_kind = one_kind
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, array[float]] = OrderedDict()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts."""
        return run(self._documents(texts))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of texts."""
        return await arun(self._documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return run(self._one(text))

    async def aembed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return await arun(self._one(text))

    def _documents(self, texts: Sequence[str]) -> Flow[list[list[float]]]:
        keys = [("document", _digest(text)) for text in texts]
        vectors = self._known(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if new:
            ask = calls(self.inner.embed_documents, self.inner.aembed_documents, [*new.values()])
            with server_errors():
                given = yield from ask
            vectors |= self._keep(dict(zip(new, given, strict=True)))
        return [vectors[key].tolist() for key in keys]

    def _one(self, text: str) -> Flow[list[float]]:
        if self._one_kind:
            (vector,) = yield from self._documents([text])
            return vector
        key = ("query", _digest(text))
        vectors = self._known([key])
        if not vectors:
            with server_errors():
                given = yield from calls(self.inner.embed_query, self.inner.aembed_query, text)
            vectors = self._keep({key: given})
        return vectors[key].tolist()

    def _known(self, keys: Sequence[Key]) -> dict[Key, array[float]]:
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        return found

    def _keep(self, given: dict[Key, list[float]]) -> dict[Key, array[float]]:
        vectors = {key: array("d", vector) for key, vector in given.items()}
        with self._lock:
            self._kept |= vectors
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return vectors


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
