"""What is stored of an item, and its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from langgraph.store.base import Item, SearchItem

from vitarmm_agent.errors import InputError

Namespace = tuple[str, ...]


@dataclass(frozen=True)
class Vector:
    """One text of an item.

    Attributes:
        record: its name in an index, see :func:`~vitarmm_agent.memory_store.store.names.record_id`.
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
