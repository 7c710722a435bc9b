"""Siblings of a word problem: the same problem with other numbers, solved anew exactly.

Numbers are drawn at random, of the same magnitude and as round as those that stood there, until the
whole chain of calculations comes out: what was whole stays whole, what was positive stays positive,
and numbers keep their order, so that a part stays smaller than its whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate_tokens
from vitarmm_agent.answers.equations import equations
from vitarmm_agent.evals.datasets.chains import (
    Calculation,
    Chain,
    Origins,
    form_of,
    from_form,
    read_chain,
)
from vitarmm_agent.evals.datasets.question_numbers import Asked
from vitarmm_agent.evals.datasets.records import RowError
from vitarmm_agent.numbers.finding import Found
from vitarmm_agent.numbers.reading import WORDS

LONGEST = 4_000
"""Characters of a row: what reads it need not be linear."""
TRIES = 600
"""For each sibling."""
FAR = 4
"""How many times larger or smaller a result may become."""
SMALL = 12
"""Up to here a number is drawn from all its neighbours."""
_ROUND = (1000, 100, 50, 10, 5)
_FINER = {1000: 100, 100: 10, 50: 10, 10: 5, 5: 1}
_SPELLED = {value: word for word, value in WORDS.items()}


@dataclass(frozen=True)
class Sibling:
    """One sibling.

    Attributes:
        question: its text.
        steps: its worked solution, a line each, without notes.
        notes: its calculations, ``48/2=24``.
        answer: the exact answer.
    """

    question: str
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    answer: str


def siblings_of(question: str, answer: str, k: int, seed: str) -> list[Sibling]:
    """The siblings of a row, with answers that differ from its own and from one another's.

    Args:
        question: of the row.
        answer: its worked solution, with calculator notes and a last line ``#### N``.
        k: how many.
        seed: decides everything.

    Raises:
        RowError: there are not so many that are surely right; the text says why.
    """
    if len(question) + len(answer) > LONGEST:
        raise RowError(f"is longer than {LONGEST:,} characters")
    chain = read_chain(question, answer)
    if all(number.fixed for number in chain.asked):
        raise RowError("no number of the question may change")
    draw = _Draw(chain, random.Random(seed))
    found: list[Sibling] = []
    seen = {chain.answer}
    for number in range(TRIES * k):
        if len(found) == k or number > TRIES * (len(found) + 1):
            break
        try:
            drawn = draw.again(number % TRIES / TRIES)
        except _NotTheseError:
            continue
        if drawn.answer not in seen:
            seen.add(drawn.answer)
            found.append(_written(chain, drawn))
    if len(found) < k:
        raise RowError("too few other numbers keep every value whole and positive")
    return found


class _NotTheseError(Exception):
    """These numbers do not fit."""


@dataclass
class _Numbers:
    """Values that fit together: of the question's numbers, of the calculations, the answer."""

    asked: dict[int, Fraction]
    results: list[Fraction]
    answer: Fraction = Fraction(0)

    def of(self, origins: Origins) -> list[Fraction]:
        """What each known origin comes to."""
        return [
            o.value
            if o.kind == "constant"
            else self.results[o.index]
            if o.kind == "result"
            else form_of(self.asked[o.index], o.form)
            for o in origins
            if o.kind != "asked" or o.index in self.asked
        ]


