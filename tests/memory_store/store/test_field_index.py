"""Pages of a folder in SQL: the same items in the same order as item by item, and by an index."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from vitarmm_agent.memory_store import ChromaStore

PLACE = ("team", "agent")
VALUES: list[Any] = [
    "live",
    "gone",
    "",
    None,
    7,
    True,
    1.5,
    ["live"],
    {"a": "live"},
    "é\x7f'\"",
    "9",
]
FILTERS: list[dict[str, Any] | None] = [
    None,
    *({"state": value} for value in VALUES),
    {"state": "live", "kind": "gone"},
    {"kind": {"$lte": "live"}},
    {"kind": {"$gt": "", "$lt": "h"}},
    {"kind": {"$gte": "9"}, "state": "gone"},
    {"state": {"$ne": "live"}},
    {"kind": {"$eq": "gone"}},
    {"other": "live"},
]


def test_pages_in_sql_are_those_of_the_filters(tmp_path: Path) -> None:
    plain, quick = ChromaStore(tmp_path), ChromaStore(tmp_path)
    plain.batch(
        PutOp(PLACE, f"k{number}", {"state": state, "kind": kind, "other": state})
        for number, (state, kind) in enumerate(product(VALUES, VALUES))
    )
    plain.put((*PLACE, "below"), "k", {"state": "live"})
    quick.fields.add("state", "kind")
    plain.fields.page = lambda namespaces, op: None  # type: ignore[method-assign]
    for filter in FILTERS:
        for offset in (0, 3):
            found, wanted = (
                [item.key for item in store.search(PLACE, filter=filter, limit=20, offset=offset)]
                for store in (quick, plain)
            )
            assert found == wanted, filter
    items = quick.file
    assert items is not None
    asked: list[str] = []
    sound = items.sound
    items.sound = lambda sql, *values: (asked.append(sql), sound(sql, *values))[1]  # type: ignore[method-assign]
    alone = ChromaStore(tmp_path / "other")
    alone.put(PLACE, "k", {"state": "live"})
    quick.put(("alone",), "k", {"state": "live"})
    assert [i.key for i in quick.search(("alone",), filter={"state": "live"})] == ["k"]
    plan = " ".join(
        str(row) for row in items.query(f"EXPLAIN QUERY PLAN {asked[-1]}", 1, "live", 9, 0)
    )
    assert "items_by_field_state" in plan and "TEMP B-TREE" not in plan
    with pytest.raises(ValueError, match="small letters"):
        quick.fields.add("a'b")
    for store in (plain, quick, alone):
        store.close()
