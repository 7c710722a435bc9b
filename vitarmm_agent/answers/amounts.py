"""The one number that a sentence or a box gives as its answer.

Several numbers are none: ``20, 30``, "5 or 6", "between 5 and 7". Nor is a part of an expression one: the 2 of
``2π``, ``2√3`` or ``3x``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.denials import CORRECTED, DENIED, DENIED_BEHIND, OPEN, OPEN_BEHIND
from vitarmm_agent.answers.normalise import plain, value_of
from vitarmm_agent.numbers.finding import ALONE
from vitarmm_agent.numbers.reading import (
    AMOUNT,
    SCALE_BEHIND,
    UNSIGNED,
    WORDS,
    fold_digits,
    parse_number,
)
from vitarmm_agent.numbers.units import TOUCHING, unit_name

_AMOUNT = re.compile(
    rf"{ALONE}"
    r"(?P<sign>(?i:minus|negative)\s+|-\s?)?(?:[$€£¥]\s?)?(?P<sign2>-)?"
    rf"(?P<amount>{AMOUNT})"
    rf"(?P<tail>\s*%|{SCALE_BEHIND})?"
)
_OPERAND = re.compile(r"[\d)]\s?$")
_SPOILT_BEFORE = re.compile(r"(?:[<>≤≥≠±√^_]\s?[$€£]?|\d:)$")
_SPOILT_BEHIND = re.compile(
    r"\s?(?:[√π^!]|\\[a-zA-Z])|:\d|\s(?:squared|cubed|to the power)\b"
    r"|\s[b-fi-kn-rt-z](?=\s?(?:[-+*/^=(.]|$))"
)
_CALLED_OUT = re.compile(
    r"(?<=[\d*_])!++(?=[*_]{0,3}\s*+(?:$|[:;][-)D]|[\u2600-\u2794\U0001f300-\U0001faff])|\s++[A-Z][a-z])"
)
_TOUCHING = re.compile(r"[^\W\d_]+")
_ORDINALS = ("st", "nd", "rd", "th")
_OTHER = rf"[-+]?[$€£]?(?:{UNSIGNED})(?:/\d+)?%?"
_NOUN = r"\s?[^\W\d_]{1,20}"
_AND = r"\s?(?:,\s?(?:and|or)\b|[,;&]|\b(?:and|or)\b)\s?"
_ENDS = r"\s?[.!?)*]{0,3}\s?$"
_LARGER = r"(?:hours?|hrs?|minutes?|days?|weeks?|months?|years?|dollars?|pounds?|lbs?|feet|foot|ft|yards?|miles?|km|kg)"
_ANOTHER = re.compile(
    rf"(?:{_NOUN}){{0,2}},?\s(?:or|to|oder|bis|ou|o|u|или|до)\s(?:(?:about|maybe|perhaps|possibly|even)\s)?(?P<other>{_OTHER})"
    rf"|[{TOUCHING}]{{0,3}}?\s?(?:或者?|到|至|から|または|또는|에서|[~～〜])\s?{_OTHER}"
    rf"|\s-\s{_OTHER}{_NOUN}{_ENDS}|-\d{{1,9}}(?![\d.,/-]?\d)|(?:{_AND}{_OTHER}){{1,20}}{_ENDS}"
    rf"|{_NOUN}(?:{_AND}{_OTHER}{_NOUN}){{1,20}}{_ENDS}"
    rf"|\s?{_LARGER}\s(?:and\s)?{_OTHER}{_NOUN}{_ENDS}"
)
_RANGE = re.compile(
    r"\b(?:between|from|zwischen|von|entre|de|desde|tra|fra|między|между|от)\s"
    rf"{_OTHER}(?:{_NOUN}){{0,2}}\s(?:and|to|und|bis|et|à|y|a|e|hasta|i|и|до)\s{_OTHER}",
    re.IGNORECASE,
)
_SPAN = re.compile(r"\d{1,9}[-–—]\d{1,9}")
_ASSIGNED = re.compile(
    rf"=\s?{_OTHER}{_AND}\$?[A-Za-z]\w{{0,3}}\s?=\s?{_OTHER}(?:{_NOUN})?{_ENDS}", re.MULTILINE
)
_STATING = re.compile(
    r"(?:=|≈|\bis|\bare|\bwas|\bwere|\bequals|\bbe)\s*+(?:about|approximately|exactly)?\s*+[^\w\s]?\s*+$"
)
STATING = 60
"""Characters before a number in which a word that states it is looked for."""
_WORD = re.compile(
    rf"\b(?:is|are|was|were|=|has|have)\s+((?:(?:minus|negative)\s+)?(?:{'|'.join(WORDS)}))\b",
    re.IGNORECASE,
)


def read_number(content: str, *, strong: bool = True) -> str | None:
    """The number at the head of what stands behind a marker, or in a box.

    Args:
        content: what stands there.
        strong: it holds nothing but an answer, so that a mark behind a number is a factorial.
    """
    if boxed := latex.boxes(content):
        content, strong = boxed[-1][1], True
    line = content.strip().split("\n")[0] or content.strip()
    if not strong:
        line = called_out(line)
    bare = plain(line)
    if _SPAN.fullmatch(bare) or _ASSIGNED.search(bare):
        return None
    if parse_number(line) is not None:
        return bare
    if "=" in bare and value_of(tail := bare.rsplit("=", 1)[1].strip()) is not None:
        return tail
    if value_of(line) is not None:
        return bare
    return _first_amount(bare) if any(c.isdigit() for c in bare) else _in_words(bare)


def called_out(sentence: str) -> str:
    """A sentence in prose, in which a mark behind its number ends it and is no factorial: ``10! 🎉``."""
    return _CALLED_OUT.sub(".", sentence)


def _first_amount(bare: str) -> str | None:
    folded = fold_digits(bare)
    match = None
    for found in _affirmed(folded):
        if match is not None and not CORRECTED.fullmatch(folded, match.end(), found.start()):
            break
        match = found
    if match is None:
        return _in_words(bare)
    alone = not _spoilt(folded, match) and not _one_of_several(folded, match)
    return _amount_text(match) if alone else None


def _in_words(bare: str) -> str | None:
    words = re.match(r"[A-Za-z-]+(?:\s+[A-Za-z-]+){0,3}", bare)
    for count in range(4, 0, -1) if words else ():
        part = " ".join(words[0].split()[:count])  # type: ignore[index]
        if parse_number(part) is not None:
            return part
    return None


def stated_number(sentence: str) -> str | None:
    """The number a sentence states: behind "is", "are", "=" or "equals", else its last one."""
    bare = plain(sentence)
    folded = fold_digits(bare)
    matches = list(_affirmed(folded))
    stated = [m for m in matches if _STATING.search(folded, max(0, m.start() - STATING), m.start())]
    if not stated and (word := _WORD.search(bare)):
        return word[1]
    if not matches:
        return bare if parse_number(bare) is not None else None
    last = (stated or matches)[-1]
    alone = not _spoilt(folded, last) and not _one_of_several(folded, last)
    if not alone or _ASSIGNED.search(folded) or not stated and gives_several(bare):
        return None
    return _amount_text(last)


def gives_several(bare: str) -> bool:
    """Whether a sentence gives several numbers as its answer, or two between which it is."""
    folded = fold_digits(bare)
    if _ASSIGNED.search(folded):
        return True
    return any(_one_of_several(folded, match) for match in _affirmed(folded))


def _affirmed(folded: str) -> Iterator[re.Match[str]]:
    """Amounts, but for those that are denied."""
    for match in _AMOUNT.finditer(folded):
        if not DENIED.search(folded, max(0, match.start() - 16), match.start()):
            if not DENIED_BEHIND.match(folded, match.end()):
                yield match


def _spoilt(text: str, match: re.Match[str]) -> bool:
    """Whether an amount is a part of an expression or a bound: a letter that is no unit touches it, or a sign."""
    if _SPOILT_BEFORE.search(text, max(0, match.start() - 3), match.start()):
        return True
    if OPEN.search(text, max(0, match.start() - 24), match.start()):
        return True
    if OPEN_BEHIND.match(text, match.end()):
        return True
    word = _TOUCHING.match(text, match.end())
    if word and not match["tail"]:
        known = unit_name(word[0]) or word[0] in _ORDINALS or re.match(f"[{TOUCHING}]", word[0])
        return not known and len(word[0]) < 4
    return bool(_SPOILT_BEHIND.match(text, match.end()))


def _one_of_several(text: str, match: re.Match[str]) -> bool:
    if another := _ANOTHER.match(text, match.end()):
        one, other = parse_number(_amount_text(match)), parse_number(another["other"] or "")
        return (
            one is None or other is None or other not in (one, 100 * one, one / 100)
        )  # 0.3 or 30%
    near = _RANGE.search(text, max(0, match.start() - 10), match.end() + 80)
    return near is not None and near.start() <= match.start()


def _amount_text(match: re.Match[str]) -> str:
    signed = match["sign"] or match["sign2"]
    if signed and _OPERAND.search(match.string, max(0, match.start() - 2), match.start()):
        signed = None  # 10 - 5
    return f"{'-' if signed else ''}{match['amount']}{match['tail'] or ''}".strip()
