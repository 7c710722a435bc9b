"""The words, numbers and signs of a step, as the equation reader sees them, and the expressions they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.arithmetic import OPERATORS
from vitarmm_agent.numbers.reading import EUROPEAN, SCALES, UNSIGNED, fold_digits

Kind = Literal["number", "op", "percent", "relation", "word", "unit", "opaque", "break"]
MAX_TEXT = 8_000

NOTE = re.compile(r"<<([^<>\n]*+)>>")
"""A calculator note of GSM8K; its group is what stands between the brackets."""
MAX_UNIT_WORDS = 6
_MATRIX = re.compile(r"\\begin\{(\w*matrix|array|cases)\*?\}.*?(?:\\end\{\1\*?\}|\Z)", re.DOTALL)
_BROKEN_OFF = re.compile(r"<<[^<>\n]*+$", re.MULTILINE)
_LIST_MARK = re.compile(r"^[ \t>]*(?:\(?\d{1,3}[.)](?=\s)|[-*•–](?=\s))", re.MULTILINE)
_QUOTED = re.compile(r"^(?:[ \t]*>)+[ \t]+", re.MULTILINE)
_UNITS = (
    "mm cm dm km ft yd mi mg kg lb lbs oz ml cl dl sec min hr hrs mph kph kmh rpm pts st nd rd th"
).split()

_TOKEN = re.compile(
    rf"(?P<clock>\d+:\d+(?::\d+)*)"
    rf"|(?P<mixed>\d+\s+(?:and\s+)?(?!0|\d{{3}}/\d{{1,2}}(?!\d))\d+/\d+(?![\d/]))"
    rf"|(?P<number>(?!{EUROPEAN}){UNSIGNED})"
    rf"|(?P<comma>{EUROPEAN})"
    r"|(?P<sentence>[.!?](?=\s|$|[\"')])|[,;:\n]|\.\.+)"
    r"|(?P<relation>=+|≈|≃)"
    r"|(?P<op>\*\*|[-+*/^()])"
    r"|(?P<percent>%|\bpercent\b)"
    r"|(?P<currency>(?:US)?[$€£¢])"
    r"|(?P<word>[A-Za-z][A-Za-z'’]*)"
    r"|(?P<space>[ \t\u00a0\u2009\u202f]+|[°\"“”]|\*\*)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_WORD_OPERATORS = {"plus": "+", "minus": "-", "times": "*"}
_AFTER_VERB = {"divided": "/", "multiplied": "*"}

_STOPS = frozenset(
    "and or so then than to is are was were be from by which that since because if but while when "
    "where we he she they i you it means leaving total left over".split()
)
_RISKY_BEFORE = frozenset(
    "of than times by from to plus minus per over half twice double triple thrice third quarter "
    "every least most mod modulo sum difference product quotient average mean between".split()
)
_REMAINDER = frozenset("remainder remaining r mod modulo base".split())


@dataclass(frozen=True)
class Token:
    """One token: its kind, its text as read, and where it stands in the prepared text."""

    kind: Kind
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Side:
    """One side of an equation.

    Attributes:
        tokens: numbers and signs, as they are computed.
        text: the same as a text, tidied.
        units: all words and units that stand at its numbers.
        bare: a single number, perhaps with a sign, percent or unit.
        led: words stand before it in its clause.
        measure: the word or sign that stands at its first number, or nothing.
    """

    tokens: tuple[str, ...]
    text: str
    units: frozenset[str]
    bare: bool
    led: bool
    measure: str = ""


def prepare(text: str) -> str:
    """A step's text without calculator notes, list marks, Markdown and LaTeX."""
    text = without_notes(text[:MAX_TEXT])
    text = _MATRIX.sub(" ⊞ ", text)
    text = latex.to_plain(re.sub(r"\*\*(?=\S[^*\n]*\*\*)|(?<=\S)\*\*(?=[\s.,;:)]|$)|`", "", text))
    text = fold_digits(text).translate(OPERATORS)
    return _LIST_MARK.sub("", _QUOTED.sub("", text))


def without_notes(text: str) -> str:
    """A text without its calculator notes, nor those that are broken off, as a solution is shown."""
    return _BROKEN_OFF.sub("", NOTE.sub("", text))


def calculator_notes(text: str) -> list[str]:
    """The calculator notes ``<<expression=result>>`` of a text, without their brackets."""
    return NOTE.findall(text[:MAX_TEXT])


def tokenize(text: str) -> list[Token]:
    """Tokens of a prepared text. Spaces, degree signs and quotation marks are dropped."""
    raw: list[Token] = []
    for match in _TOKEN.finditer(text):
        if match.lastgroup in ("space", None):
            continue
        raw.append(_classified(match, raw[-1] if raw else None, text))
    return _word_operators(raw)