class _Draw:
    """Draws numbers for a chain; a number is drawn when a calculation first needs it."""

    def __init__(self, chain: Chain, dice: random.Random) -> None:
        self.chain, self.dice = chain, dice
        self.fixed = {i: n.value for i, n in enumerate(chain.asked) if n.fixed}
        self.free = len(chain.asked) - len(self.fixed)
        self.places = [_places(c.result) for c in chain.calculations]
        self.choices: dict[tuple[int, int], list[Fraction]] = {}

    def again(self, hardship: float) -> _Numbers:
        """Numbers that fit; the longer one has tried, the less round they need to be.

        Raises:
            _NotTheseError: what was drawn does not fit.
        """
        chain, numbers = self.chain, _Numbers(dict(self.fixed), [])
        self.finer, self.size = int(hardship * 3), self.dice.random()
        for calculation, places in zip(chain.calculations, self.places, strict=True):
            tokens = list(calculation.tokens)
            for at, origins in calculation.origins.items():
                tokens[at] = _numeral(self._value(origins, numbers))
            try:
                result = evaluate_tokens(tokens)
            except NotArithmeticError:
                raise _NotTheseError from None
            _check_result(calculation, result, places)
            numbers.results.append(result)
        for told in (told for line in chain.told for told in line):
            self._value(told.origins, numbers)
        for i, number in enumerate(chain.asked):
            numbers.asked.setdefault(i, number.value)
        numbers.answer = self._value(chain.answer_origins, numbers)
        self._check_all(numbers)
        return numbers

    def _value(self, origins: Origins, numbers: _Numbers) -> Fraction:
        """The one value that all origins agree on; numbers not drawn yet are made to agree."""
        known = numbers.of(origins)
        if not known:
            first = origins[0]
            numbers.asked[first.index] = self._other(first.index)
            known = [form_of(numbers.asked[first.index], first.form)]
        if any(value != known[0] for value in known):
            raise _NotTheseError
        for o in origins:
            if o.kind == "asked" and o.index not in numbers.asked:
                numbers.asked[o.index] = from_form(known[0], o.form)
                _check_asked(self.chain.asked[o.index], numbers.asked[o.index])
            elif o.kind == "asked" and form_of(numbers.asked[o.index], o.form) != known[0]:
                raise _NotTheseError
        return known[0]

    def _other(self, index: int) -> Fraction:
        key = (index, self.finer)
        if key not in self.choices:
            number = self.chain.asked[index]
            found = list(_choices(number, self.finer))
            others = [value for value in found if value != number.value or self.finer > 1]
            self.choices[key] = others or found
        choices = self.choices[key]
        if not choices:
            raise _NotTheseError
        place = self.size + self.dice.uniform(-0.3, 0.3)
        return choices[min(max(int(place * len(choices)), 0), len(choices) - 1)]

    def _check_all(self, numbers: _Numbers) -> None:
        """Enough is changed, and the order is kept."""
        asked = self.chain.asked
        changed = sum(numbers.asked[i] != n.value for i, n in enumerate(asked))
        if changed < max(1, (self.free + 1) // 2):
            raise _NotTheseError
        pairs = [(n.value, numbers.asked[i]) for i, n in enumerate(asked) if not n.percent]
        if self.chain.ordered:
            calculations = zip(self.chain.calculations, numbers.results, strict=True)
            pairs += [(c.result, value) for c, value in calculations]
        pairs.sort()
        if any(a < b and x >= y for (a, x), (b, y) in pairwise(pairs)):
            raise _NotTheseError


def _choices(number: Asked, finer: int) -> Iterator[Fraction]:
    """Values that a number may have, in order; from coarse to fine."""
    old = number.value
    low, high = old / 2, old * 2
    low = low if low > 2 else Fraction(2)
    high = high if number.most is None or high < number.most else number.most
    if number.percent:
        step = next((Fraction(s) for s in (10, 5, 1) if old % s == 0), Fraction(1, _places(old)))
        high = min(high, Fraction(95)) if old < 100 else high
    elif old.denominator > 1:
        steps = (Fraction(1, 4), Fraction(1, 20), Fraction(1, _places(old)))
        step = next(step for step in steps if (old / step).denominator == 1)
        low = old / 2
    elif old <= SMALL:
        step, high = Fraction(1), min(high, old + 6)
    else:
        at = next((s for s in _ROUND if old % s == 0 and old >= 3 * s), 1)
        for _ in range(finer):
            at = _FINER.get(at, 1)
        step = Fraction(at)
    for count in range(-(-low // step), high // step + 1):
        yield count * step


def _check_asked(number: Asked, value: Fraction) -> None:
    near = number.value / 3 <= value <= number.value * 3
    small = number.most is None or value <= number.most
    written = (value * _places(number.value)).denominator == 1
    if not (near and small and written) or value < min(Fraction(2), number.value):
        raise _NotTheseError


def _check_result(calculation: Calculation, value: Fraction, places: int) -> None:
    """Whole where it was whole, positive, no plural become singular, and of the same magnitude."""
    old = calculation.result
    near = old <= FAR * value and value <= max(FAR * old, Fraction(SMALL))
    if value <= 0 or not near or (value * places).denominator != 1 or (value == 1 and old > 1):
        raise _NotTheseError


def _places(value: Fraction) -> int:
    """The power of ten that makes a value whole."""
    power = 1
    while (value * power).denominator != 1:
        power *= 10
        if power > 10**6:
            raise _NotTheseError
    return power


def _written(chain: Chain, numbers: _Numbers) -> Sibling:
    places = [(found, numbers.asked[i]) for i, n in enumerate(chain.asked) for found in n.places]
    steps = tuple(
        _replaced(line, [(t.found, numbers.of(t.origins)[0]) for t in told])
        for line, told in zip(chain.lines, chain.told, strict=True)
    )
    if any(not e.holds for step in steps for e in equations(step)):
        raise RowError("has a solution that cannot be rewritten")
    return Sibling(
        question=_replaced(chain.question, sorted(places, key=lambda place: place[0].start)),
        steps=steps,
        notes=tuple(_notes(chain, numbers)),
        answer=_numeral(numbers.answer),
    )


def _notes(chain: Chain, numbers: _Numbers) -> Iterator[str]:
    for calculation, result in zip(chain.calculations, numbers.results, strict=True):
        tokens = list(calculation.tokens)
        for at, origins in calculation.origins.items():
            tokens[at] = _numeral(numbers.of(origins)[0])
        yield f"{''.join(tokens)}={_numeral(result)}"


def _replaced(text: str, values: Sequence[tuple[Found, Fraction]]) -> str:
    """The text with new values, each written as the number that stood there."""
    parts, at = [], 0
    for found, value in values:
        if value == abs(found.value):
            continue
        new = _like(text[found.start : found.end], value)
        parts += [_with_article(text[at : found.start], new), new]
        at = found.end
    return "".join([*parts, text[at:]])


def _with_article(before: str, number: str) -> str:
    """``a`` or ``an`` at the end of a text, as the number behind it asks for."""
    n = "n" if re.match(r"8|1[18](?![\d.])|1[18],|eight|eleven", number) else ""
    return re.sub(r"\b([Aa])n?( \$?)$", rf"\g<1>{n}\g<2>", before)


def _like(old: str, value: Fraction) -> str:
    if old[0].isalpha() and value.denominator == 1 and 0 < value < 100:
        ones = int(value % 10)
        word = _SPELLED.get(int(value)) or f"{_SPELLED[int(value) - ones]}-{_SPELLED[ones]}"
        return word.capitalize() if old[0].isupper() else word
    whole, _, rest = _numeral(value).partition(".")
    if re.search(r"\.\d\d$", old):
        rest = f"{rest:0<2}"
    whole = f"{int(whole):,}" if "," in old or len(whole) > 4 else whole
    return f"{whole}.{rest}" if rest else whole


def _numeral(value: Fraction) -> str:
    """A value in digits, exactly."""
    if value.denominator == 1:
        return str(value.numerator)
    power = _places(value)
    digits = len(str(power)) - 1
    text = str(int(value * power)).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}"
