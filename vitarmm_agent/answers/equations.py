"""The equations of a step that can be checked: what is written on both sides, and whether it holds.

Read on the side of silence: where a letter, a function, a clock time, a mix of units or a running
sentence leaves more than one reading, nothing is claimed. An equation counts as false only when
every customary reading of it is false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate_tokens
from vitarmm_agent.answers.equation_readings import (
    Side,
    first_number,
    has_another,
    mixes_units,
    percent_change,
)
from vitarmm_agent.answers.equation_tokens import Token, calculator_notes, prepare, tokenize
from vitarmm_agent.numbers.reading import SCALES, show
from vitarmm_agent.numbers.units import unit_name

MAX_EQUATIONS = 100
MAX_UNIT_WORDS = 6
FLOAT_NOISE = Fraction(1, 10**9)
"""Relative error that a calculator leaves in ``1.6666666666666665``."""
PERCENT = (Fraction(1, 100), Fraction(1))

_STOPS = frozenset(
    "and or so then than to is are was were be from by which that since because if but while when "
    "where we he she they i you it means leaving total left over".split()
)
_RISKY_BEFORE = frozenset(
    "of than times by from to plus minus per over half twice double triple thrice third quarter "
    "every least most mod modulo sum difference product quotient average mean between".split()
)
_COMPARISON = frozenset("less fewer more difference short below above".split())
_REMAINDER = frozenset("remainder remaining r mod modulo base".split())


@dataclass(frozen=True)
class Equation:
    """One equation as it stands in a step.

    Attributes:
        text: what is written, tidied.
        left: the side that is computed, tidied.
        shown: the result as written.
        value: what the computed side comes to.
        holds: whether it is true, allowing for rounding of what is shown.
        measure: name of the known unit that the result has, or nothing.
    """

    text: str
    left: str
    shown: str
    value: Fraction
    holds: bool
    measure: str = ""

    @property
    def right_value(self) -> str:
        """What should have stood there."""
        return show(self.value, 4)


def equations(text: str, *, with_annotations: bool = True) -> list[Equation]:
    """Equations of a step that can be checked, at most 100, in order.

    Args:
        text: a step, plain or LaTeX, with or without GSM8K annotations.
        with_annotations: check what stands inside ``<<…>>`` too.
    """
    found: list[Equation] = []
    sources = [prepare(text), *(calculator_notes(text) if with_annotations else ())]
    for source in sources:
        for clause in _clauses(tokenize(source)):
            for equation in _of_clause(clause, source):
                if len(found) >= MAX_EQUATIONS:
                    return found
                if equation.text not in {other.text for other in found}:
                    found.append(equation)
    return found


def _clauses(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    clause: list[Token] = []
    for token in tokens:
        if token.kind == "break":
            yield clause
            clause = []
        else:
            clause.append(token)
    yield clause


def _of_clause(clause: list[Token], source: str) -> Iterator[Equation]:
    relations = [i for i, token in enumerate(clause) if token.kind == "relation"]
    if not relations or any(t.text.lower() in ("mod", "modulo", "≡") for t in clause):
        return
    edges = [-1, *relations, len(clause)]
    parts = [clause[edges[i] + 1 : edges[i + 1]] for i in range(len(edges) - 1)]
    last = len(parts) - 1
    computed: Side | None = None
    for index, relation in enumerate(relations):
        left = _as_left(parts[index], first=index == 0)
        right = _as_right(parts[index + 1], last=index + 1 == last)
        if left and not left.bare:
            computed = left
        elif left and right and computed:
            left = _carried(computed, left, right)
        else:
            computed = None
        if left and right:
            equation = _judge(left, right, approximate=clause[relation].text == "≈")
            if equation:
                yield equation


def _carried(computed: Side, shown: Side, right: Side) -> Side:
    """What a chain has computed, for its next result: ``12 - 5 = 7 = 8``.

    A result that is only given in another unit stands for itself.
    """
    units = computed.units | shown.units
    return replace(computed, units=units) if right.bare and right.units <= units else shown


def _as_left(part: list[Token], *, first: bool) -> Side | None:
    """The longest expression that ends this part."""
    for start, token in enumerate(part):
        if not _may_start(token, part, start, clause_start=first and start == 0):
            continue
        side, end = _expression(part, start)
        if side is None or end != len(part):
            continue
        before = part[start - 1] if start else None
        if before is not None and (not _harmless_before(before) or _goes_on(part[:start])):
            return None
        led = any(t.kind in ("word", "opaque") for t in part[:start])
        return replace(side, led=led)
    return None


def _may_start(token: Token, part: list[Token], index: int, *, clause_start: bool) -> bool:
    if token.kind in ("number", "unit") or token.text == "(":
        return True
    return token.text == "-" and (index == 0 or clause_start) and index + 1 < len(part)


def _harmless_before(token: Token) -> bool:
    if token.kind == "word":
        return token.text.lower() not in _RISKY_BEFORE and token.text.lower() not in SCALES
    return False


def _goes_on(before: list[Token]) -> bool:
    """Whether the expression is the end of a longer one: ``7 + Shonda (1) + 2``."""
    for token in reversed(before):
        if token.kind != "word" or token.text.lower() in _STOPS:
            return token.kind == "op" and token.text in "+*"
    return False


def _as_right(part: list[Token], *, last: bool) -> Side | None:
    """The longest expression that begins this part."""
    if not part or not _may_start(part[0], part, 0, clause_start=True):
        return None
    side, end = _expression(part, 0)
    if side is None:
        return None
    rest = part[end:]
    if not rest:
        return side
    return side if _harmless_after(part, end, last=last) else None


def _harmless_after(part: list[Token], end: int, *, last: bool) -> bool:
    after = part[end]
    following = part[end + 1] if end + 1 < len(part) else None
    if after.kind == "word":
        if after.text.lower() in _REMAINDER:
            return False
        return not (after.text.lower() == "and" and following and following.kind == "number")
    if after.text == "(":
        return following is not None and following.kind == "word"
    return after.text == ")"


def _expression(part: list[Token], start: int) -> tuple[Side | None, int]:
    """The longest expression of ``part`` from ``start``: the side and the index behind it."""
    tokens: list[str] = []
    units: set[str] = set()
    depth, at, best = 0, start, None
    expects_operand = True
    while at < len(part):
        token = part[at]
        if expects_operand:
            if token.kind == "unit":
                units.add(token.text)
                at += 1
            elif token.text in ("(", "-") and token.kind == "op":
                if token.text == "(" and (skip := _remark(part, at)):
                    at = skip
                    continue
                depth += token.text == "("
                tokens.append(token.text)
                at += 1
            elif token.kind == "number":
                tokens.extend(_number_tokens(token.text))
                at, expects_operand = _after_number(part, at + 1, tokens, units), False
            else:
                break
        elif token.text == ")" and token.kind == "op" and depth:
            tokens.append(")")
            depth -= 1
            at = _unit_words(part, at + 1, units)
        elif token.kind == "op" and token.text in "+-*/^":
            if token.text == "/" and (skip := _per(part, at, units)):
                at = skip
            else:
                tokens.append(token.text)
                at, expects_operand = at + 1, True
        elif token.text == "(" and tokens and tokens[-1] == ")" and not _remark(part, at):
            tokens.append("*")
            expects_operand = True
        elif token.text == "(" and (skip := _remark(part, at)):
            at = skip
        else:
            break
        if not expects_operand and not depth:
            best = (len(tokens), at)
    if best is None or (expects_operand and best[1] != at):
        return None, start
    kept, end = tokens[: best[0]], best[1]
    bare = sum(t not in "+-%()" for t in kept) == 1
    measure = _first_measure(part[start:end])
    return Side(tuple(kept), _tidy(kept), frozenset(units), bare, False, measure), end


def _first_measure(tokens: Sequence[Token]) -> str:
    """Name of the known unit that stands at the first number; nothing where none does.

    A dollar sign behind a number closes a formula, and so does one before it then.
    """
    if any(b.kind == "number" and token.text == "$" for b, token in pairwise(tokens)):
        tokens = [token for token in tokens if token.text != "$"]
    for before, token in pairwise(tokens):
        if before.kind == "unit":
            return unit_name(before.text) or ""
        if before.kind == "number":
            known = token.kind in ("unit", "word") and token.text.lower() != "in"
            return unit_name(token.text) or "" if known else ""
    return ""


def _after_number(part: list[Token], at: int, tokens: list[str], units: set[str]) -> int:
    while at < len(part) and (
        part[at].kind in ("percent", "unit") or part[at].text.lower() in SCALES
    ):
        token = part[at]
        if token.kind == "percent":
            tokens.append("%")
        elif token.kind == "unit":
            if at + 1 < len(part) and part[at + 1].kind == "number":
                break
            units.add(token.text)
        else:
            tokens.append(token.text.lower())
        at += 1
    return _unit_words(part, at, units)


def _unit_words(part: list[Token], at: int, units: set[str]) -> int:
    end = at
    while end < len(part) and end - at < MAX_UNIT_WORDS and part[end].kind == "word":
        word = part[end].text.lower()
        if word in _STOPS or word in SCALES or word in _REMAINDER:
            break
        units.add(word)
        end += 1
    raised = end > at and [token.kind for token in part[end : end + 2]] == ["op", "number"]
    return end + 2 if raised and part[end].text == "^" else end


def _per(part: list[Token], at: int, units: set[str]) -> int | None:
    """Index behind ``/ word``, which is a unit."""
    if at + 1 < len(part) and part[at + 1].kind == "word":
        return _unit_words(part, at + 1, units)
    return None


def _remark(part: list[Token], at: int) -> int | None:
    """Index behind a bracket that holds words only."""
    end = at + 1
    while end < len(part) and part[end].kind == "word":
        end += 1
    return end + 1 if end > at + 1 and end < len(part) and part[end].text == ")" else None


def _number_tokens(text: str) -> list[str]:
    words = text.replace("and", " ").split()
    if len(words) == 2 and "/" in words[1]:
        top, bottom = words[1].split("/")
        return ["(", words[0], "+", top, "/", bottom, ")"]
    return [text]


def _tidy(tokens: Sequence[str]) -> str:
    text = " ".join(tokens)
    for old, new in (("( ", "("), (" )", ")"), (" %", "%"), (" ^ ", "^")):
        text = text.replace(old, new)
    return text


def _judge(left: Side, right: Side, *, approximate: bool) -> Equation | None:
    if (left.bare and right.bare) or (left.bare and left.led):
        return None
    if mixes_units(left, right) or percent_change(left) or percent_change(right):
        return None
    try:
        pairs = [
            (evaluate_tokens(left.tokens, percent=p), evaluate_tokens(right.tokens, percent=q))
            for p in (PERCENT if "%" in left.tokens else PERCENT[:1])
            for q in (PERCENT if "%" in right.tokens else PERCENT[:1])
        ]
        if not right.bare:
            pairs += [
                (value, first)
                for value, _ in pairs[:1]
                if (first := first_number(right)) is not None
            ]
    except NotArithmeticError:
        return None
    computed, shown = (left, right) if right.bare or not left.bare else (right, left)
    if _COMPARISON & right.units and pairs[0][0] == -pairs[0][1]:
        return None  # "20 - 35 = 15 less" tells the sign in words
    holds = any(_agree(a, b, left, right, approximate) for a, b in pairs)
    if not holds and any(has_another(left, right, *pair) for pair in pairs):
        return None
    value = pairs[0][0] if computed is left else pairs[0][1]
    return Equation(
        text=f"{left.text} {'≈' if approximate else '='} {right.text}",
        left=computed.text,
        shown=shown.text,
        value=value,
        holds=holds,
        measure=shown.measure,
    )


def _agree(a: Fraction, b: Fraction, left: Side, right: Side, approximate: bool) -> bool:
    if a == b:
        return True
    difference, size = abs(a - b), max(abs(a), abs(b))
    if difference <= size * FLOAT_NOISE:
        return True
    if approximate and difference <= size / 20:
        return True
    if not left.bare and not right.bare:
        return difference <= size / 50
    computed, shown = (a, b) if right.bare else (b, a)
    places = _places(right if right.bare else left)
    if places == 0 and computed.denominator == 1:
        return False
    return difference < Fraction(1, 10**places) and (places > 0 or abs(computed) >= 1)


def _places(side: Side) -> int:
    """Decimals of the shown number."""
    number = next(t for t in side.tokens if t[0].isdigit() or t[0] == ".")
    decimals = len(number.partition(".")[2])
    return decimals + 2 if "%" in side.tokens else decimals
