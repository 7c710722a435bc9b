"""One form for answers that mean the same: tags, marks, case, spaces, LaTeX, units, times of the day."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate
from vitarmm_agent.numbers.reading import Quantity, fold_digits, parse_quantity, trimmed
from vitarmm_agent.numbers.units import Unit, conversion
from vitarmm_agent.thinking import without_thinking

MAX_ANSWER = 2_000
SENTENCE = re.compile(r"(?<=[.!?。])[\"')*\]]*\s+(?=\S)|\n+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_EDGES = " \t\n.,:;!?*_`'\"“”‘’$。，"
_DROPPED = re.compile(r"(?<!\d)\s+|\s+(?!\d)|[$\"“”‘’`]|(?<!\b[A-Za-z])'|'(?=[A-Za-z])")
"""What says nothing; but ``f'`` is not ``f``."""
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4}")
_MODULUS = re.compile(r"\(\s*+p?mod\b\s*+([^()]*+)\)")
_HEDGE = re.compile(
    r"(?:≈|~|∼|(?:about|approximately|approx\.?|around|roughly|circa)\s)\s*+|\((?:approximately|approx\.?|about|rounded)\)$",
    re.IGNORECASE,
)
_BUT = re.compile(r"not\s[^.\n]{1,60}?,?\sbut\s(?:rather\s)?", re.IGNORECASE)
_AND_NOT = re.compile(r",?\s\(?(?:and\s)?not\s[^,()\n]{1,60}\)?$", re.IGNORECASE)
_TWICE = re.compile(r"([^()]{1,60})\s\(([^()]{1,60})\)")
_NO_LABELS = frozenset("answer result total value ans sum solution".split())
_LABEL = re.compile(r"^[A-Za-z]\w{0,20}(?:\s*\([a-z]\))?\s*(?:=|≈)\s*")

_CLOCK = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>[0-5]\d))?\s?(?:(?P<half>[ap])\.?\s?m\b\.?)?", re.IGNORECASE
)
_NAMED = {"noon": 12, "midday": 12, "midnight": 0}
_CLOCK_UNIT = Unit({"o'clock": 1})
_COMPOUND = re.compile(
    r"(?P<first>\$?\d++(?:[.,/]\d++)*+(?:\s?[^\W\d_]++)?)(?:,?\s(?:and\s)?|\s?,\s?)"
    r"(?P<rest>\d++(?:[.,/]\d++)*+\s?[^\W\d_].*)"
)
MAX_COMPOUND = 60
MAX_UNITS = 3

_ATTRIBUTE = r"""\s+[\w:-]{1,30}\s?=\s?(?:"[^"<>\n]{0,100}"|'[^'<>\n]{0,100}'|[\w.-]{1,30})"""
_TAG = re.compile(
    rf"<(?P<end>/)?(?P<name>[A-Za-z][A-Za-z_:-]{{1,30}}|[biups]|h[1-6])[_ -]?(?P<number>\d{{1,3}})?"
    rf"(?P<attributes>(?:{_ATTRIBUTE}){{0,6}})\s?/?>"
)
_BRACKETS = re.compile(r"\[(/?)ANSWER\]")
_INLINE = frozenset("b i u s em strong code span mark small font sub a".split())


def clean(text: str) -> str:
    """Text without control characters and lone surrogates, with line feeds as line ends."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode()


def spoken(text: str) -> str:
    """``text`` without what was thought aloud and without tags.

    Tags that part it become line breaks, others go: ``<step n="2">`` becomes ``Step 2:``, ``<answer>``
    becomes ``Answer:``, and ``5<sup>2</sup>`` 5^(2).
    """
    text = without_thinking(text)
    text = (
        _BRACKETS.sub(lambda tag: "\n" if tag[1] else "\nAnswer: ", text) if "]" in text else text
    )
    return _TAG.sub(_replacement, text) if "<" in text else text


def _replacement(tag: re.Match[str]) -> str:
    name, ends = tag["name"].lower(), bool(tag["end"])
    if name == "sup":
        return ")" if ends else "^("
    if name in _INLINE:
        return ""
    if ends or name not in ("step", "answer"):
        return "\n"
    if name == "answer":
        return "\nAnswer: "
    number = tag["number"] or "".join(re.findall(r"\d{1,3}", tag["attributes"])[:1])
    return f"\nStep {number}: " if number else "\n"


def widths(text: str) -> str:
    """Full-width letters, digits and brackets as their usual forms."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


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
    if text.strip(" $") == "{}":
        return "∅"
    text = unicodedata.normalize("NFKC", fold_digits(plain(text))).casefold()
    text = text.replace("degrees", "°").replace("degree", "°").replace("\\", "")
    text = _MODULUS.sub(r"mod \1", text.replace("infinity", "∞").replace("empty set", "∅"))
    text = "∅" if text == "{}" else text
    text = re.sub(r"\b(?:the|a|an)\s+(?=\w{2})", "", text)
    return trimmed(_DROPPED.sub("", text), ".,;:!?")


