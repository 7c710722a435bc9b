"""Which choice of a multiple-choice problem a text names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitarmm_agent.answers.normalise import fold, plain, value_of

_LETTER = re.compile(
    r"(?:option|choice|answer)?\s*[\[({]?\s*(?P<letter>[A-Za-z])\s*(?:[\])}.:]+(?P<rest>.*)|$)",
    re.IGNORECASE | re.DOTALL,
)


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
        if not rest or match["letter"].isupper() or _by_text(choices, rest) == index:
            return index
    return _by_value(choices, bare)


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


def _by_value(choices: Sequence[str], text: str) -> int | None:
    value = value_of(text)
    if value is None:
        return None
    hits = [i for i, choice in enumerate(choices) if value_of(choice) == value]
    return hits[0] if len({fold(choices[i]) for i in hits}) == 1 else None


def mentioned(choices: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Where choices are named in a running text: ``(position, index)``, in order of position.

    A choice inside a longer one that stands at the same place is not counted (``30`` in ``30.5``,
    ``No`` in ``None``).
    """
    spans: list[tuple[int, int, int]] = []
    lowered = text.casefold()
    for index, choice in enumerate(choices):
        needle = choice.strip().casefold()
        if (
            not needle
            or len(needle) > 500
            or needle in [choices[s[2]].strip().casefold() for s in spans]
        ):
            continue
        left = r"(?<![\w.])" if needle[0].isalnum() else ""
        right = r"(?!\w|[.,]\d)" if needle[-1].isalnum() else ""
        for match in re.finditer(left + re.escape(needle) + right, lowered):
            spans.append((match.start(), match.end(), index))
    kept = [
        (start, index)
        for start, end, index in spans
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in spans)
    ]
    return sorted(kept)
