"""Pages of a folder's items in SQL: by an index, for filters on fields that a store was told to index."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.store.base import Item, SearchOp

from vitarmm_agent.memory_store.store.records import Namespace, read_item
from vitarmm_agent.memory_store.store.sqlite_items import ITEM, Items

_NAME = re.compile(r"[a-z_]{1,60}")
_COMPARED = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class FieldIndex:
    """The fields of items that a file has an index on."""

    def __init__(self, items: Items | None) -> None:
        """Of the items of a folder; without a folder nothing is indexed."""
        self._items = items
        self._fields = set[str]()

    def add(self, *fields: str) -> None:
        """Make the indexes that are missing; a value that is no JSON has no field.

        Raises:
            ValueError: a name is not of small letters alone.
            MemoryStoreError: the file is damaged or cannot be written.
        """
        if self._items is None:
            return
        if bad := [name for name in fields if not _NAME.fullmatch(name)]:
            raise ValueError(f"a field to index has small letters only, got {bad[0]!r}")
        there = {row[0] for row in self._items.query("SELECT name FROM sqlite_master")}
        if new := [name for name in fields if _index(name) not in there]:
            with self._items.transaction() as db:
                for name in new:
                    db.execute(
                        f"CREATE INDEX IF NOT EXISTS {_index(name)} "
                        f"ON items (namespace, {_field(name)}, updated_at)"
                    )
        self._fields |= set(fields)

    def page(self, namespaces: Sequence[Namespace], op: SearchOp) -> list[Item] | None:
        """The items of a search without a query, last updated first.

        None where SQL cannot tell: in several namespaces, or by what is not indexed.
        """
        found = self._condition(op.filter)
        if self._items is None or len(namespaces) != 1 or found is None:
            return None
        rows = self._items.sound(
            f"SELECT {ITEM} FROM items WHERE namespace = ? AND {found[0]} "
            "ORDER BY updated_at DESC, id DESC LIMIT ? OFFSET ?",
            self._items.namespace_id(namespaces[0]),
            *found[1],
            max(op.limit, 0),
            op.offset,
        )
        return [read_item(namespaces[0], *row) for row in rows]

    def _condition(self, filter: Mapping[str, Any] | None) -> tuple[str, list[str]] | None:
        """What a filter says in SQL, and its values.

        Only text is compared: as :mod:`filters` compares, what is no text is then neither equal to it,
        nor greater or smaller.
        """
        parts, values = ["1"], list[str]()
        for name, want in (filter or {}).items():
            for how, value in (want if isinstance(want, Mapping) else {"$eq": want}).items():
                if name not in self._fields or how not in _COMPARED or not isinstance(value, str):
                    return None
                kind = "" if how == "$eq" else f" AND typeof({_field(name)}) = 'text'"
                parts.append(f"{_field(name)} {_COMPARED[how]} ?{kind}")
                values.append(value)
        return " AND ".join(parts), values


def _index(name: str) -> str:
    return f"items_by_field_{name}"


def _field(name: str) -> str:
    """The same words in an index and in a query, so that the one is used for the other."""
    text = "CAST(value AS TEXT)"
    return f"CASE WHEN json_valid({text}) THEN json_extract({text}, '$.{name}') END"
