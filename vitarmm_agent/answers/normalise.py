"""One form for answers that mean the same: marks, case, spaces, LaTeX, units."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate
from vitarmm_agent.numbers.reading import Quantity, fold_digits, parse_quantity, trimmed

MAX_ANSWER = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]")
_EDGES = " \t\n.,:;!?*_`'\"“”‘’$。，"
_DROPPED = re.compile(r"\s+|[$\"“”‘’`]|(?<!\b[A-Za-z])'|'(?=[A-Za-z])")
"""What says nothing; but ``f'`` is not ``f``."""
_LABEL = re.compile(r"^[A-Za-z]\w{0,20}(?:\s*\([a-z]\))?\s*(?:=|≈)\s*")


def clean(text: str) -> str:
    """Text without control characters and lone surrogates, with line feeds as line ends."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode()


def plain(text: str) -> str:
    """An answer in plain characters: no LaTeX, no Markdown emphasis, no edge punctuation."""
    text = latex.to_plain(text[:MAX_ANSWER])
    text = re.sub(r"\*\*|__|`", "", text)
    text = trimmed(re.sub(r"\s+", " ", text), _EDGES)
    while text[:1] == "(" and text[-1:] == ")" and _wraps(text):
        inner = text[1:-1].strip()
        if "," in inner or not inner:
            break
        text = inner
    return text


def _wraps(text: str) -> bool:
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return index == len(text) - 1
    return False


def fold(text: str) -> str:
    """Key for comparing two answers as text: case, spaces, accents' forms and marks put aside."""
    text = unicodedata.normalize("NFKC", fold_digits(plain(text))).casefold()
    text = text.replace("degrees", "°").replace("degree", "°").replace("\\", "")
    text = re.sub(r"\b(?:the|a|an)\s+(?=\w{2})", "", text)
    return trimmed(_DROPPED.sub("", text), ".,;:!?")


def value_of(text: str) -> Fraction | None:
    """Exact value of an answer that is a number, or arithmetic on numbers; else None."""
    quantity = quantity_of(text)
    return None if quantity is None else quantity.value


def quantity_of(text: str) -> Quantity | None:
    """The same with its unit."""
    quantity = parse_quantity(text)
    if quantity is not None:
        return quantity
    text = _LABEL.sub("", plain(text))
    quantity = parse_quantity(text)
    if quantity is not None or len(text) >= 400:
        return quantity
    try:
        return Quantity(evaluate(re.sub(r"°|[$€£]", "", text), percent=Fraction(1)))
    except NotArithmeticError:
        return None


def list_items(text: str) -> list[str]:
    """Items of an answer that is a list, in order: ``[1, 2]``, ``1 and 2``, ``{a; b}``."""
    text = latex.to_plain(text[:MAX_ANSWER]).strip(_EDGES + "[](){}")
    items = re.split(r"[;,](?:\s*+and\s)?|\sand\s|、", text)
    return [bare for item in items if (bare := item.strip().strip(_EDGES))]
