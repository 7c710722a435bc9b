"""A text that is a number, as people and models write it, read exactly into a fraction.

Bounded: at most :data:`MAX_DIGITS` digits and powers of ten up to :data:`MAX_EXPONENT`; what is
larger is not read at all. NaN and infinity are no numbers.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MAX_DIGITS = 400
MAX_EXPONENT = 400
SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
WORDS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * (value + 2) for value, word in enumerate(_TENS)
}
_IN_ORDER = {
    "german": "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn zwanzig",
    "french": "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "spanish": "dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte",
}
_BY_TENS = {
    "german": "dreissig vierzig fünfzig sechzig siebzig achtzig neunzig hundert",
    "french": "trente quarante cinquante soixante",
    "spanish": "treinta cuarenta cincuenta sesenta setenta ochenta noventa cien",
}
NUMERALS = {
    language: {word: value for value, word in enumerate(words.split(), start=2)}
    | {word: 10 * value for value, word in enumerate(_BY_TENS[language].split(), start=3)}
    for language, words in _IN_ORDER.items()
}
"""Numbers of one word in other languages, case folded; those of several words are not read."""
VULGAR = {c: Fraction(unicodedata.numeric(c)).limit_denominator(10) for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_DASHES = str.maketrans({"−": "-", "–": "-", "—": "-", "﹣": "-", "－": "-"})

THOUSANDS = r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d,])"
UNSIGNED = rf"(?:(?:{THOUSANDS}|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+(?![\w.]))?"
_NUMBER = re.compile(UNSIGNED)
_PLAIN = re.compile(r"[+-]?\d{1,18}")
_CURRENCY = r"(?:US|CA|AU)?[$€£¥₹₩₽]|\b(?:USD|EUR|GBP|Rs\.?)"
_SPLIT_SCALE = re.compile(rf"({'|'.join(SCALES)})s?\b", re.IGNORECASE)


def fold_digits(text: str) -> str:
    """Replace decimal digits of any script, full-width signs, fractions and odd dashes by ASCII."""
    if text.isascii():
        return text
    return "".join(_fraction(c) if c in VULGAR else c for c in fold_characters(text))


def fold_characters(text: str) -> str:
    """The same, one character for one: places in the text stay, and so do fractions like ½."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else _folded(c) for c in text.translate(_DASHES))


