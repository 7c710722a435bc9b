"""Which lessons become one: the pairs of the study, and what others lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vitarmm_agent.evals.studies.merging import count, pairs, written
from vitarmm_agent.memory_store.embedding import load_embeddings
from vitarmm_agent.memory_store.relations import relate
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.settings import Settings

PAIRS = pairs()


def entry(content: str, applies_when: str = "", title: str = "") -> MemoryEntry:
    return MemoryEntry(
        entry_type="insight", title=title, applies_when=applies_when, content=content
    )


def kind(one: str, other: str, similarity: float = 0.99, **fields: str) -> str:
    return relate(entry(other, **fields), entry(one, **fields), similarity).kind


def test_there_are_enough_pairs_and_none_twice() -> None:
    different = [pair for pair in PAIRS if not pair.same]
    assert len(different) >= 150 and len(PAIRS) - len(different) >= 150
    assert len({(pair.one, pair.other) for pair in PAIRS}) == len(PAIRS)
    assert {pair.language for pair in different} >= {"en", "de", "fr", "es", "zh"}


@pytest.mark.parametrize("pair", [p for p in PAIRS if not p.same], ids=lambda pair: pair.one[:40])
def test_what_differs_in_what_decides_stays_two(pair: object) -> None:
    assert kind(pair.one, pair.other) in ("distinct", "contradiction")  # type: ignore[attr-defined]


def test_most_paraphrases_become_one() -> None:
    same = [pair for pair in PAIRS if pair.same]
    kept = [pair for pair in same if kind(pair.one, pair.other) not in ("duplicate", "exact")]
    assert len(kept) <= 0.3 * len(same)


@pytest.mark.parametrize(
    ("one", "other", "condition"),
    [
        ("Use the tangent of the angle.", "Use the cotangent of the angle.", "an angle is given"),
        ("Read the value off the x-axis.", "Read the value off the y-axis.", "a graph is given"),
        ("Count the edges of the solid.", "Count the faces of the solid.", "a solid is drawn"),
        ("先把分子约分。", "先把分母约分。", "分数"),
    ],
)
def test_no_lesson_is_lost(one: str, other: str, condition: str) -> None:
    assert kind(one, other, applies_when=condition) == "distinct"


def test_the_condition_and_the_title_count_too() -> None:
    content = "It is 4 times the square of the radius, times pi."
    sphere = entry(content, "the surface of a sphere is asked for")
    assert (
        relate(entry(content, "the surface of a ball is asked for"), sphere, 0.95).kind
        == "distinct"
    )
    changed = content.replace("4", "2")
    assert (
        relate(entry(changed, "the surface of a bowl is asked for"), sphere, 0.95).kind
        == "distinct"
    )
    assert relate(entry(changed, sphere.applies_when), sphere, 0.95).kind == "contradiction"
    square, angles = entry("They add up to 360.", title="Angles of a square"), "Angles of a circle"
    assert relate(entry("They add up to 360.", title=angles), square, 0.95).kind == "distinct"
    assert (
        relate(entry("They **add up** to 360", title=square.title), square, 0.9).kind == "duplicate"
    )


@pytest.mark.weights
def test_a_short_form_of_the_study(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")
    some = PAIRS[::10]
    embed = load_embeddings("local:all-minilm-l6-v2", Settings.load())
    found = count(list(zip(some, written(some, embed), strict=True)))
    assert found.different > 15 and found.merged == 0
    assert found.paraphrases > 15 and found.needlessly.estimate <= 0.4
