"""Namespaces and keys as text that SQLite and Chroma both take."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=256)
def namespace_text(namespace: tuple[str, ...]) -> str:
    """A namespace as an ASCII JSON array; :func:`namespace_labels` reads it back."""
    return json.dumps(namespace)


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
