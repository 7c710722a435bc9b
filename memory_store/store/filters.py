"""The filters of ``BaseStore.search`` and the patterns of ``list_namespaces``, on plain values.

Where LangGraph's own stores differ, this follows ``SqliteStore``: a missing field is null, and
null is neither greater, smaller nor different. Nested mappings compare field by field, as in
``InMemoryStore``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.store.base import ListNamespacesOp, MatchCondition

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(value: Mapping[str, Any], conditions: Mapping[str, Any] | None) -> bool:
    """Whether an item's value meets all conditions.

    Raises:
        ValueError: an operator is unknown.
    """
    return all(_equals(field(value, path), want) for path, want in (conditions or {}).items())


def field(value: Mapping[str, Any], path: str) -> Any:
    """The field at a dotted path, or None."""
    if path in value:
        return value[path]
    found: Any = value
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _equals(have: Any, want: Any) -> bool:
    if isinstance(want, Mapping):
        if any(str(name).startswith("$") for name in want):
            return all(_compare(have, name, wanted) for name, wanted in want.items())
        return isinstance(have, Mapping) and all(
            _equals(have.get(name), wanted) for name, wanted in want.items()
        )
    if isinstance(want, (list, tuple)):
        return (
            isinstance(have, (list, tuple))
            and len(have) == len(want)
            and all(_equals(*pair) for pair in zip(have, want, strict=True))
        )
    return bool(have == want)


def _compare(have: Any, name: str, want: Any) -> bool:
    if name == "$eq":
        return _equals(have, want) if not isinstance(want, Mapping) else bool(have == want)
    if name == "$ne":
        return have is not None and (want is None or not _equals(have, want))
    if name not in _ORDER:
        raise ValueError(f"Unsupported operator: {name}; use $eq, $ne, $gt, $gte, $lt or $lte")
    if have is None or want is None:
        return False
    try:
        if isinstance(want, (int, float)):
            return _ORDER[name](float(have), float(want))
        return _ORDER[name](have, want)
    except (TypeError, ValueError):
        return False


def select_namespaces(
    namespaces: Sequence[tuple[str, ...]], op: ListNamespacesOp
) -> list[tuple[str, ...]]:
    """The page of namespaces that ``op`` asks for, sorted."""
    found = [
        namespace
        for namespace in namespaces
        if all(_fits(namespace, condition) for condition in op.match_conditions or ())
    ]
    if op.max_depth is not None:
        found = list({namespace[: op.max_depth] for namespace in found})
    return sorted(found)[op.offset : op.offset + op.limit]


def _fits(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    if condition.match_type == "suffix":
        namespace = namespace[len(namespace) - len(path) :]
    return all(want in ("*", have) for have, want in zip(namespace, path, strict=False))