def _classified(match: re.Match[str], before: Token | None, text: str) -> Token:
    found, group = match[0], match.lastgroup
    kind: Kind = "opaque"
    if group == "number" or group == "mixed":
        glued = before is not None and before.end == match.start()
        kind = (
            "opaque"
            if glued and before and before.kind in ("word", "opaque", "number")
            else "number"
        )
    elif group == "sentence":
        kind = "break"
    elif group == "relation":
        kind = "relation" if found in ("=", "≈") else "opaque"
    elif group == "op":
        kind, found = "op", "^" if found == "**" else found
    elif group == "percent":
        kind = "percent"
    elif group == "currency":
        kind = "unit"
    elif group == "word":
        kind, found = _word(match, before, text)
    return Token(kind, found, match.start(), match.end())


def _word(match: re.Match[str], before: Token | None, text: str) -> tuple[Kind, str]:
    found = match[0]
    glued = before is not None and before.end == match.start() and before.kind in ("number", "op")
    following = text[match.end() : match.end() + 3].lstrip(" ")
    if found in ("x", "X") and before is not None and _operand_end(before) and following[:1] in (
        *"0123456789.$(€£",
    ) and following:  # fmt: skip
        return "op", "*"
    if found.lower() in SCALES or (found.lower().rstrip("s") in SCALES and found.lower() != "s"):
        return "word", found.lower().rstrip("s")
    if glued and before is not None and before.kind == "number":
        return ("word", found) if found.lower() in _UNITS or len(found) > 3 else ("opaque", found)
    if glued and before is not None and before.text == ")" and len(found) <= 3:
        return "opaque", found
    if text[match.end() : match.end() + 1] in ("_", "^", "'", "("):
        return "opaque", found
    if len(found) == 1 and found not in ("a", "A"):
        return "opaque", found
    if found.isupper() and 1 < len(found) <= 5 and found not in ("USD", "AND", "OR"):
        return "opaque", found
    return "word", found


def _operand_end(token: Token) -> bool:
    return token.kind in ("number", "percent", "word", "unit") or token.text == ")"


def _word_operators(tokens: list[Token]) -> list[Token]:
    """Turn ``plus``, ``times``, ``divided by``, ``equals``, ``% of`` between numbers into signs."""
    result: list[Token] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        word = token.text.lower() if token.kind == "word" else ""
        starts = following is not None and (
            following.kind in ("number", "unit") or following.text == "("
        )
        if word == "by" and result and result[-1].text.lower() in _AFTER_VERB and starts:
            verb = result.pop()
            result.append(Token("op", _AFTER_VERB[verb.text.lower()], verb.start, token.end))
        elif word in _WORD_OPERATORS and starts and result and _operand_end(result[-1]):
            result.append(Token("op", _WORD_OPERATORS[word], token.start, token.end))
        elif word == "equals":
            result.append(Token("relation", "=", token.start, token.end))
        elif word == "of" and starts and result and result[-1].kind == "percent":
            result.append(Token("op", "*", token.start, token.end))
        else:
            result.append(token)
    return result


def as_left(part: list[Token], *, first: bool) -> Side | None:
    """The longest expression that ends this part."""
    for start, token in enumerate(part):
        if not _may_start(token, part, start, clause_start=first and start == 0):
            continue
        side, end = _expression(part, start)
        if side is None or end != len(part):
            continue
        before = part[start - 1] if start else None
        if before is not None and (not _harmless_before(before) or _goes_on(part[:start])):
            return None
        led = any(t.kind in ("word", "opaque") for t in part[:start])
        return replace(side, led=led)
    return None


def _goes_on(before: list[Token]) -> bool:
    """Whether the expression is the end of a longer one: ``7 + Shonda (1) + 2``."""
    for token in reversed(before):
        if token.kind != "word" or token.text.lower() in _STOPS:
            return token.kind == "op" and token.text in "+*"
    return False


def _may_start(token: Token, part: list[Token], index: int, *, clause_start: bool) -> bool:
    if token.kind in ("number", "unit") or token.text == "(":
        return True
    return token.text == "-" and (index == 0 or clause_start) and index + 1 < len(part)


def _harmless_before(token: Token) -> bool:
    if token.kind == "word":
        return token.text.lower() not in _RISKY_BEFORE and token.text.lower() not in SCALES
    return False


def as_right(part: list[Token], *, last: bool) -> Side | None:
    """The longest expression that begins this part."""
    if not part or not _may_start(part[0], part, 0, clause_start=True):
        return None
    side, end = _expression(part, 0)
    if side is None:
        return None
    rest = part[end:]
    if not rest:
        return side
    return side if _harmless_after(part, end, last=last) else None


