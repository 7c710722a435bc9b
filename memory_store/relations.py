"""Whether a new entry says something new: pure decisions.

Embeddings put "x is 12" beside "x is not 12", and the sine beside the cosine. Similarity alone
therefore never makes two entries one: both must consist of the same content words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Literal

from rapidfuzz import fuzz

from vitarmm_agent.memory_store.content_words import (
    Wording,
    fold_case,
    language_of,
    word_form,
    wording,
)
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.numbers.finding import numbers_in
from vitarmm_agent.numbers.units import dimension_of, unit_name

RelationKind = Literal["exact", "duplicate", "contradiction", "distinct"]
NEAR = 0.80
"""Cosine similarity below which two entries are not compared."""
WORTH_A_LOOK = 50.0

_NEGATIONS = frozenset(
    "not never no none nor neither without cannot except unless avoid false incorrect wrong".split()
)
_NEGATION = re.compile(rf"\b(?:{'|'.join(sorted(_NEGATIONS))}|\w++(?<=n)['’]t)\b", re.IGNORECASE)
_OPPOSITES = [
    ("add", "subtract"), ("multiply", "divide"), ("increase", "decrease"), ("more", "less"),
    ("greater", "smaller"), ("before", "after"), ("maximum", "minimum"), ("first", "last"),
    ("above", "below"), ("inside", "outside"), ("always", "sometimes"), ("numerator", "denominator"),
    ("area", "perimeter"), ("even", "odd"), ("positive", "negative"), ("up", "down"),
    ("sum", "difference"), ("product", "quotient"), ("left", "right"), ("true", "untrue"),
    ("include", "exclude"), ("larger", "lesser"), ("longer", "shorter"), ("all", "some"),
]  # fmt: skip


@cache
def _sides() -> dict[str, tuple[tuple[str, str], int]]:
    """The pair of opposites and the side of it that a word form names; they take a stemmer."""
    return {
        word_form(word, "english"): (pair, side)
        for pair in _OPPOSITES
        for side, word in enumerate(pair)
    }


@dataclass(frozen=True)
class Relation:
    """How a new entry stands to an existing one, and why."""

    kind: RelationKind
    reason: str


@dataclass(frozen=True)
class Facts:
    """What two texts that otherwise agree may contradict each other in; order does not matter."""

    numbers: tuple[tuple[tuple[Fraction, bool], int], ...]
    """Value and whether it is a percentage, and how often it stands there."""
    units: frozenset[str]
    negations: int
    sides: frozenset[tuple[tuple[str, str], int]]


def relate(new: MemoryEntry, old: MemoryEntry, similarity: float) -> Relation:
    """Compare a new entry with an existing one of the given cosine similarity."""
    if new.entry_type == old.entry_type and normal_text(new) == normal_text(old):
        return Relation("exact", "says the same, word for word")
    if similarity < NEAR:
        return Relation("distinct", f"similarity {similarity:.2f} is below {NEAR}")
    if _same_words(new, old):
        return Relation("duplicate", f"similarity {similarity:.2f} and the same words")
    one, other = facts(_text(new)), facts(_text(old))
    differing = differences(one, other)
    if not differing:
        return Relation("distinct", f"similarity {similarity:.2f} with other words")
    kind: RelationKind = "distinct"
    if _flipped(one, other) and _same_frame(new, old):
        kind = "contradiction"
    return Relation(kind, f"similarity {similarity:.2f}, but {' and '.join(differing)} differ")


def merge(old: MemoryEntry, new: MemoryEntry, now: datetime | None = None) -> MemoryEntry:
    """``old`` with the experience of both; the words of whichever is more confident."""
    words = new if new.confidence > old.confidence else old
    return old.model_copy(
        update={
            "title": words.title or old.title,
            "applies_when": words.applies_when or old.applies_when,
            "content": words.content,
            "example": new.example or old.example,
            "confidence": max(old.confidence, new.confidence),
            "related_to": tuple(
                dict.fromkeys(i for i in (*old.related_to, *new.related_to) if i != old.id)
            ),
            "metadata": new.metadata | old.metadata,
            "expires_at": _later(old.expires_at, new.expires_at),
            "used": old.used + new.used,
            "helpful": old.helpful + new.helpful,
            "harmful": old.harmful + new.harmful,
            "updated_at": now or datetime.now(UTC),
        }
    )


def _later(*times: datetime | None) -> datetime | None:
    """The last of these; None is never over."""
    given = [time for time in times if time is not None]
    return max(given) if len(given) == len(times) else None


def closest(
    new: MemoryEntry, neighbours: Sequence[tuple[MemoryEntry, float]]
) -> tuple[MemoryEntry, Relation] | None:
    """The neighbour that matters most: an exact copy, a duplicate, then a contradiction.

    What is not recalled any more contradicts nothing.
    """
    order: dict[RelationKind, int] = {"exact": 0, "duplicate": 1, "contradiction": 2}
    related = [(old, relate(new, old, similarity)) for old, similarity in neighbours]
    telling = [
        (old, relation)
        for old, relation in related
        if relation.kind in order and (relation.kind != "contradiction" or old.state_at() == "live")
    ]
    return min(telling, key=lambda pair: order[pair[1].kind], default=None)


def share_words(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries share enough words for a closer look; cheap, and rather once too often."""
    return fuzz.token_set_ratio(_normal(_text(one)), _normal(_text(other))) >= WORTH_A_LOOK


