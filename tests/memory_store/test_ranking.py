from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vitarmm_agent.memory_store.operations import Recalled
from vitarmm_agent.memory_store.ranking import (
    Candidate,
    RecallConfig,
    bm25,
    floor_for,
    rank,
    tokens,
    usefulness,
    wilson_lower,
)
from vitarmm_agent.memory_store.schema import MemoryEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(name: str, when: str, **fields: Any) -> MemoryEntry:
    given = {"entry_type": "fact", "content": f"Content of {name}.", "updated_at": NOW} | fields
    return MemoryEntry(id=name, applies_when=when, **given)


def ranked(query: str, *pairs: tuple[MemoryEntry, float], k: int = 3, floor: float = 0.3,
           **config: Any) -> tuple[list[Recalled], Recalled | None]:  # fmt: skip
    candidates = [Candidate(one, similarity) for one, similarity in pairs]
    return rank(query, candidates, k=k, floor=floor, config=RecallConfig(**config), now=NOW)


def ids(found: tuple[list[Recalled], Recalled | None]) -> list[str]:
    return [recalled.entry.id for recalled in found[0]]


def test_the_floor_divides_recalled_from_rejected() -> None:
    near, far, farther = entry("near", "a"), entry("far", "b"), entry("farther", "c")
    found = ranked("x", (farther, 0.1), (near, 0.5), (far, 0.29))
    assert ids(found) == ["near"]
    assert found[1] is not None and found[1].entry.id == "far"
    assert ranked("x", (near, 0.9))[1] is None
    assert ranked("x") == ([], None)


def test_words_lift_what_similarity_ranks_lower() -> None:
    plain = entry("plain", "shapes have areas")
    exact = entry("exact", "the perimeter of a square is known")
    others = [(entry(f"o{n}", f"other topic number{n}"), 0.5) for n in range(3)]
    query = "A square has a perimeter of 20."
    pairs = [(plain, 0.71), (exact, 0.70), *others]
    assert ids(ranked(query, *pairs, lexical=0.0))[0] == "plain"
    assert ids(ranked(query, *pairs))[0] == "exact"


def test_experience_moves_an_entry_by_a_bounded_amount() -> None:
    untried = entry("untried", "a")
    proven = entry("proven", "b", used=50, helpful=48)
    harmful = entry("harmful", "c", used=50, harmful=48)
    pairs = [(harmful, 0.82), (untried, 0.81), (proven, 0.80)]
    assert ids(ranked("x", *pairs, lexical=0.0)) == ["proven", "untried", "harmful"]
    far = [(entry(f"n{n}", "d"), 0.9 - n / 1000) for n in range(40)]
    crowd = ids(ranked("x", *far, (proven, 0.5), k=41, lexical=0.0, redundancy=0.0))
    assert 20 < crowd.index("proven") < 40  # lifted, but never to the top


def test_usefulness_is_bounded_and_fades() -> None:
    proven = entry("p", "a", used=1000, helpful=1000)
    assert usefulness(entry("n", "a"), NOW, 180) == 0
    assert 0.9 < usefulness(proven, NOW, 180) <= 1
    later = usefulness(proven, NOW + timedelta(days=180), 180)
    assert later == pytest.approx(usefulness(proven, NOW, 180) / 2)
    assert -1 <= usefulness(entry("h", "a", used=9, harmful=9), NOW, 180) < -0.5
    once = entry("o", "a", used=1, helpful=1)
    assert usefulness(once, NOW, 180) < usefulness(entry("m", "a", used=20, helpful=20), NOW, 180)


def test_near_copies_do_not_fill_the_places() -> None:
    copies = [(entry(f"copy{n}", "same words every time", content="Same."), 0.9 - n / 1000)
              for n in range(3)]  # fmt: skip
    other = (entry("other", "wholly different thing", content="Else."), 0.85)
    assert ids(ranked("x", *copies, other, k=2, lexical=0.0)) == ["copy0", "other"]
    chosen = ranked("x", *copies, k=2, lexical=0.0)[0][1]
    assert chosen.terms["redundancy"] < 0 and "redundancy" in chosen.reason


def test_every_term_is_told_and_sums_to_the_score() -> None:
    one = entry("one", "perimeter of a square", confidence=0.9, used=3, helpful=3)
    (recalled,) = ranked("square perimeter", (one, 0.8))[0]
    assert recalled.score == pytest.approx(sum(recalled.terms.values()), abs=1e-5)
    assert all(name in recalled.reason for name, value in recalled.terms.items() if value)


def test_confidence_breaks_ties() -> None:
    sure, unsure = entry("z-sure", "a", confidence=1.0), entry("a-unsure", "a", confidence=0.0)
    assert ids(ranked("x", (unsure, 0.8), (sure, 0.8), redundancy=0.0))[0] == "z-sure"


def test_bm25_against_a_worked_example() -> None:
    from collections import Counter
    from math import log

    bags = [Counter(["square", "area"]), Counter(["train"]), Counter(["square", "square"])]
    scores = bm25(["square", "missing"], bags, k1=1.2, b=0.75)
    weight = log(1 + 1.5 / 2.5)
    average = 5 / 3
    norm = 1.2 * (0.25 + 0.75 * 2 / average)
    assert scores == pytest.approx([weight * 2.2 / (1 + norm), 0.0, weight * 2 * 2.2 / (2 + norm)])
    assert bm25(["x"], []) == [] and bm25([], bags) == [0.0, 0.0, 0.0]


def test_wilson_bound() -> None:
    assert wilson_lower(0, 0) == 0 and wilson_lower(0, 10) == 0
    assert wilson_lower(10, 10, z=1.96) == pytest.approx(0.7225, abs=1e-3)
    assert wilson_lower(1, 2) < wilson_lower(10, 20) < 0.5


def test_tokens_drop_what_says_nothing() -> None:
    assert tokens("The squares of 12, and the GLASS") == ["square", "12", "glass"]


def test_floors_by_embedder() -> None:
    assert floor_for("local:all-minilm-l6-v2") == 0.45
    assert floor_for("openai:unheard-of") != floor_for("local:all-minilm-l6-v2")