def _folded(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    narrow = unicodedata.normalize("NFKC", character) if "\uff00" <= character <= "\uffef" else ""
    return narrow if len(narrow) == 1 else character


def _fraction(character: str) -> str:
    return f" {VULGAR[character].numerator}/{VULGAR[character].denominator}"


def without_thousands_marks(text: str) -> str:
    """``1,200`` as ``1200``, wherever it stands."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)


def literal(text: str) -> Fraction | None:
    """Value of one unsigned numeral such as ``1,234.50`` or ``6.02e23``; None beyond the bounds."""
    if text.isdigit() and len(text) < 19 and text.isascii():
        return Fraction(int(text))
    digits = re.sub(r"[,\s]", "", text)
    mantissa, _, exponent = digits.lower().partition("e")
    if len(mantissa) > MAX_DIGITS or len(exponent) > 5:
        return None
    power = int(exponent or 0)
    if abs(power) > MAX_EXPONENT or not re.fullmatch(r"\d*+\.?\d*+", mantissa, re.ASCII):
        return None
    try:
        return Fraction(mantissa) * Fraction(10) ** power if power else Fraction(mantissa)
    except ValueError:
        return None


def words_value(text: str) -> Fraction | None:
    """Value of a number written in words (``one hundred and five``, ``3 million``), or None."""
    if not text.isascii():
        return None
    words = re.findall(r"[a-z]+|\d[\d,.]*", text.lower().replace("-", " "))
    if not words or len(words) > 24:
        return None
    total, group, seen = Fraction(0), Fraction(0), False
    for word in words:
        if word in WORDS:
            group += WORDS[word]
        elif word[0].isdigit():
            value = literal(word.rstrip(".,"))
            if value is None or seen:
                return None
            group += value
        elif word.rstrip("s") in SCALES:
            scale = SCALES[word.rstrip("s")]
            group = (group or Fraction(1)) * scale
            if scale > 100:
                total, group = total + group, Fraction(0)
        elif word != "and" or not seen:
            return None
        seen = True
    return total + group


def parse_number(text: str) -> Fraction | None:
    """Value of a text that *is* a number, or None.

    Read are thousands marks (comma or space), currency signs, percent (``15%`` is 15: percent is
    taken as a unit), a sign, fractions, mixed numbers, scientific notation (``2e3``, ``2 × 10^3``),
    scale words, number words, digits of other scripts, and a unit of up to three words behind.
    """
    if _PLAIN.fullmatch(text) and text.isascii():
        return Fraction(int(text))
    if len(text) > 2 * MAX_DIGITS:
        return None
    text = fold_digits(text).strip().strip(".:;!?,*`'\"。 ").strip()
    text = re.sub(_CURRENCY, "", text).strip()
    sign = 1
    if text[:1] == "(" and text[-1:] == ")" and text[1:].lstrip()[:1] == "-":
        text = text[1:-1].strip()
    if text[:1] in ("+", "-"):
        sign = -1 if text[0] == "-" else 1
        text = text[1:].lstrip()
    value = _unsigned(text)
    return None if value is None else sign * value


_AMOUNT = re.compile(
    rf"(?:(?P<whole>\d+)(?:\s+|\s*[+&]\s*|\s+and\s+))?(?P<top>\d+)\s*[/⁄]\s*(?P<bottom>\d+)"
    rf"|(?P<base>{UNSIGNED})(?:\s*(?:[*×x·]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*"
    r"(?:\{\s*(?P<p1>[+-]?\d+)\s*\}|\(?(?P<p2>[+-]?\d{1,4})\)?))?"
)
_UNIT = re.compile(
    r"(?:\s*+(?:[°%℃℉€£¥$º]|\^\s*+\{?\s*+\\?circ\s*+\}?)|\s*+-?\s*+[^\W\d_][\w./²³^-]*+){0,4}\s*+"
)


def _unsigned(text: str) -> Fraction | None:
    match = _AMOUNT.match(text)
    if not match:
        return words_value(text) if text[:1].isalpha() else None
    rest = text[match.end() :]
    value = _amount(match)
    if value is None:
        return None
    if scale := re.match(rf"\s*-?{_SPLIT_SCALE.pattern}", rest, re.IGNORECASE):
        value, rest = value * SCALES[scale[1].lower()], rest[scale.end() :]
    return value if _UNIT.fullmatch(rest) else None


def _amount(match: re.Match[str]) -> Fraction | None:
    if match["top"]:
        if max(len(match["top"]), len(match["bottom"])) > MAX_DIGITS or not int(match["bottom"]):
            return None
        whole = int(match["whole"]) if match["whole"] else 0
        return whole + Fraction(int(match["top"]), int(match["bottom"]))
    value = literal(match["base"])
    power = match["p1"] or match["p2"]
    if value is None or not power:
        return value
    return value * Fraction(10) ** int(power) if abs(int(power)) <= MAX_EXPONENT else None


def find_numbers(text: str) -> list[re.Match[str]]:
    """All unsigned numerals of a text, in order."""
    return list(_NUMBER.finditer(text))


def show(value: Fraction, places: int = 6) -> str:
    """A number as a person writes it: integer, short decimal, or a decimal rounded to ``places``."""
    if value.denominator == 1 and abs(value) < 10**30:
        return str(value.numerator)
    try:
        number = float(value)
    except OverflowError:
        return f"about 10^{len(str(abs(int(value)))) - 1}"
    if abs(number) >= 1e15 or 0 < abs(number) < 10**-places:
        return f"{number:.6g}"
    return f"{number:.{places}f}".rstrip("0").rstrip(".")
