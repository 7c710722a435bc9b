"""What is stored of an item: under which names, which SQLite and Chroma both take, and as which JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from langgraph.store.base import Item, PutOp, SearchItem

from vitarmm_agent.errors import InputError

Namespace = tuple[str, ...]


@dataclass(frozen=True)
class Vector:
    """One text of an item.

    Attributes:
        record: its name in an index, see :func:`record_id`.
        digest: hash of the text.
        data: its embedding, float32 of shape (dims,) as bytes; None keeps the stored one.
    """

    record: str
    digest: str
    data: bytes | None


@dataclass(frozen=True)
class Put:
    """One item to store, its value as JSON, with the vectors of its texts."""

    namespace: Namespace
    key: str
    value: bytes
    ttl: float | None = None
    vectors: tuple[Vector, ...] = ()


def puts_of(
    ops: Sequence[PutOp], values: Sequence[bytes], vectors: Sequence[tuple[Vector, ...]]
) -> list[Put]:
    """What these operations store, each with its value as JSON and its vectors."""
    return [
        Put(op.namespace, op.key, value, op.ttl, some)
        for op, value, some in zip(ops, values, vectors, strict=True)
    ]


Known = set[tuple[Namespace, str, str]]
"""Vectors that are stored: namespace, record and text hash."""


class StaleVectorError(Exception):
    """A vector that was to be kept is no longer there; embed the text again."""


@dataclass(frozen=True)
class VectorRow:
    """One vector, or the notice that it is gone (``vector`` is None)."""

    seq: int
    namespace: int
    record: str
    key: str
    vector: bytes | None


def dump(value: Mapping[str, Any]) -> bytes:
    """A value as JSON.

    Raises:
        InputError: it is not JSON, or holds a lone surrogate.
    """
    try:
        return orjson.dumps(dict(value), option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise InputError(f"value cannot be stored as JSON: {error}, got {value!r:.200}") from None


def read_item(
    namespace: Namespace, key: str, value: bytes | str, created: float, updated: float
) -> Item:
    """An item from what is stored of it; times in seconds since 1970."""
    return Item(
        namespace=namespace,
        key=key,
        value=orjson.loads(value),
        created_at=datetime.fromtimestamp(created, UTC),
        updated_at=datetime.fromtimestamp(updated, UTC),
    )


def search_item(item: Item, score: float | None) -> SearchItem:
    """An item as a search gives it."""
    return SearchItem(
        namespace=item.namespace,
        key=item.key,
        value=item.value,
        created_at=item.created_at,
        updated_at=item.updated_at,
        score=score,
    )


@lru_cache(maxsize=256)
def namespace_text(namespace: tuple[str, ...]) -> str:
    """A namespace as an ASCII JSON array; :func:`namespace_labels` reads it back."""
    return json.dumps(namespace)


@lru_cache(maxsize=256)
def namespace_labels(text: str) -> tuple[str, ...]:
    """The namespace that :func:`namespace_text` wrote."""
    return tuple(json.loads(text))


def collection_name(namespace: Sequence[str], prefix: str = "") -> str:
    """A Chroma collection name for a namespace: readable, and unique by a hash of all labels.

    Chroma allows 3 to 512 characters of ``[a-zA-Z0-9._-]``.
    """
    text = namespace_text(tuple(namespace))
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", "-".join(namespace)).strip("-")[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    return "-".join(part for part in (prefix, slug, digest) if part)


def record_id(key: str, number: int) -> str:
    """Name of the ``number``-th vector of an item; fixed length, whatever the key holds."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{digest}-{number}"


def text_digest(text: str) -> str:
    """A hash of a text, which is kept with its vector."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