def _harmless_after(part: list[Token], end: int, *, last: bool) -> bool:
    after = part[end]
    following = part[end + 1] if end + 1 < len(part) else None
    if after.kind == "word":
        if after.text.lower() in _REMAINDER:
            return False
        return not (after.text.lower() == "and" and following and following.kind == "number")
    if after.text == "(":
        return following is not None and following.kind == "word"
    return after.text == ")"


def _expression(part: list[Token], start: int) -> tuple[Side | None, int]:
    """The longest expression of ``part`` from ``start``: the side and the index behind it."""
    tokens: list[str] = []
    units: set[str] = set()
    depth, at, best = 0, start, None
    expects_operand = True
    while at < len(part):
        token = part[at]
        if expects_operand:
            if token.kind == "unit":
                units.add(token.text)
                at += 1
            elif token.text in ("(", "-") and token.kind == "op":
                if token.text == "(" and (skip := _remark(part, at)):
                    at = skip
                    continue
                depth += token.text == "("
                tokens.append(token.text)
                at += 1
            elif token.kind == "number":
                tokens.extend(_number_tokens(token.text))
                at, expects_operand = _after_number(part, at + 1, tokens, units), False
            else:
                break
        elif token.text == ")" and token.kind == "op" and depth:
            tokens.append(")")
            depth -= 1
            at = _unit_words(part, at + 1, units)
        elif token.kind == "op" and token.text in "+-*/^":
            if token.text == "/" and (skip := _per(part, at, units)):
                at = skip
            else:
                tokens.append(token.text)
                at, expects_operand = at + 1, True
        elif token.text == "(" and tokens and tokens[-1] == ")" and not _remark(part, at):
            tokens.append("*")
            expects_operand = True
        elif token.text == "(" and (skip := _remark(part, at)):
            at = skip
        else:
            break
        if not expects_operand and not depth:
            best = (len(tokens), at)
    if best is None or (expects_operand and best[1] != at):
        return None, start
    kept, end = tokens[: best[0]], best[1]
    bare = sum(t not in "+-%()" for t in kept) == 1
    measure = _first_measure(part[start:end])
    return Side(tuple(kept), _tidy(kept), frozenset(units), bare, False, measure), end


def _first_measure(tokens: Sequence[Token]) -> str:
    """The word or sign of a unit that stands at the first number; nothing where none does.

    A dollar sign behind a number closes a formula, and so does one before it then.
    """
    if any(b.kind == "number" and token.text == "$" for b, token in pairwise(tokens)):
        tokens = [token for token in tokens if token.text != "$"]
    for before, token in pairwise(tokens):
        if before.kind == "unit":
            return before.text
        if before.kind == "number":
            known = token.kind in ("unit", "word") and token.text.lower() != "in"
            return token.text if known else ""
    return ""


def _after_number(part: list[Token], at: int, tokens: list[str], units: set[str]) -> int:
    while at < len(part) and (
        part[at].kind in ("percent", "unit") or part[at].text.lower() in SCALES
    ):
        token = part[at]
        if token.kind == "percent":
            tokens.append("%")
        elif token.kind == "unit":
            if at + 1 < len(part) and part[at + 1].kind == "number":
                break
            units.add(token.text)
        else:
            tokens.append(token.text.lower())
        at += 1
    return _unit_words(part, at, units)


def _unit_words(part: list[Token], at: int, units: set[str]) -> int:
    end = at
    while end < len(part) and end - at < MAX_UNIT_WORDS and part[end].kind == "word":
        word = part[end].text.lower()
        if word in _STOPS or word in SCALES or word in _REMAINDER:
            break
        units.add(word)
        end += 1
    raised = end > at and [token.kind for token in part[end : end + 2]] == ["op", "number"]
    return end + 2 if raised and part[end].text == "^" else end


def _per(part: list[Token], at: int, units: set[str]) -> int | None:
    """Index behind ``/ word``, which is a unit."""
    if at + 1 < len(part) and part[at + 1].kind == "word":
        return _unit_words(part, at + 1, units)
    return None


def _remark(part: list[Token], at: int) -> int | None:
    """Index behind a bracket that holds words only."""
    end = at + 1
    while end < len(part) and part[end].kind == "word":
        end += 1
    return end + 1 if end > at + 1 and end < len(part) and part[end].text == ")" else None


def _number_tokens(text: str) -> list[str]:
    words = text.replace("and", " ").split()
    if len(words) == 2 and "/" in words[1]:
        top, bottom = words[1].split("/")
        return ["(", words[0], "+", top, "/", bottom, ")"]
    return [text]


def _tidy(tokens: Sequence[str]) -> str:
    text = " ".join(tokens)
    for old, new in (("( ", "("), (" )", ")"), (" %", "%"), (" ^ ", "^")):
        text = text.replace(old, new)
    return text