def label_of(text: str) -> str | None:
    """The name that an answer is given: the ``x`` of ``x = 3``. None where there is none that tells."""
    label, relation, _ = re.sub(r"\\in\b|∈", "=", latex.to_plain(text[:MAX_ANSWER])).partition("=")
    name = fold(label)
    return name if relation and name not in _NO_LABELS and re.search(r"[^\W\d_]", name) else None


def essential(text: str) -> str:
    """An answer without what is denied or said twice, and without "about": it is taken for what it names.

    ``not 5 but 6`` is 6, ``5 (not 6)``, ``five (5)`` and ``≈5`` are 5.
    """
    text = _AND_NOT.sub(
        "", _HEDGE.sub("", _BUT.sub("", text[:MAX_ANSWER].strip(), count=1)).strip()
    )
    if (twice := _TWICE.fullmatch(text)) and (value := value_of(twice[1])) is not None:
        return twice[1] if value_of(twice[2]) == value else text
    return text


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
    if _DATE.fullmatch(text):
        return None
    quantity = parse_quantity(text)
    if quantity is not None or len(text) >= 400:
        return quantity
    try:
        return Quantity(evaluate(re.sub(r"°|[$€£]", "", text), percent=Fraction(1)))
    except NotArithmeticError:
        return None


def compound(text: str) -> Quantity | None:
    """A time of the day, or an amount in several units of one dimension, the larger first; else None.

    A time without am or pm is read where it can only be one of 24 hours: ``21:00``, not ``9:00``.
    """
    if len(text) > MAX_COMPOUND:
        return None
    bare = fold_digits(latex.to_plain(text)).strip(" \t\n.")
    minutes = _minutes(bare)
    return Quantity(Fraction(minutes), _CLOCK_UNIT) if minutes is not None else _sum(bare)


def _minutes(text: str) -> int | None:
    if text.lower() in _NAMED:
        return 60 * _NAMED[text.lower()]
    match = _CLOCK.fullmatch(text)
    if not match:
        return None
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), match["half"]
    if half is not None:
        afternoon = half.lower() == "p"
        return 60 * (hour % 12 + 12 * afternoon) + minute if 1 <= hour <= 12 else None
    certain = match["minute"] is not None and (13 <= hour <= 23 or match["hour"] == "00")
    return 60 * hour + minute if certain else None


def _sum(text: str) -> Quantity | None:
    total: Quantity | None = None
    for _ in range(MAX_UNITS):
        match = _COMPOUND.fullmatch(text)
        part = parse_quantity(match["first"] if match else text)
        if part is None or len(part.unit.measures) != 1:
            return None
        if total is not None:
            factor = conversion(part.unit, total.unit)
            if factor is None or not 0 < factor < 1:
                return None
            part = Quantity(total.value + part.value * factor, total.unit)
        elif match is None:
            return None
        total = part
        if match is None:
            return total
        text = match["rest"]
    return None


def list_items(text: str) -> list[str]:
    """Items of an answer that is a list, in order: ``[1, 2]``, ``1 and 2``, ``{a; b}``."""
    text = latex.to_plain(text[:MAX_ANSWER]).strip(_EDGES + "[](){}")
    items = re.split(r"[;,](?:\s*+and\s)?|\sand\s|、", text)
    return [bare for item in items if (bare := item.strip().strip(_EDGES))]


def first_sentence(content: str) -> str:
    """A text up to the end of its first sentence or line."""
    return SENTENCE.split(content.strip(), maxsplit=1)[0]
