"""Near-duplicates between the problems that memory learns from and those it is tested on.

Two problems are compared word by word with their numbers masked: the same template with other
numbers counts as near, since a lesson or a solution carries over from it. Texts of fewer than
:data:`SHORT` words keep their numbers, or every "What is 3 + 4?" would be every other. Problems that
both have images, none of them in common, are never near: what differs is in the picture.

Candidates are pairs that share word triples (inverted index), weighed by Jaccard similarity; each is
then measured by the share of words in the same order (Indel similarity: twice the longest common
subsequence over the sum of lengths), which a changed name lowers by one word rather than by three
triples.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vitarmm_agent.answers.numbers import SCALES, WORDS, fold_digits
from vitarmm_agent.problem import Problem

THRESHOLD = 0.75
"""Default bound: see ``docs/benchmarks.md`` for what lies above it."""
SHORT = 8
SHINGLE = 3
CANDIDATE = 0.3
"""Candidates have at least this share of the bound as Jaccard similarity of triples."""
_WORD = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*|[+*/=^<>%$-]")
_NUMBER = "#"
_NUMBER_WORDS = frozenset(WORDS) | frozenset(SCALES)


@dataclass(frozen=True)
class _Text:
    words: tuple[str, ...]
    shingles: frozenset[tuple[str, ...]]
    images: frozenset[str]
    fingerprint: str


def near_duplicates(
    sources: Sequence[Problem], tests: Sequence[Problem], *, threshold: float = THRESHOLD
) -> list[tuple[str, str, float]]:
    """Pairs of a source and a test problem that are the same or nearly so.

    Args:
        sources: problems that memory, or training, learns from.
        tests: problems to be tested on.
        threshold: from which similarity, 0 to 1, a pair is reported.

    Returns:
        ``(source id, test id, similarity)``, the most similar first; 1.0 for equal words, and for
        equal fingerprints (text, images and choices byte for byte).

    Raises:
        ValueError: the threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold!r}")
    known = [_text_of(problem) for problem in sources]
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, text in enumerate(known):
        for shingle in text.shingles:
            index[shingle].append(number)
    found: list[tuple[str, str, float]] = []
    for problem in tests:
        text = _text_of(problem)
        for number in _candidates(text, known, index, threshold * CANDIDATE):
            similarity = _similarity(known[number], text, threshold)
            if similarity >= threshold:
                found.append((sources[number].id, problem.id, similarity))
    return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def _candidates(
    text: _Text,
    known: Sequence[_Text],
    index: dict[tuple[str, ...], list[int]],
    bound: float,
) -> Iterable[int]:
    shared: Counter[int] = Counter()
    for shingle in text.shingles:
        shared.update(index.get(shingle, ()))
    size = len(text.shingles)
    for number, count in shared.items():
        if count >= bound * (size + len(known[number].shingles) - count):
            yield number


def _similarity(source: _Text, test: _Text, threshold: float) -> float:
    from rapidfuzz.distance import Indel

    if source.fingerprint == test.fingerprint:
        return 1.0
    if source.images and test.images and source.images.isdisjoint(test.images):
        return 0.0
    return Indel.normalized_similarity(source.words, test.words, score_cutoff=threshold)


def _text_of(problem: Problem) -> _Text:
    """What is compared: the question itself where a benchmark's fixed text surrounds it."""
    question = problem.metadata.get("question")
    options = problem.metadata.get("options")
    choices = [str(o) for o in options] if isinstance(options, list) else list(problem.choices)
    parts = [question if isinstance(question, str) else problem.text, *choices]
    words = [word for part in parts for word in _words(part)]
    if len(words) >= SHORT:
        words = [_NUMBER if w[0].isdigit() or w in _NUMBER_WORDS else w for w in words]
    runs = max(1, len(words) - SHINGLE + 1)
    return _Text(
        tuple(words),
        frozenset(tuple(words[i : i + SHINGLE]) for i in range(runs)),
        frozenset(image.sha256 or image.source for image in problem.images),
        problem.fingerprint,
    )


def _words(text: str) -> list[str]:
    text = fold_digits(unicodedata.normalize("NFKC", text)).replace("’", "'")
    return _WORD.findall(text.casefold())
