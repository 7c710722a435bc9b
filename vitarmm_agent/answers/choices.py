"""Which choice of a multiple-choice problem a text names."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from vitarmm_agent.answers.closed_form import closed_form
from vitarmm_agent.answers.normalise import compound, fold, plain, quantity_of
from vitarmm_agent.numbers.units import conversion

_LETTER = re.compile(
    r"(?:option|choice|answer)?\s*+[\[({]?\s*+(?P<letter>[A-Za-z])\s*+(?:[\])}.:]++(?P<rest>.*)|$)",
    re.IGNORECASE | re.DOTALL,
)


_SENTENCE = re.compile(r"\b(?:is|are|was|not|cannot|and|or|so|but)\b|[(][A-Z][)]", re.IGNORECASE)
MAX_MENTIONS = 200


def letter_of(index: int) -> str:
    """Letter of a choice: 0 is A."""
    return chr(ord("A") + index)


def letter_index(letter: str, count: int) -> int | None:
    """Index of the choice with this letter, or None when there is none."""
    index = ord(letter.upper()) - ord("A")
    return index if 0 <= index < min(count, 26) else None


def choice_index(choices: Sequence[str], text: str) -> int | None:
    """The choice that ``text``, a final answer, names: by its exact text, letter, or value.

    A letter with another choice's text behind it (``(B) 60°`` where 60° is C) is the letter's: the
    letter is what was asked for. Among equal choices the first is meant.
    """
    if len(text) > 1000:
        return None
    exact = _by_text(choices, text)
    if exact is not None:
        return exact
    bare = plain(text)
    match = _LETTER.fullmatch(bare)
    if match and (index := letter_index(match["letter"], len(choices))) is not None:
        rest = (match["rest"] or "").strip()
        if not rest or _by_text(choices, rest) == index:
            return index
        if match["letter"].isupper() and len(rest) <= 60 and not _SENTENCE.search(rest):
            return index
    return _by_value(choices, text if "\\" in text else bare)


def _by_text(choices: Sequence[str], text: str) -> int | None:
    stripped = text.strip()
    for index, choice in enumerate(choices):
        if choice.strip() == stripped and stripped:
            return index
    key = fold(text)
    if len(key) == 1 and key.isalpha() and letter_index(key, len(choices)) is not None:
        return None  # a letter is read as a letter unless it is exactly a choice's text
    keys = [fold(choice) for choice in choices]
    return keys.index(key) if key and key in keys else None


def with_value(choices: Sequence[str], text: str) -> list[int]:
    """Choices with this value: 45 cents is $0.45 and not $45, 9 pm is 9:00 pm.

    A number that lacks its unit has the other's: 45 may be 45 cents, and 5 dozen 5 where none is 60.
    """
    value, time = quantity_of(text), compound(text)
    exact, nearly = [], []
    for index, choice in enumerate(choices):
        other = compound(choice) if time else None
        one, other = (time, other) if other else (value, quantity_of(choice))
        if one is None or other is None:
            continue
        if one.value * (conversion(one.unit, other.unit) or 1) == other.value:
            exact.append(index)
        elif one.value == other.value and not (one.unit and other.unit):
            nearly.append(index)
    return exact or nearly


def _by_value(choices: Sequence[str], text: str) -> int | None:
    if hits := with_value(choices, text):
        return hits[0] if len({fold(choices[i]) for i in hits}) == 1 else None
    number = closed_form(text)
    if number is None:
        return None
    near = [
        i
        for i, choice in enumerate(choices)
        if (other := closed_form(choice)) is not None and math.isclose(other, number, rel_tol=1e-9)
    ]
    return near[0] if len({fold(choices[i]) for i in near}) == 1 else None


def mentioned(choices: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Where choices are named in a running text: ``(position, index)``, in order of position.

    A choice inside a longer one that stands at the same place is not counted (``30`` in ``30.5``,
    ``No`` in ``None``). Only the last 200 are looked at.
    """
    spans: list[tuple[int, int, int]] = []
    lowered = text.casefold()
    seen: set[str] = set()
    for index, choice in enumerate(choices):
        needle = choice.strip().rstrip(".").casefold()
        if not needle or len(needle) > 500 or needle in seen:
            continue
        seen.add(needle)
        left = r"(?<![\w.])" if needle[0].isalnum() else ""
        right = r"(?!\w|[.,]\d)" if needle[-1].isalnum() else ""
        if needle == "no":
            right += r"(?!\s+\w)"  # "no information" is not the answer No
        found = re.finditer(left + re.escape(needle) + right, lowered)
        spans += [(match.start(), match.end(), index) for match in found]
    spans = sorted(spans)[-MAX_MENTIONS:]
    return [
        (start, index)
        for start, end, index in spans
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in spans)
    ]


def covered(choices: Sequence[str], text: str) -> int | None:
    """The one choice all of whose words occur in ``text``, plurals and endings put aside, or None."""
    stems = {_stem(word) for word in _words(text)}
    hits = [
        i
        for i, choice in enumerate(choices)
        if (words := _words(choice)) and all(_stem(word) in stems for word in words)
    ]
    return hits[0] if len(hits) == 1 else None


def _words(text: str) -> list[str]:
    words = re.findall(r"[^\W\d_]{2,}|\d+", text.casefold())
    return [w for w in words if w not in ("the", "an", "of", "in", "will", "would", "be", "may")]


def _stem(word: str) -> str:
    for ending in ("ped", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e")
