"""A text that is a number, as people and models write it, read exactly into a fraction.

Bounded: at most :data:`MAX_DIGITS` digits and powers of ten up to :data:`MAX_EXPONENT`; what is
larger is not read at all. NaN and infinity are no numbers.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from vitarmm_agent.numbers.units import CURRENCY_SIGN, NO_UNIT, Unit, unit_behind

MAX_DIGITS = 400
MAX_EXPONENT = 400
SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "lakh": 10**5,
    "crore": 10**7,
}
MYRIADS = dict.fromkeys("万萬만", 10**4) | dict.fromkeys("亿億억", 10**8)
"""Scales of scripts without spaces."""
SCALE_BEHIND = rf"\s*-?(?:{'|'.join(SCALES)})s?\b|\s?[{''.join(MYRIADS)}]"
"""What multiplies the number before it, as a pattern."""
PARTS = {"half": 2, "halve": 2, "quarter": 4} | {
    word: value
    for value, word in enumerate(
        "third fourth fifth sixth seventh eighth ninth tenth".split(), start=3
    )
}
"""Parts of a whole, by what it is divided into."""
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

THOUSANDS = (
    r"\d{1,3}(?:(?:,(?:\\!)?|\{,\}|\\,|['’])\d{3})+(?!\d)|\d{1,2}(?:,\d{2}){1,12},\d{3}(?![\d,])"
    r"|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d,])"
)
EUROPEAN = (
    r"(?:\d{1,3}(?:\.\d{3}){1,12},\d+|\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3}){1,12},\d{1,2}"
    r"|\d{1,3}(?:\.\d{3}){2,12}|0,\d+|\d+,(?:\d{1,2}|\d{4,}))(?!\d|[.,]\d)"
)
"""Numerals with a decimal comma or points for thousands that cannot be read in another way."""
UNSIGNED = rf"(?:(?:{THOUSANDS}|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+(?![\w.]))?"
_WITH_COMMA = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:\.\d{3}){1,12}(?:,\d+)?|\d+,\d+)(?!\d|[.,]\d)")
_NUMBER = re.compile(UNSIGNED)
_PLAIN = re.compile(r"[+-]?\d{1,18}")
_CURRENCY = re.compile(
    rf"(?P<minus>-\s?)?(?P<unit>{CURRENCY_SIGN}|(?:USD|EUR|GBP|JPY|CNY|RMB|INR|KRW|RUB|CHF|CAD|AUD|SEK|Rs)\b)(?:(?<=Rs)\.)?\s*"
)
_SIGN = re.compile(r"(?:[+-]\s*|(?:minus|negative)\s+)?", re.IGNORECASE)
EDGES = ".:;!?,*`'\"。 \t\n"
_FACTORIAL = re.compile(r"(?:[\d)]|(?<![A-Za-z])[a-z])!$")
_DOTTED = re.compile(r"(?P<sign>-?)(?P<whole>\d{0,40})\.(?P<decimals>\d{1,80})(?:\.{3}|\s?…)")
_PERIOD = re.compile(
    r"(?P<fixed>\d{0,40}?)(?:(?P<one>\d)(?P=one){2,80}|(?P<period>\d{2,20})(?P=period){1,40})"
)


_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉", "0123456789+-0123456789")
_SCRIPTS = re.compile(r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+)|([₀₁₂₃₄₅₆₇₈₉]+)")
_BARRED = re.compile(r"(?<=\.)(\d{0,40}?)((?:\d[\u0304\u0305])+)")


def fold_digits(text: str) -> str:
    """Replace digits of any script, raised and lowered ones, fractions, full-width signs and odd dashes by ASCII.

    ``10⁸`` becomes ``10^8``, ``101₂`` ``101_2``, ``0.3̅`` ``0.(3)``.
    """
    if text.isascii():
        return text
    text = _SCRIPTS.sub(lambda m: ("^" if m[1] else "_") + m[0].translate(_RAISED), text)
    text = _BARRED.sub(lambda m: f"{m[1]}({m[2][::2]})", text)
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


def with_decimal_points(text: str) -> str:
    """``1.500`` as ``1500`` and ``3,5`` as ``3.5``: for text in a language that writes a decimal comma."""
    return _WITH_COMMA.sub(lambda m: m[0].replace(".", "").replace(",", "."), text)


def literal(text: str) -> Fraction | None:
    """Value of one unsigned numeral such as ``1,234.50`` or ``6.02e23``; None beyond the bounds."""
    if text.isdigit() and len(text) < 19 and text.isascii():
        return Fraction(int(text))
    digits = re.sub(r"\{,\}|\\[,!]|[,\s'’]", "", text)
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


class Quantity(NamedTuple):
    """A number and the unit behind or before it."""

    value: Fraction
    unit: Unit = NO_UNIT


def parse_number(text: str) -> Fraction | None:
    """Value of a text that *is* a number, or None.

    Read are thousands marks (comma or space, Indian ones too), a decimal comma where no thousands mark can
    be meant (``3,5``, ``1.234,56``), a leading point, currency signs, percent (``15%`` is 15: percent is
    taken as a unit), a sign or its word, fractions, mixed numbers, powers, scientific notation (``2e3``,
    ``2 × 10^3``), repeating decimals (``0.(36)``), other bases (``101_2``), ordinals, scale words, number
    words, digits of other scripts, and a unit behind.
    """
    quantity = parse_quantity(text)
    return None if quantity is None else quantity.value


def parse_quantity(text: str) -> Quantity | None:
    """The same with the unit: ``$5`` is 5 with the unit dollar."""
    if _PLAIN.fullmatch(text) and text.isascii():
        return Quantity(Fraction(int(text)))
    if len(text) > 2 * MAX_DIGITS:
        return None
    text = trimmed(fold_digits(text))
    if dotted := _DOTTED.fullmatch(text):
        return _endless(dotted)
    if currency := _CURRENCY.match(text):
        text = (currency["minus"] or "") + text[currency.end() :]
    if text[:1] == "(" and text[-1:] == ")" and text[1:].lstrip()[:1] == "-":
        text = text[1:-1].strip()
    sign = _SIGN.match(text)
    if sign and sign[0]:
        text = text[sign.end() :]
    quantity = _unsigned(text)
    if quantity is None:
        return None
    value, unit = quantity
    if currency and (before := unit_behind(currency["unit"])):
        unit = Unit({**unit.measures, **before.measures}, unit.nouns)
    return Quantity(-value if sign and sign[0] and sign[0][0] != "+" else value, unit)


def trimmed(text: str, edges: str = EDGES) -> str:
    """``text`` without marks at its edges; the point of ``.5`` and the sign of ``7!`` and ``n!`` stay."""
    start, end = 0, len(text)
    while start < end and text[start] in edges:
        if (
            text[start] == "."
            and text[start + 1 : start + 2].isdigit()
            and text[:start][-1:] != "."
        ):
            break
        if text[start] == "!" and text[start + 1 : start + 2].isdigit():
            break
        start += 1
    while end > start and text[end - 1] in edges:
        if text[end - 1] == "!" and _FACTORIAL.search(text, max(start, end - 3), end):
            break
        if text[end - 3 : end] == "..." and _DOTTED.fullmatch(text, start, end):
            break
        end -= 1
    return text[start:end]


def _endless(match: re.Match[str]) -> Quantity | None:
    """Value of a decimal that goes on: its last figures stand there three times, a group of them twice."""
    decimals = match["decimals"]
    if len(decimals) > 1 and len(set(decimals)) == 1:
        fixed, period = "", decimals[0]
    elif found := _PERIOD.fullmatch(decimals):
        fixed, period = found["fixed"], found["one"] or found["period"]
    else:
        return None
    value = repeating(f"{match['whole']}.{fixed}({period})")
    return None if value is None else Quantity(-value if match["sign"] else value)


_INTEGER = r"[+-]?\d{1,4}"
AMOUNT = (
    r"(?:(?P<whole>\d+)(?:\s+|\s*[+&]\s*|\s+and\s+))?(?P<top>\d+)\s*[/⁄]\s*(?P<bottom>\d+)"
    rf"|(?P<repeated>\d*\.\d*\(\d{{1,40}}\))"
    r"|(?P<digits>\d[\dA-F]*|[A-F][\dA-F]+|\(\d+\))(?:_| base | \(base )\(?(?P<radix>\d{1,2}|[a-z]+)\)?(?!\w)"
    rf"|(?P<european>{EUROPEAN})|(?P<root>\d+)\s*(?:\^|\*\*)\s*[({{]?\s*(?P<raised>{_INTEGER})(?:\s*[)}}])?"
    rf"|(?P<base>{UNSIGNED})(?:\s*(?:[*×x·⋅]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*[({{]?\s*(?P<power>{_INTEGER})(?:\s*[)}}])?)?"
)
"""A number without its sign, as a pattern."""
_AMOUNT = re.compile(AMOUNT)
_ORDINAL = re.compile(r"\s?\^?\s?[({]?(?:st|nd|rd|th)\b[)}]?")
_SCALE = re.compile(SCALE_BEHIND, re.IGNORECASE)
_BELOW_ZERO = re.compile(r"\sbelow\szero$")


def _unsigned(text: str) -> Quantity | None:
    match = _AMOUNT.match(text)
    if not match:
        return _spelled(text) if text[:1].isalpha() else None
    value, rest = amount(match), text[match.end() :]
    if value is None:
        return None
    if scale := _SCALE.match(rest):
        value, rest = value * scale_of(scale[0]), rest[scale.end() :]
    elif ordinal := _ORDINAL.match(rest):
        rest = rest[ordinal.end() :]
    elif below := _BELOW_ZERO.search(rest):
        value, rest = -value, rest[: below.start()]
    unit = unit_behind(rest)
    return None if unit is None else Quantity(value, unit)


_DOZENS = re.compile(r"(?P<count>half an?|[a-z-]+)\s+dozens?\b(?P<rest>.*)", re.IGNORECASE)
_ONE_SCALE = re.compile(rf"\Aan?\s+(?=(?:{'|'.join(SCALES)})\b)", re.IGNORECASE)


def _spelled(text: str) -> Quantity | None:
    """A number in words: ``one hundred and five``, ``two thirds``, ``a dozen``."""
    if dozens := _DOZENS.fullmatch(text):
        count, unit = dozens["count"].lower(), unit_behind(f" dozen{dozens['rest']}")
        number = {"a": Fraction(1), "half a": Fraction(1, 2)}.get(count) or words_value(count)
        return None if number is None or unit is None else Quantity(number, unit)
    value = _parts_value(text) or words_value(_ONE_SCALE.sub("", text, count=1))
    return None if value is None else Quantity(value)


def scale_of(text: str) -> int:
    """What :data:`SCALE_BEHIND` matches, as a number."""
    word = text.strip(" -\n\t").lower()
    return MYRIADS.get(word) or SCALES[word.removesuffix("s")]


_A_PART = re.compile(
    rf"(?:(?P<whole>[a-z]+)\s+and\s+)?(?:(?P<count>a|{'|'.join(WORDS)})[\s-]+)?(?P<part>{'|'.join(PARTS)})s?"
)


def _parts_value(text: str) -> Fraction | None:
    """``two thirds``, ``a quarter``, ``one and a half``; but ``third`` alone may be an ordinal."""
    match = _A_PART.fullmatch(text.lower())
    if not match:
        return None
    part, count = match["part"], match["count"]
    whole = WORDS.get(match["whole"] or "zero")
    if whole is None or not count and (part != "half" or match["whole"]):
        return None
    return whole + Fraction(WORDS.get(count or "a", 1), PARTS[part])


def amount(match: re.Match[str]) -> Fraction | None:
    """Value of what :data:`AMOUNT` matches; None beyond the bounds."""
    if match["top"]:
        if max(len(match["top"]), len(match["bottom"])) > MAX_DIGITS or not int(match["bottom"]):
            return None
        whole = int(match["whole"]) if match["whole"] else 0
        return whole + Fraction(int(match["top"]), int(match["bottom"]))
    if match["repeated"]:
        return repeating(match["repeated"])
    if match["digits"]:
        return in_base(match["digits"].strip("()"), match["radix"])
    if match["european"]:
        return literal(match["european"].replace(".", "").replace(",", "."))
    value, power = literal(match["root"] or match["base"]), match["raised"] or match["power"]
    if value is None or not power:
        return value
    if abs(int(power)) > MAX_EXPONENT:
        return None
    if match["power"]:
        return value * Fraction(10) ** int(power)
    if (not value and int(power) < 0) or abs(int(power)) * len(match["root"]) > MAX_DIGITS:
        return None
    return value ** int(power)


def repeating(text: str) -> Fraction | None:
    """Value of a decimal whose bracketed end repeats: ``0.1(6)`` is 1/6."""
    whole, _, decimals = text.partition(".")
    fixed, _, period = decimals.rstrip(")").partition("(")
    start = literal(f"{whole or 0}.{fixed or 0}")
    if start is None:
        return None
    return start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))


def in_base(digits: str, radix: str) -> Fraction | None:
    """Value of digits in a base between 2 and 36, given in digits or as a word; else None."""
    base = int(radix) if radix.isdigit() else WORDS.get(radix, 0)
    if not 2 <= base <= 36 or len(digits) > MAX_DIGITS // 2 or (digits[0].isalpha() and base < 11):
        return None
    try:
        return Fraction(int(digits, base))
    except ValueError:
        return None


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
