"""Units of measurement by all their English names, what each measures, and what stands behind a number.

A unit behind a number is a known one or a plain noun; never a variable's letter, a function or a constant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Letters of scripts that put no space between words, Chinese and Japanese, for a class of a pattern."""
TOUCHING = rf"{UNSPACED}\uac00-\ud7af"
"""Letters that no space parts from a number: those, and Korean ones."""
_SPELLINGS = {
    "time": "second=sec=s minute=min=minuten=minuto hour=hr=h=stunde=stunden=heure=hora day week month year decade century",
    "clock": "am=a.m pm=p.m",
    "length": "mm=millimeter=millimetre cm=centimeter=centimetre dm=decimeter=decimetre "
    "m=meter=metre km=kilometer=kilometre inch=inches=in foot=feet=ft yard=yd mile=mi",
    "mass": "mg=milligram g=gram=gramme kg=kilogram ton tonne pound=lb",
    "volume": "ml=milliliter=millilitre cl=centiliter=centilitre dl=deciliter=decilitre "
    "l=liter=litre gallon quart pint cup tablespoon teaspoon ounce=oz",
    "money": "$=dollar=us$=usd €=euro=eur £=gbp ¥=yen=jpy=円 yuan=renminbi=cny=rmb=元 ₹=rupee=inr=rs ₩=won=krw=원 "
    "₽=ruble=rouble=rub ₪=shekel=ils ₫=dong=vnd ₺=lira ฿=baht=thb franc=chf krona=kronor=sek krone=kroner "
    "zloty=pln real=brl=r$ peso=mxn ca$=cad=c$ a$=aud=au$ hk$=hkd s$=sgd nz$=nzd rand=zar "
    "¢=cent penny=pennies=pence nickel dime",
    "count": "dozen pair score gross half quarter",
    "angle": "degree=° radian=rad",
    "temperature": "celsius=centigrade fahrenheit kelvin",
    "speed": "mph kmh=kph=km/h m/s",
}
_WORTH: dict[str, int | str] = {
    "second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800,
    "mm": "1/1000", "cm": "1/100", "dm": "1/10", "m": 1, "km": 1_000,
    "inch": "0.0254", "foot": "0.3048", "yard": "0.9144", "mile": "1609.344",
    "mg": "1/1000", "g": 1, "kg": 1_000, "tonne": 1_000_000,
    "ml": "1/1000", "cl": "1/100", "dl": "1/10", "l": 1,
    "¢": "1/100", "$": 1, "nickel": "1/20", "dime": "1/10",
}  # fmt: skip
"""Worth of a unit in another of its dimension, where there are no two opinions (a ton, a pint, a month)."""
_CUSTOMARY = {
    "century": {"year": 100}, "decade": {"year": 10}, "year": {"month": 12, "week": 52, "day": 365},
    "month": {"week": 4, "day": 30}, "ton": {"pound": 2_000, "kg": 1_000}, "pound": {"ounce": 16},
    "gallon": {"quart": 4, "pint": 8, "cup": 16}, "quart": {"pint": 2, "cup": 4}, "pint": {"cup": 2},
    "tablespoon": {"teaspoon": 3},
}  # fmt: skip
"""Worth of a unit in another as exercises have it, though there are other opinions."""
_MADE_OF = {"kmh": {"km": 1, "hour": -1}, "mph": {"mile": 1, "hour": -1}}
_EITHER = {"pound": ("lb", "£")}
"""A name of two units: ``5 pounds`` is ``5 lb`` and ``£5``, which are not each other."""
_CASED = {"KB", "Kb", "kB", "kb", "MB", "Mb", "mb", "GB", "Gb", "gb", "TB", "Tb", "tb"}
"""Units that their capitals tell apart."""
_MONTHS = frozenset(
    "january february march april may june july august september october november december".split()
)
_TELLING = ("clock", "count", "month")
"""Dimensions without which a number says another thing: ``9 pm`` is not ``9``, ``5 pairs`` not ``5``."""
_NO_NOUNS = frozenset(
    "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log exp sqrt root mod lim det gcd lcm max "
    "deg dim inf sup infty infinity alpha beta gamma delta epsilon theta lambda sigma omega".split()
)
_COMPARISONS = frozenset("less fewer lower shorter below under short minus".split())
"""``5 less`` is not 5."""
_NO_TOUCHING = re.compile(
    "以上|以下|以内|以外|之间|不|ではな|じゃな|でもな|間違|错|이상|이하|미만|아니"
)
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cubed": 3}
_FILLERS = frozenset("a an the of in per each every only total altogether".split())
_NAMES = {
    spelling: (names.split("=")[0], dimension)
    for dimension, units in _SPELLINGS.items()
    for names in units.split()
    for spelling in names.split("=")
}


