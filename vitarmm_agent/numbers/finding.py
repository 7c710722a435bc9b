"""The numbers of a running text: in digits, as fractions and in English words.

A number is read whole: ``5`` is neither in ``15`` nor in ``0.5`` nor in ``x5``, ``three quarters`` is
no three, ordinals ("the 5th") are none. Letters of scripts that put no space there may stand beside it
(``共72个``). What is found is bounded as in :mod:`~vitarmm_agent.numbers.reading`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from vitarmm_agent.numbers.reading import (
    PARTS,
    SCALE_BEHIND,
    SCALES,
    UNSIGNED,
    VULGAR,
    WORDS,
    fold_characters,
    literal,
    scale_of,
    words_value,
)
from vitarmm_agent.numbers.units import TOUCHING

_HANDY = {
    "half": Fraction(1, 2),
    "third": Fraction(1, 3), "quarter": Fraction(1, 4), "twice": Fraction(2),
    "double": Fraction(2), "triple": Fraction(3), "dozen": Fraction(12),
}  # fmt: skip

ALONE = rf"(?<![^\W{TOUCHING}])(?<!\.)"
"""Before a number stands no letter, but for those that no space parts from it."""
_SCALE = "|".join(SCALES)
_BELOW_20 = "|".join(sorted((w for w, v in WORDS.items() if v < 20), key=len, reverse=True))
_TENS = "|".join(w for w, v in WORDS.items() if v >= 20)
_ONES = "|".join(w for w, v in WORDS.items() if 0 < v < 10)
_BELOW_100 = rf"(?:(?:{_TENS})(?:[\s-]+(?:{_ONES})\b)?|(?:{_BELOW_20})\b)"
_BELOW_1000 = rf"{_BELOW_100}(?:[\s-]+hundred(?:\s+(?:and\s+)?{_BELOW_100})?)?"
_DIGITS = (
    rf"{ALONE}(?<![,/])(?:(?P<whole>\d+)\s+)?"
    r"(?P<top>\d+)\s*/\s*(?P<bottom>0*[1-9]\d*)(?![\w/]|[.,]\d)"
    rf"|(?:(?P<mixed>{ALONE}\d+)\s?)?(?P<vulgar>[{''.join(VULGAR)}])"
    rf"|{ALONE}(?P<base>{UNSIGNED})(?!\d)(?P<scale>{SCALE_BEHIND})?"
    r"(?![A-Za-z]*\d|(?:st|nd|rd|th)\b)"
)
_WORDS = (
    rf"|\b(?P<count>{_BELOW_20})[\s-]+(?P<part>{'|'.join(PARTS)})s?\b"
    rf"|\b(?P<words>{_BELOW_1000}(?:[\s-]+(?:{_SCALE})(?:,?\s+(?:and\s+)?{_BELOW_1000})?)*)"
    rf"|(?<=\ba )(?P<one>{_SCALE})\b"
)
_LOOSE = rf"|\b(?P<handy>{'|'.join(_HANDY)}|{_SCALE})\b"
_PERCENT = re.compile(r"\s?(?:%|per\s?cent\b)", re.IGNORECASE)


# Compiling them takes as long as importing a small library: each when it is first used.
@cache
def _in_digits() -> re.Pattern[str]:
    return re.compile(_DIGITS, re.IGNORECASE)


@cache
def _in_both() -> re.Pattern[str]:
    return re.compile(_DIGITS + _WORDS, re.IGNORECASE)


@cache
def _loosely() -> re.Pattern[str]:
    return re.compile(_DIGITS + _WORDS + _LOOSE, re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A number where it stands.

    Attributes:
        start: where it begins, its sign left out.
        end: where it ends, percent sign and unit left out.
        value: with its sign. ``50%`` is 50.
        percent: a percent sign or the word stands behind it.
        parts: of a fraction, the numbers it is made of.
        spelled: it is written in words.
    """

    start: int
    end: int
    value: Fraction
    percent: bool = False
    parts: tuple[Fraction, ...] = ()
    spelled: bool = False


def numbers_in(text: str, *, words: bool = True, loose: bool = False) -> Iterator[Found]:
    """Numbers of a text in order, none inside another.

    Args:
        text: any text. Digits of all scripts are read.
        words: read numbers in English words too.
        loose: and words that hold a number: ``half``, ``twice``, ``dozen``, ``hundred``.
    """
    folded = fold_characters(text)
    find = _loosely() if loose else _in_both() if words else _in_digits()
    for match in find.finditer(folded):
        read = _value(match)
        if read is not None:
            value, parts = read
            yield Found(
                match.start(),
                match.end(),
                -value if _negative(folded, match.start()) else value,
                bool(_PERCENT.match(folded, match.end())),
                parts,
                spelled=match[0][0].isalpha(),
            )


def replace_numbers(text: str, new: Callable[[Found], str | None], *, words: bool = True) -> str:
    """``text`` with what ``new`` says in place of each number; None leaves it as it is."""
    parts, at = [], 0
    for found in numbers_in(text, words=words):
        replacement = new(found)
        if replacement is not None:
            parts += [text[at : found.start], replacement]
            at = found.end
    return "".join([*parts, text[at:]])


def _value(match: re.Match[str]) -> tuple[Fraction, tuple[Fraction, ...]] | None:
    """The unsigned value, and of a fraction its parts."""
    groups = match.groupdict()
    if match["top"]:
        written = [match[name] for name in ("whole", "top", "bottom") if match[name]]
        parts = tuple(part for text in written if (part := literal(text)) is not None)
        if len(parts) < len(written):
            return None
        return sum(parts[:-2], parts[-2] / parts[-1]), parts
    if match["base"]:
        value = literal(match["base"])
        scale = scale_of(match["scale"]) if match["scale"] else 1
        return None if value is None else (value * scale, ())
    if match["vulgar"]:
        whole = literal(match["mixed"] or "0")
        return None if whole is None else (whole + VULGAR[match["vulgar"]], ())
    if groups.get("count"):
        top, bottom = Fraction(WORDS[match["count"].lower()]), PARTS[match["part"].lower()]
        return top / bottom, (top,)
    if groups.get("handy"):
        word = match["handy"].lower()
        return _HANDY.get(word) or Fraction(SCALES[word]), ()
    value = words_value(match[0])
    return None if value is None else (value, ())


def _negative(text: str, start: int) -> bool:
    """A minus is a sign where no operand stands before it: in ``is -3``, not in ``x-3``."""
    at = start - 1 if text[start - 1 : start] in tuple("$€£¥") else start
    if text[at - 1 : at] != "-":
        return False
    before = text[max(0, at - 30) : at - 1]
    bare = before.rstrip()
    if not bare or not (bare[-1].isalnum() or bare[-1] in "_)%]"):
        return True
    return bare != before and bare[-2:].isalpha() and len(bare) > 1
