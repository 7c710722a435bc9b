"""Whether a new entry says something new: pure decisions.

Embeddings put "x is 12" and "x is not 12" close together, so similarity alone never makes two
entries one: the numbers, units, negations and opposite words of both must agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rapidfuzz import fuzz

from vitarmm_agent.memory_store.schema import MemoryEntry

RelationKind = Literal["exact", "duplicate", "contradiction", "distinct"]
DUPLICATE = 0.90
NEAR = 0.80
SAME_WORDS = 92.0
"""rapidfuzz token-sort ratio, 0 to 100, from which two texts use the same words."""
WORTH_A_LOOK = 50.0
SAME_FRAME = 84.0
"""The same for texts whose numbers, units, negations and opposites are left out."""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?%?")
_NUMBER_WORDS = {
    word: str(value)
    for value, words in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
    for word in (words,)
} | {"half": "1/2", "third": "1/3", "quarter": "1/4", "twice": "2", "double": "2", "triple": "3",
     "dozen": "12", "hundred": "100", "thousand": "1000", "million": "1000000"}  # fmt: skip
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nor|neither|without|cannot|except|unless|avoid|false|incorrect|wrong|"
    r"\w+n['’]t)\b",
    re.IGNORECASE,
)
_UNITS = frozenset(
    "mm cm m km in inch inches ft foot feet yd yard yards mi mile miles mg g kg lb lbs pound pounds "
    "oz ounce ounces ml l liter liters litre litres gallon gallons cup cups s sec second seconds "
    "min minute minutes h hr hour hours day days week weeks month months year years dollar dollars "
    "cent cents euro euros usd eur percent degree degrees celsius fahrenheit kelvin radian radians "
    "meter meters metre metres centimeter centimeters kilometer kilometers gram grams kilogram "
    "kilograms kmh mph km/h m/s square cubic hz j joule joules w watt watts n newton newtons pa v".split()
)
_OPPOSITES = [
    ("add", "subtract"), ("multiply", "divide"), ("increase", "decrease"), ("more", "less"),
    ("greater", "smaller"), ("before", "after"), ("maximum", "minimum"), ("first", "last"),
    ("above", "below"), ("inside", "outside"), ("always", "sometimes"), ("numerator", "denominator"),
    ("area", "perimeter"), ("even", "odd"), ("positive", "negative"), ("up", "down"),
    ("sum", "difference"), ("product", "quotient"), ("left", "right"), ("true", "untrue"),
    ("include", "exclude"), ("larger", "lesser"), ("longer", "shorter"), ("all", "some"),
]  # fmt: skip
_SIDES = {word: (pair, side) for pair in _OPPOSITES for side, word in enumerate(pair)}


@dataclass(frozen=True)
class Relation:
    """How a new entry stands to an existing one, and why."""

    kind: RelationKind
    reason: str


@dataclass(frozen=True)
class Facts:
    """What must agree before two texts can be the same: counted, order does not matter."""

    numbers: tuple[tuple[str, int], ...]
    units: frozenset[str]
    negations: int
    sides: frozenset[tuple[tuple[str, str], int]]


def relate(new: MemoryEntry, old: MemoryEntry, similarity: float) -> Relation:
    """Compare a new entry with an existing one of the given cosine similarity."""
    if new.entry_type == old.entry_type and normal_text(new) == normal_text(old):
        return Relation("exact", "says the same, word for word")
    if similarity < NEAR:
        return Relation("distinct", f"similarity {similarity:.2f} is below {NEAR}")
    differing = differences(facts(_text(new)), facts(_text(old)))
    same_frame = fuzz.token_sort_ratio(_frame(new), _frame(old)) >= SAME_FRAME
    if differing:
        words = " and ".join(differing)
        kind: RelationKind = "contradiction" if same_frame and _opposed(new, old) else "distinct"
        return Relation(kind, f"similarity {similarity:.2f}, but {words} differ")
    if similarity >= DUPLICATE:
        return Relation("duplicate", f"similarity {similarity:.2f} and the same facts")
    overlap = fuzz.token_sort_ratio(_normal(_text(new)), _normal(_text(old)))
    if overlap >= SAME_WORDS:
        return Relation("duplicate", f"similarity {similarity:.2f} and the same words")
    return Relation("distinct", f"similarity {similarity:.2f} with other words")


def merge(old: MemoryEntry, new: MemoryEntry, now: datetime | None = None) -> MemoryEntry:
    """``old`` with the experience of both; the words of whichever is more confident."""
    words = new if new.confidence > old.confidence else old
    return old.model_copy(
        update={
            "title": words.title or old.title,
            "applies_when": words.applies_when or old.applies_when,
            "content": words.content,
            "confidence": max(old.confidence, new.confidence),
            "related_to": tuple(
                dict.fromkeys(i for i in (*old.related_to, *new.related_to) if i != old.id)
            ),
            "metadata": new.metadata | old.metadata,
            "used": old.used + new.used,
            "helpful": old.helpful + new.helpful,
            "harmful": old.harmful + new.harmful,
            "updated_at": now or datetime.now(UTC),
        }
    )


def closest(
    new: MemoryEntry, neighbours: Sequence[tuple[MemoryEntry, float]]
) -> tuple[MemoryEntry, Relation] | None:
    """The neighbour that matters most: an exact copy, a duplicate, then a contradiction."""
    order: dict[RelationKind, int] = {"exact": 0, "duplicate": 1, "contradiction": 2}
    related = [(old, relate(new, old, similarity)) for old, similarity in neighbours]
    telling = [(old, relation) for old, relation in related if relation.kind in order]
    return min(telling, key=lambda pair: order[pair[1].kind], default=None)


def share_words(one: MemoryEntry, other: MemoryEntry) -> bool:
    """Whether two entries share enough words for a closer look; cheap, and rather once too often."""
    return fuzz.token_set_ratio(_normal(_text(one)), _normal(_text(other))) >= WORTH_A_LOOK


def facts(text: str) -> Facts:
    """Numbers, units, negations and sides of opposites in a text."""
    lowered = text.lower()
    words = re.findall(r"[a-z][a-z/]*", lowered)
    numbers = [_number(found) for found in _NUMBER.findall(lowered)]
    numbers += [_NUMBER_WORDS[word] for word in words if word in _NUMBER_WORDS]
    return Facts(
        numbers=tuple(sorted(Counter(numbers).items())),
        units=frozenset(word for word in words if word in _UNITS),
        negations=len(_NEGATION.findall(lowered)) % 2,
        sides=frozenset(_SIDES[word] for word in words if word in _SIDES),
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


def _opposed(new: MemoryEntry, old: MemoryEntry) -> bool:
    """Whether the differing facts say the opposite, rather than speak of another case.

    One number or one unit changed under the same condition contradicts; more is another case.
    """
    if facts(_condition(new)) != facts(_condition(old)):
        return False
    one, other = facts(_text(new)), facts(_text(old))
    changed = sum((Counter(dict(one.numbers)) - Counter(dict(other.numbers))).values())
    flipped = one.negations != other.negations or bool(_crossed(one, other))
    return flipped or (changed <= 1 and (not changed or one.units == other.units))


def _crossed(one: Facts, other: Facts) -> set[tuple[str, str]]:
    """Opposites of which one text has one word only and the other the other word only."""
    pairs = {pair for pair, _ in one.sides} & {pair for pair, _ in other.sides}
    return {
        pair
        for pair in pairs
        if {s for p, s in one.sides if p == pair} != {s for p, s in other.sides if p == pair}
    }


def _number(found: str) -> str:
    text = re.sub(r"[,\s]", "", found).lstrip("+")
    return re.sub(r"\.0+(?=%|$)", "", text)


def _text(entry: MemoryEntry) -> str:
    return " ".join((entry.title, entry.applies_when, entry.content))


def _condition(entry: MemoryEntry) -> str:
    return entry.applies_when


def _normal(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.split()).strip(" .!;:,")


def _frame(entry: MemoryEntry) -> str:
    """The content without the words that can carry a contradiction."""
    text = _NEGATION.sub(" ", _NUMBER.sub(" ", entry.content.lower()))
    dropped = _UNITS | _NUMBER_WORDS.keys() | _SIDES.keys() | {"do", "does", "is", "are", "can"}
    return " ".join(w for w in re.findall(r"[a-z]+", text) if w not in dropped)
