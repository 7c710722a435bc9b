"""The value of a closed form: numbers, roots, π, e, powers, factorials, fractions. Bounded, and never ``eval``."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from vitarmm_agent.answers import latex
from vitarmm_agent.numbers.reading import UNSIGNED, fold_digits, literal, trimmed

MAX_TEXT = 400
MAX_DEPTH = 40
MAX_FACTORIAL = 170
"""The last whose factorial is a float."""

_TOKEN = re.compile(
    rf"\s*(?P<token>{UNSIGNED}|√|π|\*\*|[-+*/^()°%!]|\\?sqrt|pi\b|e(?![a-z])|\\?(?:sin|cos|tan|ln)(?![a-z]))",
)
_MIXED = re.compile(r"(?<![\w.^])(\d{1,18}) (\d{1,18}/\d{1,18})")
_CONSTANTS = {"π": math.pi, "pi": math.pi, "e": math.e}
_ROOT_INDEX = re.compile(r"\\sqrt\s*+\[")
_SYMBOLS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "[": "(", "]": ")"})


class _NoClosedForm(ValueError):
    pass


def closed_form(text: str) -> float | None:
    r"""Value of ``text`` when it is a closed form without variables, else None.

    ``3√2``, ``\\frac{\\sqrt{3}}{2}``, ``2(\\pi - 1)``, ``4^2`` are read; a letter, a relation, an
    interval or a power out of the range of a float are not.
    """
    if len(text) > MAX_TEXT or _ROOT_INDEX.search(text):
        return None
    text = re.sub(r"\\(?:dfrac|tfrac|cfrac)", r"\\frac", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = _grouped_roots(text)
    plain = trimmed(fold_digits(latex.to_plain(text)).translate(_SYMBOLS), " $.\n")
    try:
        tokens = _tokens(_MIXED.sub(r"(\1+\2)", plain))
        reader = _Reader(tokens)
        value = reader.sum(0)
        if reader.at != len(tokens) or not math.isfinite(value):
            return None
        return value
    except (_NoClosedForm, OverflowError, ZeroDivisionError):
        return None


def _grouped_roots(text: str) -> str:
    r"""``\sqrt{…}`` and ``^{…}`` with round brackets, so that dropping braces loses nothing."""
    for pattern in (r"(?:\\sqrt|√)\s*(?=\{)", r"\^\s*(?=\{)"):
        position = 0
        while match := re.compile(pattern).search(text, position):
            end = latex.group_end(text, match.end())
            if end is None:
                break
            head = "^" if match[0][0] == "^" else "√"
            text = f"{text[: match.start()]}{head}({text[match.end() + 1 : end - 1]}){text[end:]}"
            position = match.start() + 1
    return text


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise _NoClosedForm(text[at : at + 10])
        tokens.append(match["token"].lstrip("\\"))
        at = match.end()
    return tokens


def _factorial(value: float) -> float:
    if not 0 <= value <= MAX_FACTORIAL or value != int(value):
        raise _NoClosedForm("factorial")
    return float(math.factorial(int(value)))


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self, depth: int) -> float:
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            value += self.product(depth) if self.take() == "+" else -self.product(depth)
        return value

    def product(self, depth: int) -> float:
        value = self.signed(depth)
        while token := self.peek():
            if token in ("*", "/"):
                self.take()
                value = value * self.signed(depth) if token == "*" else value / self.signed(depth)
            elif (
                token in ("√", "sqrt", "(")
                or token in _CONSTANTS
                or (token[0].isdigit() and self._after_close())
            ):
                value *= self.power(depth)
            else:
                break
        return value

    def _after_close(self) -> bool:
        return self.tokens[self.at - 1] == ")" or self.tokens[self.at - 1] in _CONSTANTS

    def signed(self, depth: int) -> float:
        sign = 1
        while self.peek() in ("+", "-"):
            sign = sign if self.take() == "+" else -sign
        return sign * self.power(depth)

    def power(self, depth: int) -> float:
        value = self.atom(depth)
        while self.peek() in ("°", "!"):
            value = _factorial(value) if self.take() == "!" else value
        if self.peek() not in ("^", "**"):
            return value
        self.take()
        exponent = self.signed(depth + 1)
        result = value**exponent if abs(exponent) < 1e4 else math.inf
        if isinstance(result, complex) or not math.isfinite(result):
            raise _NoClosedForm("power")
        return result

    def atom(self, depth: int) -> float:
        token = self.take() if self.peek() else ""
        if depth > MAX_DEPTH or not token:
            raise _NoClosedForm("end or depth")
        if token == "(":
            value = self.sum(depth + 1)
            if not self.peek() or self.take() != ")":
                raise _NoClosedForm("bracket")
            return value
        if token in ("√", "sqrt"):
            inner = self.atom(depth + 1)
            if inner < 0:
                raise _NoClosedForm("root")
            return math.sqrt(inner)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        number: Fraction | None = literal(token) if token[0].isdigit() or token[0] == "." else None
        if number is None:
            raise _NoClosedForm(token)
        return float(number)
