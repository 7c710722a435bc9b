"""Answers made of several: sets, lists, tuples, intervals and their unions, matrices, ratios.

Two of them are the same when they are of one kind and their items are. Where two readings are honest, the
narrower one is taken: a plain list has an order, ``(0, 1)`` is not ``[0, 1]``, a row is no column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.mathematics import DOTS

Same = Callable[[str, str], bool]

MAX_TEXT = 2_000
MAX_ITEMS = 200
MAX_DEPTH = 8
_UNION, _MATRIX, _RATIO, _BARE = "∪", "[;]", ":", ""
_BRACKETS = ("{}", "[]", "()", "<>", "[)", "(]")
_LEFT, _RIGHT = "⟅", "⟆"
"""Stand for the braces of a set, while those of LaTeX's groups are dropped."""

_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-z])\s?")
_BRACES = re.compile(r"\\(?:lbrace(?![a-z])|rbrace(?![a-z])|[{}])\s?")
_ANGLES = re.compile(r"\\(?:langle|rangle)(?![a-z])\s?")
_LABEL = re.compile(
    r"\(?\s?[A-Za-z]\w{0,3}(?:\s?,\s?[A-Za-z]\w{0,3}){0,9}\s?\)?\s?(?:=|∈|\\in\b)\s?(?=[\[({\]\\])"
)
_CUP = re.compile(r"\s?(?:∪|\\cup(?![a-z]))\s?")
_SPACED = re.compile(r",(?=\s)")
_ITEM_ENDS = re.compile(r"[,\n、]")
_ROW_ENDS = re.compile(";")
_JOINED = re.compile(r"(?:,\s)?\b(?P<word>and|or)\b")
_RELATION = re.compile(r"[<>≤≥±]|\\(?:pm|le|ge|lt|gt|leq|geq|neq|ne)(?![a-z])")


class Structure(NamedTuple):
    """An answer made of items, which are answers themselves.

    Attributes:
        kind: its brackets, or what parts its items when there are none.
        items: as they are written; of a matrix, its rows.
        unordered: the order of the items says nothing.
    """

    kind: str
    items: tuple[str, ...]
    unordered: bool = False

    @property
    def bracketed(self) -> bool:
        """Whether it shows where it ends."""
        return self.kind not in (_BARE, _RATIO)


def same_structure(a: str, b: str, same: Same) -> bool | None:
    """Whether two answers made of several are the same; None when neither is one, or others must say.

    Args:
        a: an answer.
        b: another.
        same: compares two items.
    """
    first, second = structure_of(a), structure_of(b)
    if first is not None and second is not None:
        return _same(first, second, same)
    one, other = (first, b) if first is not None else (second, a)
    if one is None or one.kind == "||" or _RELATION.search(other):
        return None
    return one.kind == "{}" and len(one.items) == 1 and same(one.items[0], other)


def structure_of(text: str) -> Structure | None:
    """The items of ``text`` and what they make up; None when it is a single answer."""
    if len(text) > MAX_TEXT:
        return None
    text = _SIZES.sub("", text.replace("$", "")).strip(" \t\n.*`")
    if label := _LABEL.match(text):
        text = text[label.end() :]
    text = _BRACES.sub(lambda m: _LEFT if m[0][1] in "l{" else _RIGHT, text)
    text = _ANGLES.sub(lambda m: "<" if m[0][1] == "l" else ">", text)
    if text[:1] == "{" and text[-1:] == "}":  # braces of plain text, which LaTeX drops
        text = f"{_LEFT}{text[1:-1]}{_RIGHT}"
    if 1 < len(parts := _CUP.split(text)) <= MAX_ITEMS:
        return Structure(_UNION, tuple(map(_braced, parts)), unordered=True)
    text = _braced(latex.to_plain(text)).strip()
    return None if _deep(text) else _bracketed(text) or _bare(text)


def _braced(text: str) -> str:
    return text.replace(_LEFT, "{").replace(_RIGHT, "}")


def _deep(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in "[({") - (character in "])}")
        if depth > MAX_DEPTH:
            return True
    return False


