"""Units of measurement by all their English names, and what each measures."""

from __future__ import annotations

_SPELLINGS = {
    "time": "second=sec=s minute=min hour=hr=h day week month year decade century am pm",
    "length": "mm=millimeter=millimetre cm=centimeter=centimetre dm=decimeter=decimetre "
    "m=meter=metre km=kilometer=kilometre inch=inches=in foot=feet=ft yard=yd mile=mi",
    "mass": "mg=milligram g=gram=gramme kg=kilogram ton tonne pound=lb",
    "volume": "ml=milliliter=millilitre cl=centiliter=centilitre dl=deciliter=decilitre "
    "l=liter=litre gallon quart pint cup tablespoon teaspoon ounce=oz",
    "money": "$=dollar=us$=usd €=euro=eur £ ¢=cent penny=pennies nickel dime",
    "count": "dozen pair score gross half quarter",
    "angle": "degree=° radian=rad",
    "temperature": "celsius=centigrade fahrenheit kelvin",
    "speed": "mph kmh=kph=km/h m/s",
}
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


def _found(word: str) -> tuple[str, str] | None:
    word = word.strip().lower()
    return _NAMES.get(word) or (_NAMES.get(word.rstrip("s")) if len(word) > 2 else None)
