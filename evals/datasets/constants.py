"""Constants that the words of a problem bring into its solution: twice, a dozen, minutes in an hour."""

from __future__ import annotations

import re
from fractions import Fraction

from vitarmm_agent.evals.datasets.question_numbers import HUNDRED, fraction_parts

_KNOWN = (
    (r"twice|doubl\w+|half|halves|both|pairs?|couple|each other|twins?", "2 .5 1.5 1/2"),
    (r"tripl\w+|thrice|trio", "3"),
    (r"thirds?", "3 2 2/3 1/3 1"),
    (r"quadrupl\w+|fourths?|quarters?", "4 3 .25 .75 25"),
    (r"fifths?", "5 4 3 2 .2"),
    (r"sixths?", "6 5"),
    (r"sevenths?", "7"),
    (r"eighths?", "8 7 5 3"),
    (r"ninths?", "9"),
    (r"tenths?", "10 9 7 3 .1"),
    (r"dozens?", "12"),
    (r"weeks?|weekly|daily|days?|every ?day", "7 24"),
    (r"weekends?|saturday|sunday", "2"),
    (r"weekdays?|school ?days?|work ?days?|monday", "5"),
    (r"fortnight", "14 2"),
    (r"hours?|hourly|minutes?|seconds?|day", "60 24 3600 30 15"),
    (r"years?|yearly|annual\w*|months?|monthly|quarterly", "12 52 365 4 30"),
    (r"leap", "366 29"),
    (r"january|march|may|july|august|october|december", "31"),
    (r"april|june|september|november", "30"),
    (r"february", "28"),
    (r"foot|feet|inch\w*", "12"),
    (r"yards?", "3 36"),
    (r"miles?", "5280"),
    (r"pounds?|ounces?|lbs?|oz", "16"),
    (r"gallons?|quarts?|pints?|cups?", "4 2 8 16"),
    (r"kilo\w*|kg|km|meters?|grams?|liters?|litres?|tons?|ml|milli\w*", "1000"),
    (r"meters?|centi\w*|cm", "100"),
    (r"percent\w*|discount|per cent|interest", "100 .01"),
    (r"cents?|dollars?|penny|pennies", "100 .01"),
    (r"nickels?", "5 .05"),
    (r"dimes?", "10 .1"),
    (r"quarters?", "25 .25"),
    (r"squares?", "4 2"),
    (r"rectang\w*|perimeter|length|wide|width|triang\w*|sides?|every other|round trip", "2 4 3"),
    (r"decades?", "10"),
    (r"century|centuries", "100"),
    (r"legs?|wheels?|eyes?|hands?|feet|ears|arms|wings|tires|shoes|paws", "2 4 8 6 3"),
    (r"average|between|split|shared?", "2 3"),
)  # fmt: skip
_IN_WORDS = ((r"two|second|again", "2"), (r"three|third", "3"), (r"four", "4"), (r"five", "5"))
"""Words of a solution that explain a constant, but are no other origin for a number that is asked."""
_CONSTANTS, _SPELLED = (
    tuple(
        (
            re.compile(rf"(?:\b|(?<=\d))(?:{words})\b", re.I),
            frozenset(map(Fraction, values.split())),
        )
        for words, values in table
    )
    for table in (_KNOWN, _IN_WORDS)
)
_LISTED = re.compile(r"[$\w]+(?:, [^,.?!]{1,30})*,? and (?=[$\w])")


def constants_asked(question: str) -> frozenset[Fraction]:
    """What the question's words, fractions and enumerations bring in."""
    return frozenset(fraction_parts(question)).union(
        *(values for words, values in _CONSTANTS if words.search(question)),
        (HUNDRED, 1 / HUNDRED) if "%" in question else (),
        (Fraction(m[0].count(",") + 2 - (", and" in m[0])) for m in _LISTED.finditer(question)),
    )


def constants_told(text: str) -> frozenset[Fraction]:
    """What the words of question and solution together bring in."""
    found = (values for words, values in (*_CONSTANTS, *_SPELLED) if words.search(text))
    return frozenset[Fraction]().union(*found)