def _bracketed(text: str) -> Structure | None:
    if len(text) < 3:
        return None
    opening, inside, closing = text[0], text[1:-1], text[-1]
    if opening == closing == "|" and ("," in inside or ";" in inside):
        return Structure("||", _split(inside, _ROW_ENDS))
    if opening == "]" or closing == "[":  # ]0, 1[ as it is written in France
        opening, closing = opening.replace("]", "("), closing.replace("[", ")")
    if opening + closing not in _BRACKETS or not _closed_at_the_end(inside):
        return None
    items = _items(inside)
    if items is None:
        return None
    if opening + closing == "[]":
        if ";" in inside:
            return Structure(_MATRIX, items)
        rows = [_bracketed(item) for item in items]
        if all(row is not None and row.kind == "[]" for row in rows):
            return Structure(_MATRIX, tuple(", ".join(row.items) for row in rows if row))
    if len(items) == 1 and opening != "{" or len(items) != 2 and opening + closing in ("[)", "(]"):
        return None
    return Structure(opening + closing, items, unordered=opening == "{")


def _closed_at_the_end(inside: str) -> bool:
    """Whether no bracket between the first and the last character closes the first."""
    depth = 0
    for character in inside:
        depth += (character in "[({") - (character in "])}")
        if depth < 0:
            return False
    return depth == 0


def _bare(text: str) -> Structure | None:
    words = {match["word"] for match in _JOINED.finditer(text)}
    items = _items(re.sub(r",\s*,", ",", _JOINED.sub(", ", text)) if words else text)
    if items is not None and len(items) > 1:
        return Structure(_BARE, items, unordered=words == {"or"})
    parts = tuple(part.strip() for part in text.split(":"))
    if 1 < len(parts) <= MAX_ITEMS and all(part and " " not in part for part in parts):
        return Structure(_RATIO, parts)
    return None


def _items(text: str) -> tuple[str, ...] | None:
    """Items of an enumeration; None when one of them is empty.

    Where semicolons or commas with a space part the items, a comma without one belongs to a number.
    """
    spaced = _SPACED if _SPACED.search(text) else _ITEM_ENDS
    items = _split(text, _ROW_ENDS if ";" in text else spaced)
    return items if all(items) and len(items) <= MAX_ITEMS else None


def _split(text: str, mark: re.Pattern[str]) -> tuple[str, ...]:
    """Parts between the marks that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "[({") - (character in "])}")
        if depth <= 0 and mark.match(text, index):
            parts.append(text[start:index].strip())
            start = index + 1
    return (*parts, text[start:].strip())


def _same(a: Structure, b: Structure, same: Same) -> bool:
    if a.kind == b.kind == "{}":
        return _matched(a.items, b.items, same)
    if len(a.items) != len(b.items) or not _comparable(a, b):
        return False
    if a.kind in (_MATRIX, "||"):
        rows = [
            (_split(x, _ITEM_ENDS), _split(y, _ITEM_ENDS))
            for x, y in zip(a.items, b.items, strict=True)
        ]
        return all(len(x) == len(y) and all(map(same, x, y)) for x, y in rows)
    if all(_same_item(x, y, same) for x, y in zip(a.items, b.items, strict=True)):
        return True
    return (
        a.unordered and b.unordered or _BARE in (a.kind, b.kind) and (a.unordered or b.unordered)
    ) and (_matched(a.items, b.items, same))


def _comparable(a: Structure, b: Structure) -> bool:
    """Whether two kinds may be the same: a plain list may be a set, a list or a tuple."""
    kinds = {a.kind, b.kind}
    if len(kinds) == 1:
        return True
    if _BARE in kinds:
        return bool(kinds & {"{}", "[]", "()"})
    return (
        kinds in ({"[]", "()"}, {"[]", "{}"}, {"<>", "()"}) and len(a.items) > 2
    )  # two might be an interval's ends


def _same_item(a: str, b: str, same: Same) -> bool:
    left_out = bool(DOTS.search(a)), bool(DOTS.search(b))
    return all(left_out) if any(left_out) else same(a, b)


def _matched(a: Sequence[str], b: Sequence[str], same: Same) -> bool:
    """Whether each item of the one is an item of the other, and the other way round."""
    return all(any(_same_item(x, y, same) for y in b) for x in a) and all(
        any(_same_item(x, y, same) for x in a) for y in b
    )
