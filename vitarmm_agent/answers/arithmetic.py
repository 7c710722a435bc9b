"""Exact arithmetic on written expressions: ``+ - * / ^ !``, brackets, percent.

A recursive-descent reader over a closed set of tokens; no names, no calls, nothing evaluated as
code. Values are fractions of at most :data:`MAX_BITS` bits, brackets at most :data:`MAX_DEPTH` deep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from vitarmm_agent.numbers.reading import SCALES, UNSIGNED, fold_digits, literal

MAX_BITS = 4096
MAX_DEPTH = 40
MAX_TOKENS = 400
MAX_FACTORIAL = 500
"""Its factorial is just within the bound."""

OPERATORS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "⁄": "/"})
"""Not ``∶``, which divides in an expression and names a ratio elsewhere."""
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{UNSIGNED})|(?P<op>\*\*|[-+*/^()%!])|(?P<times>[xX](?=[\s\d(.$]))"
    rf"|(?P<scale>(?:{'|'.join(SCALES)})\b))"
)


class NotArithmeticError(ValueError):
    """The text is no arithmetic, or goes beyond the bounds."""


def evaluate(text: str, *, percent: Fraction = Fraction(1, 100)) -> Fraction:
    """Value of an expression made of numbers and operators only.

    Args:
        text: for instance ``(1,200 - 3 × 4) / 2``.
        percent: what ``%`` behind a number multiplies by.

    Raises:
        NotArithmeticError: anything else stands in the text, a division by zero, or a bound is hit.
    """
    return evaluate_tokens(tokenize(text), percent=percent)


def tokenize(text: str) -> list[str]:
    """Tokens of an expression: numerals, ``+ - * / ^ ( ) % !`` and scale words.

    Raises:
        NotArithmeticError: something else stands in the text, or it is too long.
    """
    text = fold_digits(text).translate(OPERATORS).replace("∶", "/").replace("**", "^").strip()
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match or len(tokens) >= MAX_TOKENS:
            raise NotArithmeticError(f"no arithmetic at {text[position : position + 20]!r}")
        tokens.append("*" if match["times"] else match[0].strip())
        position = match.end()
    return tokens


def evaluate_tokens(tokens: Sequence[str], *, percent: Fraction = Fraction(1, 100)) -> Fraction:
    """Value of tokens as :func:`tokenize` gives them.

    Raises:
        NotArithmeticError: they are no expression, divide by zero, or hit a bound.
    """
    reader = _Reader(tokens, percent)
    value = reader.sum(0)
    if reader.position != len(tokens):
        raise NotArithmeticError(f"no operator before {tokens[reader.position]!r}")
    return value


class _Reader:
    def __init__(self, tokens: Sequence[str], percent: Fraction) -> None:
        self.tokens, self.percent, self.position = tokens, percent, 0
        written = {token for token in tokens if token[:1].isdigit() or token[:1] == "."}
        self.numbers = {token: literal(token) for token in written}

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1]

    def sum(self, depth: int) -> Fraction:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            other = (1 if self.take() == "+" else -1) * self.product(depth)
            value = _bounded(value + other)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.signed(depth)
        while True:
            token = self.peek()
            if token in ("*", "/"):
                self.take()
                value = _divide(value, self.signed(depth)) if token == "/" else _bounded(
                    value * self.signed(depth)
                )  # fmt: skip
            elif token == "(" and self.tokens[self.position - 1] == ")":
                value = _bounded(value * self.power(depth))
            else:
                return value

    def signed(self, depth: int) -> Fraction:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = sign if self.take() == "+" else -sign
        return sign * self.power(depth)

    def power(self, depth: int) -> Fraction:
        value = self.atom(depth)
        if self.peek() != "^":
            return value
        self.take()
        return _power(value, self.signed(depth + 1) if depth < MAX_DEPTH else _too_deep())

    def atom(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            _too_deep()
        token = self.take() if self.peek() else ""
        if token == "(":
            value = self.sum(depth + 1)
            if not self.peek() or self.take() != ")":
                raise NotArithmeticError("a bracket is not closed")
        else:
            number = self.numbers.get(token)
            if number is None:
                raise NotArithmeticError(f"a number is expected, got {token!r}")
            value = number
        while self.peek() in ("%", "!") or self.peek() in SCALES:
            token = self.take()
            if token == "!":
                value = _factorial(value)
            else:
                value *= self.percent if token == "%" else SCALES[token]
        return _bounded(value)


def _too_deep() -> Fraction:
    raise NotArithmeticError(f"brackets are nested deeper than {MAX_DEPTH}")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise NotArithmeticError("a value is too large")
    return value


def _divide(value: Fraction, by: Fraction) -> Fraction:
    if not by:
        raise NotArithmeticError("division by zero")
    return _bounded(value / by)


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        raise NotArithmeticError("a factorial that is no bounded whole number")
    return Fraction(math.factorial(int(value)))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > MAX_BITS or (not base and exponent < 0):
        raise NotArithmeticError("a power that is no bounded rational number")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length(), 1)
    if bits * max(abs(int(exponent)), 1) > MAX_BITS:
        raise NotArithmeticError("a value is too large")
    return Fraction(base ** int(exponent))
