"""How a worked word problem hangs together: where each number of its solution comes from.

A row of GSM8K shows its calculations (``<<48/2=24>>``). Every number in them is traced to a number
of the question, to an earlier result, or to a constant (``twice``, minutes in an hour). What has two
origins may be used only with values for which both agree; what has none drops the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations
from typing import Literal

from vitarmm_agent.answers.arithmetic import NotArithmeticError, evaluate_tokens, tokenize
from vitarmm_agent.answers.equation_tokens import NOTE
from vitarmm_agent.answers.equations import equations
from vitarmm_agent.evals.datasets.constants import constants_asked, constants_told
from vitarmm_agent.evals.datasets.gsm8k import worked_and_gold
from vitarmm_agent.evals.datasets.question_numbers import (
    HUNDRED,
    POINTS,
    Asked,
    asked_in,
)
from vitarmm_agent.evals.datasets.records import RowError
from vitarmm_agent.numbers.finding import Found, numbers_in
from vitarmm_agent.numbers.reading import find_numbers, literal

Form = Literal["plain", "share", "rest", "rest share", "more", "more share"]
"""How a percentage is written in a calculation: 20, 0.2, 80, 0.8, 120 or 1.2."""
SMALL = 10
"""Constants that nothing in the text explains are counted things, and few."""

_PLAIN_SUM = re.compile(
    r"(?<![\w.,$%)])(\(?\$?\d[\d,.]*%?(?:\s*[-+*/×x÷]\s*\(?\$?\d[\d,.]*%?\)?)+)\s*=\s*\$?(\d[\d,.]*\d|\d)"
)
_ALGEBRA = re.compile(r"\b[A-Za-z]\s*=(?!=)|\b\d+[a-wyzA-WYZ]\b|\d[xX]\s*[-+=)]|\bLet [a-zA-Z] ")
_CHOOSING = re.compile(
    r"\b(?:which|who|most|least|fewest|cheap\w*|better|best|minimum|maximum|highest|lowest|largest"
    r"|smallest|enough|cho(?:ice|ose)\w*|maximi\w+|minimi\w+|prefer\w*|profit|sav(?:e|ing)\w*|whichever|if (?:it|he|she|they)|round\w*|approximat\w*|nearest|average|mean"
    r"|median|mode|range|even|odd|prime|factor|divisible|consecutive|multiples?|percentage"
    r"|what percent|what fraction|probability|chance|odds|ratio|per\s?cent of)\b",
    re.IGNORECASE,
)
"""Where the larger of two is asked for, or a kind of number, the order of all numbers is kept."""


@dataclass(frozen=True)
class Origin:
    """Where a number comes from.

    Attributes:
        kind: a number of the question, the result of a step, or a constant.
        index: which one; of a constant, 0.
        form: how a percentage of the question is written.
        value: of a constant.
    """

    kind: Literal["asked", "result", "constant"]
    index: int = 0
    form: Form = "plain"
    value: Fraction = Fraction(0)


Origins = tuple[Origin, ...]


@dataclass(frozen=True)
class Calculation:
    """One calculation of the solution.

    Attributes:
        tokens: its expression.
        origins: of each token that is a number, by its place in the tokens.
        result: what it comes to.
        line: number of the line that it stands in.
    """

    tokens: tuple[str, ...]
    origins: dict[int, Origins]
    result: Fraction
    line: int


@dataclass(frozen=True)
class Told:
    """A number in a line of the solution, with its origins."""

    found: Found
    origins: Origins


@dataclass(frozen=True)
class Chain:
    """A row, traced.

    Attributes:
        question: its text.
        asked: the numbers of the question, without repetitions.
        calculations: in order.
        lines: of the solution, without notes.
        told: the numbers of each line.
        answer: the final value.
        answer_origins: the calculations that it is the result of.
        ordered: the order of all values must stay, since the question or its solution compares.
    """

    question: str
    asked: tuple[Asked, ...]
    calculations: tuple[Calculation, ...]
    lines: tuple[str, ...]
    told: tuple[tuple[Told, ...], ...]
    answer: Fraction
    answer_origins: Origins
    ordered: bool


def form_of(value: Fraction, form: Form) -> Fraction:
    """A percentage as it is written in a calculation."""
    if form == "plain":
        return value
    whole = value if "share" not in form else value / HUNDRED
    base = HUNDRED if "share" not in form else Fraction(1)
    return base - whole if "rest" in form else base + whole if "more" in form else whole


def from_form(value: Fraction, form: Form) -> Fraction:
    """The percentage that is written as ``value``."""
    value = value * HUNDRED if "share" in form else value
    return HUNDRED - value if "rest" in form else value - HUNDRED if "more" in form else value


def read_chain(question: str, answer: str) -> Chain:
    """Trace every number of a worked solution.

    Args:
        question: of the row.
        answer: its solution, with calculator notes and a last line ``#### N``.

    Raises:
        RowError: it has no such line, a number cannot be traced, or a calculation does not hold.
    """
    worked, _, gold = worked_and_gold(answer)
    noted = [line.strip() for line in worked.splitlines() if line.strip()]
    lines = tuple(" ".join(NOTE.sub("", line).split()) for line in noted)
    if "<<" in "".join(lines) or _ALGEBRA.search(" ".join(lines)):
        raise RowError("is solved with letters")
    if any(not e.holds for line in lines for e in equations(line)):
        raise RowError("has an equation that does not hold")
    tracer = _Tracer(question, asked_in(question), lines, list(_calculations(noted)))
    return tracer.chain(gold)


def _calculations(noted: Sequence[str]) -> Iterator[tuple[int, list[str], Fraction]]:
    """Line, expression and value of every calculation, noted or plainly written."""
    for number, line in enumerate(noted):
        written = [(m.start(), m[1]) for m in NOTE.finditer(line)]
        bare = NOTE.sub(lambda m: " " * len(m[0]), line)
        written += [(m.start(1), f"{m[1]}={m[2]}") for m in _PLAIN_SUM.finditer(bare)]
        seen: list[list[str]] = []
        for _, text in sorted(written):
            left, _, right = text.replace("$", "").rpartition("=")
            shown = literal(right.strip().rstrip("."))
            if shown is None:
                raise RowError("has a note that is no calculation")
            if not left.strip():
                continue
            try:
                tokens = tokenize(left)
                value = evaluate_tokens(tokens)
            except NotArithmeticError:
                raise RowError("has a note that is no calculation") from None
            if len(tokens) == 1 or tokens in seen:
                continue
            seen.append(tokens)
            if value != shown:
                raise RowError("has a calculation that is rounded or does not hold")
            yield number, tokens, value


_HERE = "\x1f"
_OPERAND = re.compile(rf"[-+*/x×÷–(] ?\$?{_HERE}|{_HERE}\)? ?[-+*/x×÷–]")
"""A number that is added, multiplied and so on, in a line where it is marked."""
_RESULT = re.compile(r"= ?\$?$")


class _Tracer:
    def __init__(
        self,
        question: str,
        asked: Sequence[Asked],
        lines: Sequence[str],
        calculations: Sequence[tuple[int, list[str], Fraction]],
    ) -> None:
        self.question, self.lines = question, lines
        self.calculations = calculations
        self.results = [value for _, _, value in calculations]
        text = " ".join([question, *lines])
        self.text = text
        self.sure = constants_asked(question)
        self.constants = self.sure | constants_told(text)
        self.asked = [self._settled(number) for number in asked]

    def _settled(self, number: Asked) -> Asked:
        """The number, fixed where a calculation that shows its value may mean something else."""
        if number.fixed or number.percent:
            return number
        if number.value in self.sure:
            return replace(number, fixed="is also a constant")
        uses = 0
        written = {tuple(tokens): at for at, (_, tokens, _) in enumerate(self.calculations)}
        for tokens, at in written.items():
            if number.value not in self.results[:at]:
                uses += sum(
                    token[0] in "0123456789." and literal(token) == number.value for token in tokens
                )
        if number.value <= 12 and uses > len(number.places):
            return replace(number, fixed="is used more often than it stands")
        return number

    def chain(self, gold: Fraction) -> Chain:
        if not self.calculations:
            raise RowError("has no calculator notes")
        done = []
        for number, (line, tokens, value) in enumerate(self.calculations):
            origins = {
                at: self._origins(read, number)
                for at, token in enumerate(tokens)
                if (read := literal(token) if token[0].isdigit() or token[0] == "." else None)
                is not None
            }
            done.append(Calculation(tuple(tokens), origins, value, line))
        told = tuple(
            tuple(Told(found, self._told(found, number, line, done)) for found in _numerals(line))
            for number, line in enumerate(self.lines)
        )
        ends = tuple(Origin("result", i) for i, value in enumerate(self.results) if value == gold)
        if not ends:
            raise RowError("answer is no result of its calculations")
        return Chain(
            self.question, tuple(self.asked), tuple(done), tuple(self.lines), told, gold, ends,
            bool(_CHOOSING.search(self.question)) or _leaves_over(done, ends),
        )  # fmt: skip

    def _told(self, found: Found, line: int, text: str, done: Sequence[Calculation]) -> Origins:
        """Where a number of a line can come from: as in the calculations of the line, above all."""
        known = sum(at <= line for at, _, _ in self.calculations)
        value = abs(found.value)
        here = list(
            dict.fromkeys(
                origin
                for calculation in done
                if calculation.line == line
                for at, origins in calculation.origins.items()
                if literal(calculation.tokens[at]) == value
                for origin in origins
            )
        )
        others = [o for o in self._known(value, known) if o not in here]
        if here and _OPERAND.search(text[: found.start] + _HERE + text[found.end :]):
            return tuple(here)
        if others and _RESULT.search(text[: found.start]):
            results = tuple(o for o in others if o.kind == "result")
            return results or tuple(others)
        if here:
            return (*here, *others)
        if found.spelled and value <= 6 and POINTS.search(text, 0, found.start):
            return (Origin("constant", value=value), *self._known(value, known))
        if found.spelled and value == 1:
            return (Origin("constant", value=value),)
        return self._origins(value, known, told=True)

    def _origins(self, value: Fraction, known: int, *, told: bool = False) -> Origins:
        """Where a number can come from, given the results of the first ``known`` calculations."""
        found = self._known(value, known)
        if found:
            return found
        if value in self.constants or (
            value == 1 and not self._hidden(value, known, pairs_only=True)
        ):
            return (Origin("constant", value=value),)
        if value > SMALL or value.denominator > 1 or self._hidden(value, known):
            where = "solution tells" if told else "calculation uses"
            raise RowError(f"its {where} a number that nothing in the text explains")
        return (Origin("constant", value=value),)

    def _known(self, value: Fraction, known: int) -> Origins:
        found = []
        for index, number in enumerate(self.asked):
            forms: tuple[Form, ...] = ("plain",)
            if number.percent:
                forms = ("plain", "share", "rest", "rest share", "more", "more share")
            found += [
                Origin("asked", index, form)
                for form in forms
                if form_of(number.value, form) == value
            ]
        found += [
            Origin("result", index)
            for index, result in enumerate(self.results[:known])
            if result == value
        ]
        return tuple(found)

    def _hidden(self, value: Fraction, known: int, *, pairs_only: bool = False) -> bool:
        """Whether a number may be the result of a calculation that is not written down."""
        numbers = [a.value for a in self.asked if not a.fixed] + self.results[:known]
        others = [*numbers, *(a.value for a in self.asked)]
        if not pairs_only:
            others += [*self.constants, *map(Fraction, (2, 3, 10, 100))]
        made = {a + b for a, b in permutations(numbers, 2)}
        for a in numbers:
            made |= {a - b for b in others} | {b - a for b in others}
            made |= {a / b for b in others if b} | {b / a for b in others if a}
            made |= {a * b for b in others if b != 1}
        return value in made or (len(numbers) > 2 and value == sum(numbers))


def _leaves_over(done: Sequence[Calculation], ends: Origins) -> bool:
    """Whether a result is used nowhere: then the solution compares, and takes the other one."""
    used = {o.index for o in ends}
    for calculation in done:
        used |= {
            o.index
            for origins in calculation.origins.values()
            for o in origins
            if o.kind == "result"
        }
    return any(i not in used for i in range(len(done)))


def _numerals(line: str) -> Iterator[Found]:
    """The numbers of a solution's line, each part of a fraction by itself."""
    for found in numbers_in(line):
        if not found.parts or found.spelled:
            yield found
            continue
        for match in find_numbers(line[found.start : found.end]):
            value = literal(match[0])
            if value is None:
                raise RowError("has a number that is too long")
            yield Found(found.start + match.start(), found.start + match.end(), value)