def facts(text: str) -> Facts:
    """Numbers, units, negations and sides of opposites in an English text."""
    words = re.findall(r"[a-z]+", text.lower())
    found = Counter((number.value, number.percent) for number in numbers_in(text, loose=True))
    forms = (word_form(word, "english") for word in words)
    sides = _sides()
    return Facts(
        numbers=tuple(sorted(found.items())),
        units=frozenset(unit for word in words if (unit := _unit(word))),
        negations=len(_NEGATION.findall(text)) % 2,
        sides=frozenset(sides[form] for form in forms if form in sides),
    )


def differences(one: Facts, other: Facts) -> list[str]:
    """Which facts differ, by name."""
    return [
        name
        for name, differ in (
            ("numbers", one.numbers != other.numbers),
            ("units", one.units != other.units),
            ("negations", one.negations != other.negations),
            ("opposite words", bool(_crossed(one, other))),
        )
        if differ
    ]


def normal_text(entry: MemoryEntry) -> tuple[str, str, str]:
    """Title, condition and content, with case, spacing and punctuation at the ends left out."""
    return _normal(entry.title), _normal(entry.applies_when), _normal(entry.content)


def _same_words(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries say the same; a title may leave out what the rest says."""
    language = language_of(f"{_text(one)} {_text(other)}")

    def alike(a: str, b: str) -> bool:
        return _meet(wording(a, language), wording(b, language))

    def words(text: str) -> set[str]:
        return {word for order in wording(text, language) for word in order}

    return (
        alike(one.content, other.content)
        and alike(one.applies_when, other.applies_when)
        and (not one.title or words(one.title) <= words(_text(other)))
        and (not other.title or words(other.title) <= words(_text(one)))
    )


def _flipped(one: Facts, other: Facts) -> bool:
    """Whether differing facts say the opposite: one number or one unit changed; more is another case."""
    if one.negations != other.negations or _crossed(one, other):
        return True
    changed = sum((Counter(dict(one.numbers)) - Counter(dict(other.numbers))).values())
    return not changed or (changed == 1 and one.units == other.units)


def _same_frame(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether the conditions say the same, and so do the contents without their facts."""
    language = language_of(f"{_text(one)} {_text(other)}")
    conditions = (wording(entry.applies_when, language) for entry in (one, other))
    frames = (_frame(entry.content, language) for entry in (one, other))
    return _meet(*conditions) and _meet(*frames)


def _frame(content: str, language: str) -> Wording:
    """The wording of a content without the words that can carry a contradiction."""
    return frozenset(
        tuple(word for word in order if not _telling(word)) for order in wording(content, language)
    )


def _telling(word: str) -> bool:
    return word[0] in "#%-" or word in _NEGATIONS or word in _sides() or _unit(word) is not None


def _unit(word: str) -> str | None:
    """The unit a word names; single letters are variables, "in" is no inch and "half" a number."""
    known = len(word) > 1 and word not in ("in", "am") and dimension_of(word) != "count"
    return unit_name(word) if known else None


def _meet(one: Wording, other: Wording) -> bool:
    return not one.isdisjoint(other)


def _crossed(one: Facts, other: Facts) -> set[tuple[str, str]]:
    """Opposites of which one text has one word only and the other the other word only."""
    pairs = {pair for pair, _ in one.sides} & {pair for pair, _ in other.sides}
    return {
        pair
        for pair in pairs
        if {s for p, s in one.sides if p == pair} != {s for p, s in other.sides if p == pair}
    }


def _text(entry: MemoryEntry) -> str:
    return " ".join((entry.title, entry.applies_when, entry.content))


def _normal(text: str) -> str:
    return " ".join(fold_case(text).split()).strip(" .;:,")
