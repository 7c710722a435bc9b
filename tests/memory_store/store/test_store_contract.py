"""What every LangGraph store does, checked on LangGraph's own and on ours."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import cast

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from tests.memory_store.conftest import OURS, OpenStore, stores


def keys(items: list) -> list[str]:  # type: ignore[type-arg]
    return [item.key for item in items]


def aware(moment: datetime) -> datetime:
    """SqliteStore's times have no zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@stores()
def test_put_get_delete(open_store: OpenStore, root: str) -> None:
    store = open_store()
    assert store.get((root,), "a") is None
    value = {"text": "a square", "n": 3, "deep": {"list": [1, 2.5, None, "x"]}, "ok": True}
    store.put((root,), "a", value)
    item = store.get((root,), "a")
    assert item is not None
    assert (item.value, item.key, item.namespace) == (value, "a", (root,))
    store.delete((root,), "a")
    assert store.get((root,), "a") is None
    store.delete((root,), "a")
    assert store.search((root,)) == []


@stores()
def test_overwriting_replaces_value_and_time(open_store: OpenStore, root: str) -> None:
    store = open_store()
    store.put((root,), "a", {"text": "one", "old": 1})
    first = store.get((root,), "a")
    time.sleep(1.1)  # SqliteStore counts in seconds
    store.put((root,), "a", {"text": "two"})
    second = store.get((root,), "a")
    assert first is not None and second is not None
    assert second.value == {"text": "two"}
    assert aware(second.updated_at) > aware(first.updated_at)
    assert aware(second.created_at) >= aware(first.created_at)
    assert abs((datetime.now(UTC) - aware(second.updated_at)).total_seconds()) < 30
    found = store.search((root,), query="two")
    assert [(item.key, item.value) for item in found] == [("a", {"text": "two"})]


@stores()
def test_keys_of_any_text(open_store: OpenStore, root: str) -> None:
    store = open_store()
    names = ["a/b", "..", "😀" * 50, "x" * 200, " spaced ", "quote'\"", "a\nb", "%_*?[", "ключ"]
    for number, name in enumerate(names):
        store.put((root,), name, {"n": number})
    for number, name in enumerate(names):
        item = store.get((root,), name)
        assert item is not None and item.value == {"n": number}
    assert sorted(keys(store.search((root,), limit=100))) == sorted(names)


@stores()
def test_namespaces_are_apart_but_prefixes_search_below(open_store: OpenStore, root: str) -> None:
    store = open_store()
    places = [(root,), (root, "a"), (root, "a", "b"), (root, "ab"), (root, "😀/x")]
    for place in places:
        store.put(place, "k", {"text": "/".join(place)})
    assert store.get((root, "a"), "k").value == {"text": f"{root}/a"}  # type: ignore[union-attr]
    assert {item.namespace for item in store.search((root,), limit=50)} == set(places)
    below = {item.namespace for item in store.search((root, "a"), limit=50)}
    assert below == {(root, "a"), (root, "a", "b")}
    near = {item.namespace for item in store.search((root, "a"), query=root, limit=50)}
    assert near == below
    assert store.search((root, "nothing"), query="x") == []


