"""The numbers of a question: which of them may be others, and which must stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from vitarmm_agent.numbers.finding import Found, numbers_in

HUNDRED = Fraction(100)

POINTS = re.compile(r"\b(?:the|both|all|these|those|of|other|first|last|next)\s*$", re.IGNORECASE)
_UNITS = (
    r"(?:hours?|days?|weeks?|months?|years?|minutes?|seconds?|dollars?|cents?|miles?|feet|foot"
    r"|inch(?:es)?|pounds?|ounces?|meters?|kilometers?|gallons?|cups?|times)"
)
_COUNTED = (
    r"(?:brothers?|sisters?|siblings?|friends?|people|persons?|kids?|children|sons?|daughters?|types?"
    r"|kinds?|sorts?|different|colou?rs?|sizes?|varieties|flavou?rs?|categories|sections|parts"
    r"|members?|girls|boys|men|women|students|cousins?|of (?:them|us|his|her|their|the)|others?"
    r"|teams?|classes|stages|rounds?|levels?|trips?|ways)"
)
_KNOWLEDGE = re.compile(
    r"[\s-]*(?:legs?|wheels?|eyes?|ears?|arms?|hands?|wings?|tires?|sides?|corners?|fingers?|toes?"
    r"|paws?|seasons?|dice|suits?|degrees?|faces|halves|half|quarters?|thirds?|fourths?|fifths?"
    r"|tenths?|hundreds?|thousands?|millions?|billions?|dozens?|and (?:a|one)[ -](?:half|quarter|third)"
    r"|[½¼¾]|\d+/\d|o'?clock|a\.?m\b|p\.?m\b|:\d|st\b|nd\b|rd\b|th\b|'s\b"
    r"|percent(?:age)? points?|years? olds? (?:is|are)|-?by-)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:\d:|grade|room|chapter|page|number|no\.?|level|day|week|year|size|route|highway|flight"
    r"|channel|at|until|since|in|#|january|february|march|april|may|june|july|august|september"
    r"|october|november|december)\s*$",
    re.IGNORECASE,
)
_CONVERSIONS = {
    60: "minute second", 24: "hour", 7: "day", 12: "month inch", 3: "feet", 365: "day", 52: "week",
    100: "cent centimeter cm penn", 16: "ounce", 1000: "gram meter milliliter liter pound", 36: "inch",
    5280: "feet", 30: "day", 31: "day", 28: "day", 4: "week quart season", 2000: "pound", 10: "millimeter",
    180: "degree", 360: "degree", 90: "degree", 5: "weekday school",
}  # fmt: skip
_DEFINED = re.compile(
    r"\b(?:in|make|makes|equals?|equal to|is|are|has|have|per|=|a|an|one|each|every|1)\b", re.I
)
_OF_EACH = r"(?:(?:of|in|out of) )?(?:a|an|per|each|every|the|one|this|last|next|that|first)\b ?"
_LIMITS = tuple(
    (re.compile(rf"[\s-]*(?:\w+ ){{0,2}}{words}", re.I), Fraction(most))
    for words, most in (
        (rf"days? {_OF_EACH}week", 7),
        (rf"days? {_OF_EACH}month", 28),
        (rf"hours? {_OF_EACH}(?:day|night|evening|morning)", 16),
        (r"hours? (?:on|of|for|at) ", 24),
        (rf"minutes? {_OF_EACH}hour", 60),
        (rf"weeks? {_OF_EACH}month", 4),
        (rf"weeks? {_OF_EACH}year", 52),
        (rf"months? {_OF_EACH}year", 12),
        (r"years? old|-year-old", 99),
    )
)
_ENUMERATES = re.compile(
    r"\b(?:first|second|third|fourth|other|another|last|former|latter|respectively|one of)\b", re.I
)
_LIST = re.compile(r"[A-Z]\w+(?:, (?:and )?[A-Z]\w+)*,? and [A-Z]\w+")


@dataclass(frozen=True)
class Asked:
    """A number of the question, at all the places where it stands.

    Attributes:
        percent: it is a percentage.
        places: in the question, in order.
        fixed: why it must stay as it is, or empty.
        most: the largest value that makes sense, or None.
    """

    value: Fraction
    percent: bool
    places: tuple[Found, ...]
    fixed: str = ""
    most: Fraction | None = None


_POINTS_BACK = re.compile(
    r"\b(?:the|both|all|these|those|other|first|last|next|past|previous)\s*$", re.IGNORECASE
)
_AVERAGE = re.compile(r"\b(?:average\w*|mean|median)\b", re.IGNORECASE)


def asked_in(question: str) -> tuple[Asked, ...]:
    """The numbers of a question, each value once, and which of them must stay."""
    groups: dict[tuple[Fraction, bool], list[Found]] = {}
    for found in numbers_in(question):
        groups.setdefault((abs(found.value), found.percent), []).append(found)
    asked = []
    for (value, percent), places in groups.items():
        reasons = [_fixed(question, found) for found in places]
        why = next(filter(None, reasons), "")
        pointed = any(_POINTS_BACK.search(question, 0, found.start) for found in places)
        if not why and value <= 6 and pointed:
            why = "points back"
        if not why and value <= 12 and not percent and _AVERAGE.search(question):
            why = "may count what is averaged"
        limits = [most for f in places for words, most in _LIMITS if words.match(question, f.end)]
        if percent and value <= HUNDRED:
            limits.append(HUNDRED)
        asked.append(Asked(value, percent, tuple(places), why, min(limits, default=None)))
    return tuple(asked)


def _fixed(question: str, found: Found) -> str:
    """Why a number of the question must stay as it is, or nothing."""
    value, after = found.value, question[found.end :]
    text = question[found.start : found.end]
    before = question[: found.start]
    if value <= 1 or found.parts or value.denominator > 100:
        return "is one, a fraction, or negative"
    if not text.isascii() or (text[0].isdigit() and text[-1].isalpha()):
        return "is written with a word"
    if _KNOWLEDGE.match(after):
        return "is known, or part of a larger expression"
    if re.search(r"[\d.,:/]$|[A-Za-z]-$|\d\s*[-–]\s*$", before) or re.match(
        r"[:/]\d|\s*[-–]\s*\d", after
    ):
        return "is part of a larger expression"
    if 1900 <= value <= 2100 and "," not in text and value.denominator == 1:
        if not before.rstrip().endswith("$") and not re.match(r"\s*[a-z]", after[:2]):
            return "is a year"
    if (named := _BEFORE.search(before)) and not re.match(rf"[\s-]*{_UNITS}", after):
        name = named[0].strip().lower()
        if name not in ("in", "at", "may", "march") or not re.match(r"\s*[a-z$%]", after):
            return "is a name or a date"
    unit = re.match(r"[\s-]*([a-z]+)", after, re.IGNORECASE)
    if unit and value.denominator == 1:
        for word in _CONVERSIONS.get(int(value), "").split():
            if unit[1].lower().startswith(word) and (
                _DEFINED.search(after[: unit.end() + 24]) or _DEFINED.search(before[-12:])
            ):
                return "may be a conversion of units"
    return _counts(question, found)


def _counts(question: str, found: Found) -> str:
    """Whether a small number counts what the text then goes through one by one."""
    after = question[found.end :]
    if found.value > 6 or re.match(rf"[\s-]*{_UNITS}", after):
        return ""
    sentence = re.split(r"(?<=[.!?])\s", after, maxsplit=1)[0]
    if (
        ":" in sentence
        or re.match(rf"\s*(?:\w+ )?{_COUNTED}\b", after)
        and (found.value <= 3 or _LIST.search(question))
    ):
        return "counts what is named"
    if found.value <= 4 and _ENUMERATES.search(question):
        return "counts what is gone through"
    if found.spelled and found.value <= 2:
        return "counts two"
    return ""


def fraction_parts(question: str) -> Iterator[Fraction]:
    """What the fractions of a question bring into a calculation."""
    for found in numbers_in(question, loose=True):
        if found.parts or (found.spelled and found.value.denominator > 1):
            share = found.value
            yield from (share, Fraction(share.numerator), Fraction(share.denominator))
            if 0 < share < 1:
                yield from (1 - share, Fraction(share.denominator - share.numerator), 1 + share)
