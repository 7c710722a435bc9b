"""Embedding models by name, loaded once per process and when first used."""

from __future__ import annotations

import socket
import threading
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from langchain_core.embeddings import Embeddings

from vitarmm_agent.errors import InputError, MissingExtraError, WeightsError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.llama.process import Options
from vitarmm_agent.llama.server import LlamaServer, shared_server
from vitarmm_agent.memory_store.bert_gguf import TOKENIZER, BertFolder
from vitarmm_agent.memory_store.store.embedded_once import EmbeddedOnce, innermost
from vitarmm_agent.servers.openai import client_errors, is_openai, server
from vitarmm_agent.settings import Settings
from vitarmm_agent.weights import resolve

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

BATCH = 32


class LocalEmbeddings(Embeddings):
    """A sentence-transformers model in a folder. Vectors have length 1; safe for threads."""

    def __init__(self, folder: Path) -> None:
        """Use the model in ``folder``; it is loaded when the first text is embedded."""
        self.folder = folder
        self._lock = threading.Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of ``texts``, in order."""
        return self._embed([_encodable(text) for text in texts]) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """Vector of one text."""
        return self.embed_documents([text])[0]

    @property
    def dims(self) -> int:
        """Length of the vectors, read from the model's configuration without loading it."""
        return local_dims(self.folder)

    @abstractmethod
    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of texts that are valid Unicode."""


class LlamaEmbeddings(LocalEmbeddings):
    """A BERT model on llama.cpp; the vectors are those of sentence-transformers.

    The text is cut into tokens here: llama.cpp's own tokenizer reads long words, Hangul and Indic
    scripts differently.
    """

    def __init__(self, bert: BertFolder) -> None:
        """Use ``bert``; it is loaded when the first text is embedded."""
        super().__init__(bert.folder)
        self._bert = bert
        self._loaded: tuple[Tokenizer, LlamaServer] | None = None

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        tokenizer, server = self._ready()
        tokens = [tokenizer.encode(text).ids for text in texts]
        vectors: list[list[float]] = []
        for start in range(0, len(tokens), BATCH):
            answer = server.post("/v1/embeddings", {"input": tokens[start : start + BATCH]})
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors += [row["embedding"] for row in rows]
        return vectors

    def _ready(self) -> tuple[Tokenizer, LlamaServer]:
        with self._lock:
            if self._loaded is None:
                from tokenizers import Tokenizer

                limit = self._bert.limit
                tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER))
                tokenizer.no_padding()
                tokenizer.enable_truncation(limit)
                options = Options(embedding=True, context=limit, batch=limit, slots=1, cache_mb=0)
                self._loaded = tokenizer, shared_server(self._bert.gguf(), options)
            return self._loaded


class TorchEmbeddings(LocalEmbeddings):
    """Any other model, on the sentence-transformers library."""

    def __init__(self, folder: Path) -> None:
        """Use the model in ``folder``; it is loaded when the first text is embedded."""
        super().__init__(folder)
        self._model: SentenceTransformer | None = None

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        with self._lock:
            vectors = self._loaded().encode(
                list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
            )
        return cast("list[list[float]]", vectors.tolist())

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            try:
                from sentence_transformers import SentenceTransformer
                from transformers.utils import logging as transformers_logging
            except ImportError:
                raise MissingExtraError(f"the embedder in {str(self.folder)!r}", "torch") from None
            shown = transformers_logging.is_progress_bar_enabled()
            transformers_logging.disable_progress_bar()
            try:
                self._model = SentenceTransformer(
                    str(self.folder), device="cpu", local_files_only=True
                )
            finally:
                if shown:
                    transformers_logging.enable_progress_bar()
        return self._model


def load_embeddings(spec: str, settings: Settings) -> Embeddings:
    """The embedder that ``spec`` names; it embeds a text once (:class:`.EmbeddedOnce`).

    Args:
        spec: ``local:NAME_OR_PATH`` for a sentence-transformers model of the catalogue or in a
            folder, otherwise ``provider:model`` as LangChain's ``init_embeddings`` takes it.
        settings: where weights are cached.

    Raises:
        InputError: the spec is malformed, its provider is unknown, or it lacks a key.
        MissingExtraError: the provider's package is not installed.
        WeightsError: local weights are missing or damaged.
    """
    kind, _, name = spec.partition(":")
    if not name:
        raise InputError(
            f"embedder {spec!r} must look like local:all-minilm-l6-v2 or openai:text-embedding-3-small"
        )
    if kind == "local":
        return _local(resolve(name, settings.home), settings.home)
    from langchain.embeddings import init_embeddings

    try:
        options = _openai(settings) if kind == "openai" else {}
        return EmbeddedOnce(init_embeddings(spec, **options))
    except ImportError as error:
        if kind == "openai":
            raise MissingExtraError(f"embedder {spec!r}", "openai") from None
        raise InputError(f"embedder {spec!r} cannot be loaded: {error}") from None
    except InputError:
        raise
    except client_errors() as error:
        raise InputError(f"embedder {spec!r} cannot be used: {error}") from None


def _openai(settings: Settings) -> dict[str, Any]:
    """Options of the embedders at OpenAI, or at a server of one's own.

    Such a server counts the tokens of its model itself; LangChain would count them by the file of
    OpenAI's, which it fetches.

    Raises:
        ImportError: the OpenAI client is not installed.
        InputError: neither a server nor a key is given, or the address or a proxy cannot be used.
    """
    base_url = settings.embedder_base_url or settings.base_url
    where = server("the openai embedders", base_url)
    from vitarmm_agent.servers.connections import connections

    return {
        **where,
        **connections(where.get("base_url")),
        "check_embedding_ctx_length": is_openai(where.get("base_url")),
    }


def embedding_dims(embeddings: Embeddings) -> int:
    """Length of an embedder's vectors; a model whose folder does not say is asked once."""
    inner = innermost(embeddings)
    if isinstance(inner, LocalEmbeddings):
        return inner.dims
    return len(embeddings.embed_query("dimension"))


@cache
def _local(folder: Path, home: Path) -> EmbeddedOnce:
    bert = BertFolder.of(folder, home) if hasattr(socket, "AF_UNIX") else None
    inner = LlamaEmbeddings(bert) if bert else TorchEmbeddings(folder)
    return EmbeddedOnce(inner, one_kind=True)


def local_dims(folder: Path) -> int:
    """Vector length of the sentence-transformers model in ``folder``.

    Raises:
        WeightsError: it is no such model.
    """
    for name, field in (
        ("1_Pooling/config.json", "word_embedding_dimension"),
        ("config.json", "hidden_size"),
    ):
        try:
            found = parse_json((folder / name).read_text("utf-8")).get(field)
        except (OSError, ValueError):
            continue
        if isinstance(found, int) and found > 0:
            return found
    raise WeightsError(
        f"{str(folder)!r} is no sentence-transformers model: it has no config.json that says the "
        "length of its vectors"
    )


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
