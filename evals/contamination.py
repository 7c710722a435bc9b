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
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vitarmm_agent.numbers.finding import replace_numbers
from vitarmm_agent.numbers.reading import SCALES, WORDS
from vitarmm_agent.problem import Problem
from vitarmm_agent.rmm.audit import folded, own_texts

THRESHOLD = 0.75
"""Default bound: see ``docs/benchmarks.md`` for what lies above it."""
SHORT = 8
SHINGLE = 3
CANDIDATE = 0.3
"""Candidates have at least this share of the bound as Jaccard similarity of triples."""
SURROGATES = range(0xD800, 0xE000)
"""Numbers that are no characters."""
_WORD = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*|[+*/=^<>%$-]")
_NUMBER = "#"
_NUMBER_WORDS = frozenset(WORDS) | frozenset(SCALES)


@dataclass(frozen=True)
class _Text:
    words: tuple[str, ...]
    images: frozenset[str]

    def shingles(self) -> set[tuple[str, ...]]:
        """All runs of :data:`SHINGLE` words; of fewer words, the one there is."""
        runs = max(1, len(self.words) - SHINGLE + 1)
        return {self.words[i : i + SHINGLE] for i in range(runs)}


@dataclass(frozen=True)
class _Group:
    """Problems that are the same once their numbers are masked."""

    text: _Text
    problems: list[Problem] = field(default_factory=list)


Near = list[tuple[list[Problem], float]]
"""Source problems that are alike, and their similarity; from the first known to the last."""


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
    found = [
        (source.id, test.id, similarity)
        for asked, near in _matches(sources, tests, threshold)
        for alike, similarity in near
        for source in alike
        for test in asked
    ]
    return sorted(found, key=lambda pair: (-pair[2], pair[0], pair[1]))


def near_sources(
    sources: Sequence[Problem], tests: Sequence[Problem], *, threshold: float = THRESHOLD
) -> set[str]:
    """Ids of the sources in :func:`near_duplicates`, without a list of all pairs."""
    return {
        source.id
        for _, near in _matches(sources, tests, threshold)
        for alike, _ in near
        for source in alike
    }


def families(
    problems: Sequence[Problem], *, threshold: float = THRESHOLD
) -> dict[str, frozenset[str]]:
    """By problem id, the ids of those it nearly equals, its own among them; none of a lone one.

    Equal sets are one object, so that thousands of problems of one template take little memory.
    """
    sets: dict[frozenset[str], frozenset[str]] = {}
    found: dict[str, frozenset[str]] = {}
    for asked, near in _matches(problems, problems, threshold):
        ids = frozenset(problem.id for alike, _ in near for problem in alike)
        if len(ids) < 2:
            continue
        family = sets.setdefault(ids, ids)
        for problem in asked:
            earlier = found.setdefault(problem.id, family)
            if earlier is not family:
                found[problem.id] = sets.setdefault(earlier | family, earlier | family)
    return found


def copies(problems: Sequence[Problem]) -> dict[str, frozenset[str]]:
    """By problem id, the ids of those that ask the same; none of a lone one.

    The same are those of the same words in order, numbers by their value (``1,000`` is ``1000.0``, ``three``
    is ``3``), with the same choices and images; case, spaces and punctuation do not count.
    """
    found: dict[_Text, set[str]] = defaultdict(set)
    for problem in problems:
        words = [word for part in own_texts(problem) for word in _words(_by_value(part))]
        found[_Text(tuple(words), _images(problem))].add(problem.id)
    return {id: frozenset(ids) for ids in found.values() if len(ids) > 1 for id in ids}