def unit_name(word: str) -> str | None:
    """The one name of a unit, whatever its spelling, case and number; None for other words.

    ``Feet``, ``ft`` and ``foot`` are one unit, and so are ``metres`` and ``m``.
    """
    found = _found(word)
    return None if found is None else found[0]


def dimension_of(word: str) -> str | None:
    """What a unit measures (``length``, ``time``, …); None for words that are no units."""
    found = _found(word)
    return None if found is None else found[1]


@dataclass(frozen=True)
class Unit:
    """What stands behind a number.

    Attributes:
        measures: known units, each with its power: ``m/s`` is ``{"m": 1, "second": -1}``.
        nouns: other words, in the singular.
    """

    measures: dict[str, int] = field(default_factory=dict)
    nouns: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.measures or self.nouns)

    def dimensions(self) -> dict[str, int]:
        """What it measures, each with its power."""
        found: dict[str, int] = {}
        for name, power in self.measures.items():
            dimension = _dimension(name)
            found[dimension] = found.get(dimension, 0) + power
        return found


NO_UNIT = Unit()


def conversion(a: Unit, b: Unit, *, counting: bool = False) -> Fraction | None:
    """What a number with unit ``a`` is multiplied by to have unit ``b``; None when that is not certain.

    A number without a unit may have the other's.

    Args:
        a: unit of the one number.
        b: unit of the other.
        counting: only the number was asked for: nouns do not count, nor does a lacking ``pm``.
    """
    dozens = Fraction(12) ** (a.measures.get("dozen", 0) - b.measures.get("dozen", 0))
    factor = _conversion(_singly(a), _singly(b), counting=counting)
    return None if factor is None else dozens * factor


def customary(a: Unit, b: Unit) -> Fraction | None:
    """What a number with unit ``a`` is multiplied by to have unit ``b`` in an exercise: a year is 365 days."""
    if len(a.measures) != 1 or len(b.measures) != 1:
        return None
    (one,), (other,) = a.measures, b.measures
    if worth := _CUSTOMARY.get(one, {}).get(other):
        return Fraction(worth)
    worth = _CUSTOMARY.get(other, {}).get(one)
    return Fraction(1, worth) if worth else None


def _conversion(a: Unit, b: Unit, *, counting: bool) -> Fraction | None:
    if a.measures != b.measures:
        a, b = _as_the_other(a, b), _as_the_other(b, a)
    if not a.measures or not b.measures:
        telling = any(d in _TELLING for d in (a if a.measures else b).dimensions())
        known = bool(a.measures or b.measures)
        if not counting and known and (telling or (a and b)):
            return None
    elif a.measures != b.measures:
        worth = _worth(a), _worth(b)
        if None in worth or a.dimensions() != b.dimensions():
            return None
        return worth[0] / worth[1]  # type: ignore[operator]
    if counting or not a.nouns or not b.nouns or a.nouns <= b.nouns or b.nouns <= a.nouns:
        return Fraction(1)
    return None


def _singly(unit: Unit) -> Unit:
    return Unit({n: power for n, power in unit.measures.items() if n != "dozen"}, unit.nouns)


def _as_the_other(unit: Unit, other: Unit) -> Unit:
    """A unit whose name has two meanings, in the one that the other unit has."""
    measures = {
        next((n for n in _EITHER.get(name, ()) if n in other.measures), name): power
        for name, power in unit.measures.items()
    }
    return Unit(measures, unit.nouns)


def _worth(unit: Unit) -> Fraction | None:
    worth = Fraction(1)
    for name, power in unit.measures.items():
        if name not in _WORTH:
            return None
        worth *= Fraction(_WORTH[name]) ** power
    return worth


