"""Namespaces of memories: as people write them, and as a store takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vitarmm_agent.errors import InputError

MAX_LABEL = 200


def encode_namespace(namespace: Sequence[str], part: str) -> tuple[str, ...]:
    """The store namespace of one part of a memory.

    LangGraph's stores forbid ``.`` in labels and ``langgraph`` as the first one, and a search in
    ``("team",)`` also reads ``("team", "agent")``. Labels are therefore escaped, and a last label
    that no escaped label can equal keeps each memory to itself.

    Raises:
        InputError: the namespace is empty, or a label is empty, too long, or holds NUL or a lone
            surrogate.
    """
    labels = check_namespace(namespace)
    escaped = [label.replace("%", "%25").replace(".", "%2E") for label in labels]
    if escaped[0] == "langgraph":
        escaped[0] = "%langgraph"
    return (*escaped, f"%{part}")


def decode_namespace(stored: Sequence[str]) -> tuple[str, ...]:
    """The memory namespace of a store namespace made by :func:`encode_namespace`."""
    labels = ["langgraph" if label == "%langgraph" else label for label in stored[:-1]]
    return tuple(label.replace("%2E", ".").replace("%25", "%") for label in labels)


def parse_namespace(text: str) -> tuple[str, ...]:
    """A namespace as people write it: ``team/agent``, or a JSON array for odd labels.

    Raises:
        InputError: it is neither, or a label cannot be used.
    """
    if not text.startswith("["):
        return check_namespace(text.split("/"))
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise InputError(f"namespace {text!r} is no JSON array of labels: {error}") from None
    if not isinstance(labels, list):
        raise InputError(f"namespace {text!r} is no JSON array of labels")
    return check_namespace(labels)


def written_namespace(namespace: Sequence[str]) -> str:
    """A namespace as :func:`parse_namespace` reads it."""
    text = "/".join(namespace)
    odd = text.startswith("[") or any("/" in label for label in namespace)
    return json.dumps(list(namespace), ensure_ascii=False) if odd else text


def check_namespace(namespace: Sequence[str]) -> tuple[str, ...]:
    """``namespace`` as a tuple of usable labels.

    Raises:
        InputError: see :func:`encode_namespace`.
    """
    if isinstance(namespace, str) or not namespace:
        raise InputError(
            f"namespace must be one or more labels such as ('team', 'agent'), got {namespace!r}"
        )
    for label in namespace:
        check_text(label, "namespace label", MAX_LABEL)
    return tuple(namespace)


def check_text(value: object, what: str, limit: int) -> str:
    """``value`` when it is text of 1 to ``limit`` characters that can be stored.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, str) or not value:
        raise InputError(f"{what} must be text that is not empty, got {value!r}")
    if len(value) > limit:
        raise InputError(f"{what} has {len(value):,} characters; the limit is {limit}")
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InputError(f"{what} holds NUL or a lone surrogate, got {value!r}; remove it")
    return value