def _matches(
    sources: Sequence[Problem], tests: Sequence[Problem], threshold: float
) -> Iterator[tuple[list[Problem], Near]]:
    """For test problems that are alike, the sources that are near them."""
    import numpy as np
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist

    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold!r}")
    known, codes = _grouped(sources), dict[str, str]()
    if not known:
        return
    candidates = _candidates([group.text for group in known], threshold * CANDIDATE)
    encoded = [_encoded(group.text, codes) for group in known]
    twins = _by_fingerprint(known)
    for asked in known if tests is sources else _grouped(tests):
        numbers = candidates(asked.text)
        similar = cdist(
            [_encoded(asked.text, codes)],
            [encoded[number] for number in numbers],
            scorer=Indel.normalized_similarity,
            score_cutoff=threshold,
            dtype=np.float64,
        )[0].tolist()
        near, same = [], set[int]()
        for problem in asked.problems:
            same |= twins.get(problem.fingerprint, set())
        for number, similarity in zip(numbers, similar, strict=True):
            group = known[number]
            if _other_pictures(group.text, asked.text):
                similarity = 0.0
            if number in same and similarity < 1:
                yield from _one_by_one(asked, group, similarity, threshold)
            elif similarity >= threshold:
                near.append((group.problems, similarity))
        yield asked.problems, near


def _one_by_one(
    asked: _Group, group: _Group, similarity: float, threshold: float
) -> Iterator[tuple[list[Problem], Near]]:
    """Of two groups, those that are byte for byte the same but for what their question is."""
    for problem in asked.problems:
        for source in group.problems:
            score = 1.0 if source.fingerprint == problem.fingerprint else similarity
            if score >= threshold:
                yield [problem], [([source], score)]


def _grouped(problems: Sequence[Problem]) -> list[_Group]:
    groups: dict[_Text, _Group] = {}
    for problem in problems:
        text = _text_of(problem)
        groups.setdefault(text, _Group(text)).problems.append(problem)
    return list(groups.values())


def _by_fingerprint(groups: Sequence[_Group]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for number, group in enumerate(groups):
        for problem in group.problems:
            found[problem.fingerprint].add(number)
    return found


def _other_pictures(one: _Text, other: _Text) -> bool:
    return bool(one.images and other.images and one.images.isdisjoint(other.images))


def _encoded(text: _Text, codes: dict[str, str]) -> str:
    """The words as characters, one for each, which rapidfuzz compares many at a time."""
    for word in text.words:
        if word not in codes:
            number = len(codes)
            codes[word] = chr(number if number < SURROGATES.start else number + len(SURROGATES))
    return "".join(map(codes.__getitem__, text.words))


def _candidates(known: Sequence[_Text], bound: float) -> Callable[[_Text], list[int]]:
    """A function that gives the numbers of those texts whose triples are alike enough."""
    import numpy as np

    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes = np.zeros(len(known), dtype=np.int64)
    for number, text in enumerate(known):
        shingles = text.shingles()
        sizes[number] = len(shingles)
        for shingle in shingles:
            index[shingle].append(number)
    places = {shingle: np.array(numbers) for shingle, numbers in index.items()}

    def of(text: _Text) -> list[int]:
        shingles = text.shingles()
        shared = [places[shingle] for shingle in shingles if shingle in places]
        if not shared:
            return []
        counts = np.bincount(np.concatenate(shared), minlength=len(known))
        enough = (counts > 0) & (counts >= bound * (len(shingles) + sizes - counts))
        numbers: list[int] = np.flatnonzero(enough).tolist()
        return numbers

    return of


def _text_of(problem: Problem) -> _Text:
    words = [word for part in own_texts(problem) for word in _words(part)]
    if len(words) >= SHORT:
        words = [_NUMBER if w[0].isdigit() or w in _NUMBER_WORDS else w for w in words]
    return _Text(tuple(words), _images(problem))


def _images(problem: Problem) -> frozenset[str]:
    return frozenset(image.sha256 or image.source for image in problem.images)


def _by_value(text: str) -> str:
    """Numbers, in digits or words, as one way to write them."""
    return replace_numbers(text, lambda found: str(abs(found.value)))


def _words(text: str) -> list[str]:
    return _WORD.findall(folded(text).casefold())