@stores()
def test_search_orders_by_similarity(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    texts = {"a": "perimeter of a square", "b": "speed of a train", "c": "square root of a number"}
    for key, text in texts.items():
        store.put((root,), key, {"text": text, "other": "speed speed speed"})
    found = store.search((root,), query="perimeter of a square")
    assert found[0].key == "a" and len(found) == 3
    assert found[0].score == pytest.approx(1.0, abs=1e-3)
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    assert keys(store.search((root,), query="speed of a train", limit=1)) == ["b"]


@stores(*OURS)
def test_equal_texts_are_in_the_order_of_their_keys(open_store: OpenStore, root: str) -> None:
    store, text = open_store(), "the side of a square from its perimeter"
    for n in range(1, 12):  # sums of another length are rounded in another way
        store.put((root,), f"{99 - n}", {"text": text})
        for query in ("the perimeter of a square", "a side", "side by side", "square it", text[5:]):
            found = store.search((root,), query=query, limit=n)
            assert keys(found) == [f"{99 - i}" for i in range(n, 0, -1)]


@stores()
def test_pages(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    for number in range(25):
        text = "apple " * number + "pear " * (25 - number)  # no two are equally near
        store.put((root,), f"k{number}", {"text": text})
    for query in (None, "apple"):
        everything = keys(store.search((root,), query=query, limit=25))
        assert sorted(everything) == sorted(f"k{n}" for n in range(25))
        pages = [
            keys(store.search((root,), query=query, limit=10, offset=offset)) for offset in (0, 10)
        ]
        assert [key for page in pages for key in page] == everything[:20]
    assert store.search((root,), limit=0) == []
    assert store.search((root,), offset=99) == []


@stores()
def test_filters(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    rows = {
        "a": {"text": "red fox", "kind": "fact", "n": 1, "ok": True},
        "b": {"text": "red dog", "kind": "insight", "n": 5, "ok": False},
        "c": {"text": "red cat", "kind": "fact", "n": 9.5, "ok": True},
    }
    for key, value in rows.items():
        store.put((root,), key, value)
    cases = [
        ({"kind": "fact"}, "ac"),
        ({"kind": {"$eq": "insight"}}, "b"),
        ({"kind": {"$ne": "fact"}}, "b"),
        ({"n": {"$gt": 1}}, "bc"),
        ({"n": {"$gte": 5, "$lt": 9.5}}, "b"),
        ({"n": {"$lte": 5}}, "ab"),
        ({"n": 5}, "b"),
        ({"ok": True}, "ac"),
        ({"kind": "fact", "n": {"$gt": 2}}, "c"),
        ({"kind": "none such"}, ""),
        ({}, "abc"),
    ]
    for conditions, expected in cases:
        for query in (None, "red"):
            found = keys(store.search((root,), filter=conditions, query=query))
            assert sorted(found) == sorted(expected), (conditions, query)
    assert keys(store.search((root,), query="red", filter={"kind": "fact"}, limit=1))
    with pytest.raises(ValueError):
        store.search((root,), filter={"n": {"$near": 2}})


@stores()
def test_a_selective_filter_still_fills_the_page(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    store.batch(
        [
            PutOp((root,), f"k{n}", {"text": f"common word{n}", "rare": n % 20 == 0})
            for n in range(100)
        ]
    )
    found = store.search((root,), query="common", filter={"rare": True}, limit=5)
    assert len(found) == 5 and all(item.value["rare"] for item in found)


@stores()
def test_items_without_vectors(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    store.put((root,), "seen", {"text": "apple pie"})
    store.put((root,), "unseen", {"text": "apple pie"}, index=False)
    scored = [item.key for item in store.search((root,), query="apple") if item.score is not None]
    assert scored == ["seen"]
    assert sorted(keys(store.search((root,)))) == ["seen", "unseen"]
    assert store.get((root,), "unseen") is not None


@stores()
def test_fields_of_one_put(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    value = {"text": "alpha", "meta": {"title": "beta"}, "parts": [{"t": "gamma"}, {"t": "delta"}]}
    store.put((root,), "title", value, index=["meta.title"])
    store.put((root,), "parts", value, index=["parts[*].t"])
    store.put((root,), "last", value, index=["parts[-1].t"])
    store.put((root,), "none", value, index=["missing"])
    best = {q: store.search((root,), query=q)[0] for q in ("beta", "gamma", "delta")}
    assert best["beta"].key == "title" and best["gamma"].key == "parts"
    assert best["delta"].key in ("last", "parts")
    found = store.search((root,), query="delta")
    assert keys(found).count("parts") == 1  # an item with several vectors is found once
    assert "none" not in [item.key for item in found if item.score is not None]


@stores()
def test_the_whole_value_is_embedded_by_default(open_store: OpenStore, root: str) -> None:
    store = open_store()
    store.put((root,), "a", {"anything": "zebra"})
    store.put((root,), "b", {"anything": "lion"})
    assert store.search((root,), query="zebra")[0].key == "a"


@stores()
def test_without_index_a_query_lists(open_store: OpenStore, root: str) -> None:
    store = open_store(embed=False)
    store.put((root,), "a", {"text": "x"}, index=["text"])
    found = store.search((root,), query="anything")
    assert keys(found) == ["a"] and found[0].score is None


@stores()
def test_list_namespaces(open_store: OpenStore, root: str) -> None:
    store = open_store()
    places = [(root, "a", "b"), (root, "a", "c"), (root, "d", "b"), (root, "d", "e", "f")]
    for place in places:
        store.put(place, "k", {"x": 1})
    listed = store.list_namespaces
    assert listed(prefix=(root,)) == sorted(places)
    assert listed(prefix=(root, "a")) == [(root, "a", "b"), (root, "a", "c")]
    assert listed(prefix=(root,), suffix=("b",)) == [(root, "a", "b"), (root, "d", "b")]
    assert listed(prefix=(root, "*", "b")) == [(root, "a", "b"), (root, "d", "b")]
    assert listed(prefix=(root,), suffix=("e", "*")) == [(root, "d", "e", "f")]
    assert listed(prefix=(root,), max_depth=2) == [(root, "a"), (root, "d")]
    assert listed(prefix=(root,), limit=2) == sorted(places)[:2]
    assert listed(prefix=(root,), limit=2, offset=3) == sorted(places)[3:]
    op = ListNamespacesOp(match_conditions=(MatchCondition("prefix", (root, "d")),))
    assert store.batch([op])[0] == [(root, "d", "b"), (root, "d", "e", "f")]


@stores("sqlite", *OURS)
def test_an_emptied_namespace_is_not_listed(open_store: OpenStore, root: str) -> None:
    store = open_store()
    store.put((root, "a"), "k", {"x": 1})
    store.delete((root, "a"), "k")
    assert store.list_namespaces(prefix=(root,)) == []


@stores()
def test_a_batch_reads_before_it_writes(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    store.put((root,), "old", {"text": "before"})
    results = store.batch(
        [
            PutOp((root,), "new", {"text": "first"}),
            GetOp((root,), "new"),
            PutOp((root,), "new", {"text": "second"}),
            GetOp((root,), "old"),
            PutOp((root,), "old", None),
            SearchOp((root,), limit=10),
            PutOp((root,), "gone", {"text": "x"}),
            PutOp((root,), "gone", None),
            ListNamespacesOp(match_conditions=(MatchCondition("prefix", (root,)),)),
        ]
    )
    assert results[0] is None and results[1] is None and results[2] is None
    assert results[3].value == {"text": "before"}  # type: ignore[union-attr]
    assert keys(results[5]) == ["old"]  # type: ignore[arg-type]
    assert results[8] == [(root,)]
    assert store.get((root,), "new").value == {"text": "second"}  # type: ignore[union-attr]
    assert store.get((root,), "old") is None and store.get((root,), "gone") is None
    assert keys(store.search((root,), query="second")) == ["new"]


@stores()
def test_bad_namespaces_are_refused(open_store: OpenStore, root: str) -> None:
    store = open_store()
    for namespace in [(), ("",), ("a.b",), ("langgraph",), (1,)]:
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {"x": 1})  # type: ignore[arg-type]


@stores("sqlite", *OURS)
def test_bad_namespaces_in_a_batch_are_refused(open_store: OpenStore, root: str) -> None:
    store = open_store()
    for op in [
        GetOp(("a.b",), "k"),
        PutOp(("a.b",), "k", {"x": 1}),
        SearchOp(("a.b",)),
        ListNamespacesOp(match_conditions=(MatchCondition("prefix", ("a.b",)),)),
    ]:
        with pytest.raises(InvalidNamespaceError):
            store.batch([op])


@stores("in-memory", *OURS)
async def test_asynchronous(open_store: OpenStore, root: str) -> None:
    store = open_store(fields=["text"])
    await asyncio.gather(*(store.aput((root,), f"k{n}", {"text": f"word{n}"}) for n in range(10)))
    item = await store.aget((root,), "k3")
    assert item is not None and item.value == {"text": "word3"}
    assert keys(await store.asearch((root,), query="word7", limit=1)) == ["k7"]
    assert await store.alist_namespaces(prefix=(root,)) == [(root,)]
    await store.adelete((root,), "k3")
    assert await store.aget((root,), "k3") is None
    results = await store.abatch([GetOp((root,), "k1"), PutOp((root,), "k1", None)])
    assert results[0].value == {"text": "word1"}  # type: ignore[union-attr]
    assert await store.aget((root,), "k1") is None


@stores("sqlite", *OURS)
def test_expired_items_are_swept(open_store: OpenStore, root: str) -> None:
    store = open_store(ttl={"default_ttl": None, "refresh_on_read": True})
    assert store.supports_ttl
    store.put((root,), "short", {"x": 1}, ttl=0.001)
    store.put((root,), "long", {"x": 1}, ttl=60)
    store.put((root,), "ever", {"x": 1})
    time.sleep(1.2)
    assert store.sweep_ttl() >= 1  # type: ignore[attr-defined]
    assert sorted(keys(store.search((root,)))) == ["ever", "long"]
    assert store.get((root,), "short") is None


@stores("sqlite", *OURS)
def test_reading_renews_the_time_to_live(open_store: OpenStore, root: str) -> None:
    store = open_store(ttl={"default_ttl": 0.05, "refresh_on_read": True})
    for key in ("read", "found", "peeked", "left"):
        store.put((root,), key, {"text": key})
    deadline = time.time() + 4.2  # each lives 3 s
    while time.time() < deadline:
        store.get((root,), "read")
        store.get((root,), "peeked", refresh_ttl=False)
        store.search((root,), filter={"text": "found"})
        time.sleep(0.4)
    store.sweep_ttl()  # type: ignore[attr-defined]
    assert sorted(keys(store.search((root,)))) == ["found", "read"]


@stores(*OURS)
def test_expired_items_can_be_hidden_before_they_are_swept(
    open_store: OpenStore, root: str
) -> None:
    store = open_store(fields=["text"], ttl={"omit_expired": True})
    store.put((root,), "short", {"text": "word"}, ttl=0.001)
    store.put((root,), "ever", {"text": "word"})
    time.sleep(0.2)
    assert store.get((root,), "short") is None
    assert keys(store.search((root,))) == ["ever"]
    assert keys(store.search((root,), query="word")) == ["ever"]
    store.put((root, "over"), "short", {"text": "word"}, ttl=0.001)
    time.sleep(0.2)
    assert store.list_namespaces(prefix=(root,)) == [(root,)]


@stores(*OURS)
def test_namespaces_that_are_lists(open_store: OpenStore, root: str) -> None:
    store, place = open_store(fields=["text"]), cast("tuple[str, ...]", [root, "a"])
    store.put(place, "k", {"text": "word"})
    assert store.get(place, "k") is not None
    for asked in (place, cast("tuple[str, ...]", [root])):
        assert keys(store.search(asked)) == keys(store.search(asked, query="word")) == ["k"]
        assert store.list_namespaces(prefix=asked) == [(root, "a")]
    store.delete(place, "k")
    assert store.search((root,)) == []


@stores(*OURS)
def test_listing_is_last_updated_first_and_overwriting_keeps_created_at(
    open_store: OpenStore, root: str
) -> None:
    store = open_store()
    for key in "abc":
        store.put((root,), key, {"x": key})
        time.sleep(0.02)
    created = store.get((root,), "a").created_at  # type: ignore[union-attr]
    store.put((root,), "a", {"x": "again"})
    assert keys(store.search((root,))) == ["a", "c", "b"]
    assert store.get((root,), "a").created_at == created  # type: ignore[union-attr]
