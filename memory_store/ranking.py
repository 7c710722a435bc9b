"""Which of the entries near a problem to recall, and why: pure functions.

Dense similarity and BM25 are fused by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009);
confidence and proven usefulness move an entry by a few ranks at most; maximal marginal relevance
(Carbonell and Goldstein, SIGIR 1998) keeps near-copies from filling the few places.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from vitarmm_agent.memory_store.operations import Recalled
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.wilson import wilson_bounds

_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(
    "a an and are as at be been by can did do does for from had has have he her his how i if in is "
    "it its many much of on or she than that the their them then there they this to was we were "
    "what when where which who will with would you your applies given problem find".split()
)
Z = 1.2816
"""One-sided 90 % bound."""


@dataclass(frozen=True)
class RecallConfig:
    """How entries are chosen.

    Attributes:
        shortlist: nearest entries that are looked at.
        floor: similarity below which nothing is recalled; None takes the embedder's, see
            :data:`FLOORS`.
        lexical: weight of BM25 against the dense rank; 0 ranks by similarity alone.
        confidence: most that the writer's confidence moves the score, up or down.
        usefulness: most that experience moves the score, up or down.
        half_life_days: after this time without change, experience counts half.
        redundancy: penalty for repeating what is chosen already.
        linked: linked entries added after the main ones, at most.
        examples: worked examples at most.
        example_floor: similarity of two problems below which no example is recalled; None takes
            the embedder's, see :data:`EXAMPLE_FLOORS`.
    """

    shortlist: int = 32
    floor: float | None = None
    lexical: float = 1.0
    rrf_k: int = 60
    confidence: float = 0.02
    usefulness: float = 0.06
    half_life_days: float = 180.0
    redundancy: float = 0.08
    linked: int = 2
    examples: int = 2
    example_floor: float | None = None

    @classmethod
    def for_embedder(cls, embedder: str, **fields: Any) -> RecallConfig:
        """A configuration with the floors of an embedder given by its spec."""
        floors = {"floor": floor_for(embedder), "example_floor": example_floor_for(embedder)}
        return cls(**floors | fields)

    @property
    def similarity_floor(self) -> float:
        """The floor that is in force."""
        return DEFAULT_FLOOR if self.floor is None else self.floor

    @property
    def examples_from(self) -> float:
        """The floor of examples that is in force."""
        return DEFAULT_EXAMPLE_FLOOR if self.example_floor is None else self.example_floor


FLOORS = {"all-minilm-l6-v2": 0.45}
"""Similarity floors by embedder name, measured by ``vitarmm_agent.evals.studies.retrieval``."""
DEFAULT_FLOOR = 0.35
EXAMPLE_FLOORS = {"all-minilm-l6-v2": 0.83}
"""The same for a problem against the problems of examples."""
DEFAULT_EXAMPLE_FLOOR = 0.85
SHOWN_EXAMPLES = 4_000
"""Characters of all examples in a prompt."""
OUTVOTED = 2
"""An example is withheld once the fails it was shown before outnumber the passes by this."""


def floor_for(embedder: str) -> float:
    """The similarity floor of an embedder given by its spec."""
    return FLOORS.get(_plain(embedder), DEFAULT_FLOOR)


def example_floor_for(embedder: str) -> float:
    """The floor of examples of an embedder given by its spec."""
    return EXAMPLE_FLOORS.get(_plain(embedder), DEFAULT_EXAMPLE_FLOOR)


def _plain(embedder: str) -> str:
    return embedder.rpartition(":")[2].lower()


@dataclass(frozen=True)
class Candidate:
    """An entry of the shortlist and its cosine similarity to the problem."""

    entry: MemoryEntry
    similarity: float


@dataclass(frozen=True)
class Scored:
    """A candidate with the parts of its score, and its words and how often each occurs."""

    candidate: Candidate
    terms: dict[str, float]
    words: Counter[str]
    score: float


def rank(
    query: str,
    candidates: Sequence[Candidate],
    *,
    k: int,
    floor: float,
    config: RecallConfig,
    now: datetime | None = None,
) -> tuple[list[Recalled], Recalled | None]:
    """The entries to recall, best first, and the best one left out for its similarity."""
    scored = score(query, candidates, config, now or datetime.now(UTC))
    good = [one for one in scored if one.candidate.similarity >= floor]
    poor = [one for one in scored if one.candidate.similarity < floor]
    rejected = max(poor, key=lambda one: one.candidate.similarity, default=None)
    chosen = [_recalled(one) for one in diversify(good, k, config)]
    return chosen, None if rejected is None else _recalled(rejected)


def score(
    query: str, candidates: Sequence[Candidate], config: RecallConfig, now: datetime
) -> list[Scored]:
    """All candidates with their terms, best first."""
    ordered = sorted(candidates, key=lambda c: (-c.similarity, c.entry.id))
    texts = [candidate.entry.index_text for candidate in ordered]
    bags = [_bag(f"{text}\n{c.entry.content}") for text, c in zip(texts, ordered, strict=True)]
    lexical = bm25(tokens(query), bags)
    by_words = sorted(range(len(ordered)), key=lambda i: (-lexical[i], i))
    word_rank = {index: place for place, index in enumerate(by_words, start=1)}
    best = (1 + config.lexical) / (config.rrf_k + 1)
    found = []
    for index, candidate in enumerate(ordered):
        entry = candidate.entry
        words = config.lexical / (config.rrf_k + word_rank[index]) if lexical[index] > 0 else 0.0
        terms = {
            "dense": 1 / (config.rrf_k + index + 1) / best,
            "lexical": words / best,
            "confidence": config.confidence * (2 * entry.confidence - 1),
            "usefulness": config.usefulness * usefulness(entry, now, config.half_life_days),
        }
        found.append(Scored(candidate, terms, bags[index], sum(terms.values())))
    return sorted(found, key=lambda one: (-one.score, one.candidate.entry.id))


def diversify(ranked: Sequence[Scored], k: int, config: RecallConfig) -> list[Scored]:
    """The first ``k`` by score less what they repeat of those already taken."""
    left = list(ranked)
    chosen: list[Scored] = []
    while left and len(chosen) < k:
        best = max(left, key=lambda one: one.score - config.redundancy * _repeats(one, chosen))
        left.remove(best)
        penalty = config.redundancy * _repeats(best, chosen)
        if penalty:
            terms = best.terms | {"redundancy": -penalty}
            best = Scored(best.candidate, terms, best.words, best.score - penalty)
        chosen.append(best)
    return chosen


def fitting(query: str, candidates: Sequence[Candidate], most: int) -> list[Recalled]:
    """The nearest examples, at most ``most`` and of bounded size together, best first.

    Siblings that differ in numbers alone are equally near. Among them the problem itself comes first,
    then what helped most, then what is newest.
    """

    def order(candidate: Candidate) -> tuple[float, bool, int, float, str]:
        entry = candidate.entry
        own = entry.example is not None and entry.example.problem == query
        helped = entry.helpful - entry.harmful
        nearness = round(candidate.similarity, 6)
        return -nearness, not own, -helped, -entry.created_at.timestamp(), entry.id

    chosen: list[Recalled] = []
    room = SHOWN_EXAMPLES
    for candidate in sorted(candidates, key=order):
        size = candidate.entry.example.size if candidate.entry.example else 0
        if len(chosen) < most and size <= room:
            room -= size
            similarity = candidate.similarity
            chosen.append(
                Recalled(
                    entry=candidate.entry,
                    score=similarity,
                    similarity=similarity,
                    terms={"dense": similarity},
                    reason=f"similarity {similarity:.2f} to its problem",
                    as_example=True,
                )
            )
    return chosen


def link(main: Sequence[Recalled], known: Mapping[str, MemoryEntry], most: int) -> list[Recalled]:
    """Entries that the main ones link to, in the order of those, at most ``most``."""
    found: dict[str, Recalled] = {}
    taken = {recalled.entry.id for recalled in main}
    for recalled in main:
        for entry_id in recalled.entry.related_to:
            if entry_id in known and entry_id not in taken | found.keys() and len(found) < most:
                found[entry_id] = Recalled(
                    entry=known[entry_id],
                    score=recalled.score,
                    similarity=recalled.similarity,
                    terms={"linked": recalled.score},
                    reason=f"linked from {recalled.entry.id}",
                    linked_from=recalled.entry.id,
                )
    return list(found.values())


def usefulness(entry: MemoryEntry, now: datetime, half_life_days: float) -> float:
    """What experience says for an entry, -1 to 1; 0 when it was never used.

    Lower bound of the share of helpful uses less that of harmful ones, halved with every half-life
    since the entry last changed.
    """
    helped = wilson_lower(entry.helpful, entry.used)
    harmed = wilson_lower(entry.harmful, entry.used)
    days = max((now - entry.updated_at).total_seconds() / 86_400, 0.0)
    return (helped - harmed) * math.exp2(-days / half_life_days)


def wilson_lower(hits: int, total: int, z: float = Z) -> float:
    """Lower bound of a share; 0 when there are no trials."""
    return wilson_bounds(min(hits, total), total, z)[0] if hits > 0 else 0.0


def bm25(
    query: Sequence[str], bags: Sequence[Counter[str]], k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """Okapi BM25 of each document, given as its words, with the documents as the collection."""
    lengths = [sum(bag.values()) for bag in bags]
    average = sum(lengths) / len(lengths) if sum(lengths) else 1.0
    weights: dict[str, float] = {}
    for word in dict.fromkeys(query):
        count = sum(word in bag for bag in bags)
        if count:
            weights[word] = math.log(1 + (len(bags) - count + 0.5) / (count + 0.5))
    scores = []
    for bag, length in zip(bags, lengths, strict=True):
        norm = k1 * (1 - b + b * length / average)
        shared = weights.keys() & bag.keys()
        scores.append(sum(weights[w] * bag[w] * (k1 + 1) / (bag[w] + norm) for w in sorted(shared)))
    return scores


def tokens(text: str) -> list[str]:
    """Words and numbers that carry meaning, in lower case, plurals cut."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]


def _stem(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


@lru_cache(maxsize=4_096)
def _bag(document: str) -> Counter[str]:
    """Words of a document, counted; shared, so never changed."""
    return Counter(tokens(document))


def _repeats(one: Scored, chosen: Sequence[Scored]) -> float:
    return max((_cosine(one.words, other.words) for other in chosen), default=0.0)


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    product = sum(one[word] * other[word] for word in one.keys() & other.keys())
    norms = math.sqrt(sum(c * c for c in one.values()) * sum(c * c for c in other.values()))
    return product / norms if norms else 0.0


def _recalled(one: Scored) -> Recalled:
    terms = {name: round(value, 6) for name, value in one.terms.items()}
    parts = [f"{name} {value:+.3f}" for name, value in terms.items() if value]
    similarity = one.candidate.similarity
    return Recalled(
        entry=one.candidate.entry,
        score=round(sum(terms.values()), 6),
        similarity=similarity,
        terms=terms,
        reason=f"similarity {similarity:.2f}: {', '.join(parts)}",
    )