CURRENCY_SIGN = r"(?:(?:US|CA|AU|HK|NZ|[ACRS])?\$|[€£¥₹₩₽₪₫₺฿])"
_PART = re.compile(
    r"(?P<space>-(?=[^\W\d_]{3})|[ \t\n\u00a0\u2009\u202f]*+)"
    rf"(?:(?P<symbol>°\s?[CFK]\b|[°º%℃℉¢]|{CURRENCY_SIGN})|(?P<per>/|per\b(?!\s?cent)|an?\b(?=\s+\w{2}))"
    r"|(?P<times>[·⋅])|(?P<word>[ap]\.m\b|per\s?cent|[^\W\d_]++)(?P<power>\s?\^\s?\(?(?P<exponent>-?\d)\)?)?\.?)"
)
_SYMBOLS = {"º": "degree", "℃": "celsius", "℉": "fahrenheit"} | dict.fromkeys(
    ("%", "percent", "per cent"), "%"
)
_NOUN = re.compile(r"(?=.*[aeiouà-öø-ÿа-яё])[^\W\d_]{3,}", re.IGNORECASE)
MAX_PARTS = 8


def unit_behind(text: str) -> Unit | None:
    """The unit that ``text`` is, as it stands behind a number; an empty one for nothing.

    None when it is no unit: ``x`` and ``π``, ``sin``, ``^2``, a letter that touches the number (``3m``).
    """
    text = text.rstrip()
    if not text:
        return NO_UNIT
    measures: dict[str, int] = {}
    nouns: set[str] = set()
    at, sign, raised = 0, 1, 1
    for _ in range(MAX_PARTS):
        if at == len(text):
            if raised != 1:
                return None
            if "degree" in measures and len(measures) > 1:  # degrees Celsius
                del measures["degree"]
            return Unit(measures, frozenset(nouns))
        match = _PART.match(text, at)
        if match is None:
            return None
        first, at = at == 0, match.end()
        if match["per"] or match["times"]:
            if first and not match["space"]:
                return None
            sign = -1 if match["per"] else sign
            continue
        word = match["word"] or match["symbol"]
        if word.lower() in _POWERS and not match["power"]:
            raised = _POWERS[word.lower()]
            if word.lower().endswith("d"):
                if not measures:
                    return None
                last_named = list(measures)[-1]
                measures[last_named], raised = measures[last_named] * raised, 1
            continue
        touching = first and not match["space"]
        last = at == len(text)
        name = _measure(word, touching) if last or word != "in" else None
        if name is not None:
            power = sign * raised * int(match["exponent"] or 1)
            for part, times in _MADE_OF.get(name, {name: 1}).items():
                measures[part] = measures.get(part, 0) + times * power
            raised = 1
        elif match["power"] or not _is_noun(word, touching):
            return None
        elif word.lower() not in _FILLERS:
            nouns.add(_singular(word.lower()))
    return None


def _measure(word: str, touching: bool) -> str | None:
    """Name of a known unit; a single letter that touches the number is a variable."""
    if touching and re.fullmatch(rf"[^\W{TOUCHING}]", word) and word.isalpha():
        return None
    if word[0] == "°" and word[1:].strip():
        return {"C": "celsius", "F": "fahrenheit", "K": "kelvin"}[word[-1]]
    lower = word.lower()
    if lower in _MONTHS or word in _CASED:
        return word if word in _CASED else lower
    if lower in ("lb", "lbs"):
        return "lb"
    if word in ("G", "M", "H", "S"):  # not gram, metre, hour and second
        return None
    return _SYMBOLS.get(lower) or unit_name(lower)


def _is_noun(word: str, touching: bool) -> bool:
    if re.fullmatch(f"[{TOUCHING}]+", word):
        return not _NO_TOUCHING.search(word)
    lower = word.lower()
    if touching or lower in _COMPARISONS or word == "A":  # an ampere
        return False
    return lower in _FILLERS or bool(_NOUN.fullmatch(lower) and lower not in _NO_NOUNS)


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word


def _dimension(name: str) -> str:
    if name in _MONTHS:
        return "month"
    return dimension_of(name) or name


def _found(word: str) -> tuple[str, str] | None:
    word = word.strip().lower()
    return _NAMES.get(word) or (_NAMES.get(word.rstrip("s")) if len(word) > 2 else None)
