from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.relations import closest, differences, facts, merge, relate
from vitarmm_agent.memory_store.schema import MemoryEntry, Provenance
from vitarmm_agent.memory_store.write_plan import WritePlan, settle


def entry(content: str, **fields: Any) -> MemoryEntry:
    return MemoryEntry(**({"entry_type": "fact", "content": content} | fields))


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ("a foot is 12 inches", "a foot is 12 inches long", []),
        ("a foot is 12 inches", "a foot is 10 inches", ["numbers"]),
        ("take 1,200 of them", "take 1200.0 of them", []),
        ("take twelve of them", "take 12 of them", []),
        ("speed in km per hour", "speed in miles per hour", ["units"]),
        ("the sum is even", "the sum is not even", ["negations"]),
        ("you can divide by it", "you cannot divide by it", ["negations"]),
        ("add the speeds", "subtract the speeds", ["opposite words"]),
        ("it's 50%", "it's 50", ["numbers"]),
        ("the temperature is -5", "the temperature is 5", ["numbers"]),
        ("use 1/2 of it", "use half of it", []),
    ],
)
def test_facts_that_must_agree(one: str, other: str, differing: list[str]) -> None:
    assert differences(facts(one), facts(other)) == differing


@pytest.mark.parametrize(
    ("new", "old", "similarity", "kind"),
    [
        ("The area is side squared.", "the area is  side squared", 0.2, "exact"),
        ("Square the side to get the area.", "To get the area, square the side.", 0.95, "duplicate"),
        ("Square the side to get the area.", "To get the area, square the side.", 0.85, "duplicate"),
        ("Square the side for the area.", "Use the diagonal and halve its square.", 0.85, "distinct"),
        ("A foot is 12 inches.", "A foot is 10 inches.", 0.97, "contradiction"),
        ("The product is even.", "The product is not even.", 0.99, "contradiction"),
        ("Add both speeds when they approach.", "Subtract both speeds when they approach.", 0.95,
         "contradiction"),
        ("Side 4 gives area 16.", "Side 5 gives area 25.", 0.97, "distinct"),
        ("A foot is 12 inches.", "A yard is 36 inches.", 0.92, "distinct"),
        ("Square the side to get the area.", "To get the area, square the side.", 0.79, "distinct"),
    ],
)  # fmt: skip
def test_relations(new: str, old: str, similarity: float, kind: str) -> None:
    relation = relate(entry(new), entry(old), similarity)
    assert relation.kind == kind and relation.reason


def test_the_same_words_of_another_type_are_not_the_same_entry() -> None:
    fact, insight = entry("Check the units."), entry("Check the units.", entry_type="insight")
    assert relate(insight, fact, 0.5).kind == "distinct"


def test_a_changed_fact_is_never_a_duplicate() -> None:
    base = "If a train covers 60 km in 2 hours, divide 60 by 2 to get the speed."
    for change in (("60", "61"), ("km", "miles"), ("divide", "multiply"), ("to get", "not to get")):
        changed = base.replace(*change)
        assert relate(entry(changed), entry(base), 0.999).kind != "duplicate", change


def test_the_closest_is_the_one_that_says_most() -> None:
    new = entry("A foot is 12 inches.")
    against, same = entry("A foot is 10 inches."), entry("A foot is 12 inches")
    found = closest(new, [(against, 0.99), (same, 0.9), (entry("Other."), 0.1)])
    assert found is not None and found[0] is same and found[1].kind == "exact"
    assert closest(new, [(entry("Other."), 0.1)]) is None


def test_what_is_not_recalled_contradicts_nothing() -> None:
    new, live = entry("A foot is 12 inches."), entry("A foot is 10 inches.")
    over = [
        entry("A foot is 11 inches.", superseded_by="m-other"),
        entry("A foot is 13 inches.", expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
    ]
    found = closest(new, [(old, 0.97) for old in (*over, live)])
    assert found is not None and found[0] == live
    assert closest(new, [(old, 0.97) for old in over]) is None


def test_what_is_over_before_it_is_written_replaces_nothing() -> None:
    live = entry("A foot is 12 inches.")
    new = entry("A foot is 10 inches.", expires_at=datetime(2026, 1, 1, tzinfo=UTC))
    plan = WritePlan({live.id: live})
    written = settle(plan, Operation(kind="add", entry=new), [(live, 0.97)], Provenance(run="r"))
    assert written.kind == "added" and [change.kind for change in plan.changes()] == ["add"]


def test_merging_sums_experience_and_keeps_the_surer_words() -> None:
    old = entry("Old words.", confidence=0.4, used=3, helpful=2, related_to=("m-a",))
    new = entry("New words.", confidence=0.8, used=1, harmful=1, related_to=("m-b", old.id))
    merged = merge(old, new)
    assert merged.id == old.id and merged.content == "New words." and merged.confidence == 0.8
    assert (merged.used, merged.helpful, merged.harmful) == (4, 2, 1)
    assert merged.related_to == ("m-a", "m-b")
    assert merge(new, old).content == "New words."
