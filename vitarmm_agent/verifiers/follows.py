"""Whether the final answer is what the steps came to, and of the kind that was asked for."""

from __future__ import annotations

import re
from fractions import Fraction

from vitarmm_agent.answers import read_answer
from vitarmm_agent.answers.choices import choice_index, letter_of
from vitarmm_agent.answers.equations import Equation, equations
from vitarmm_agent.answers.latex import to_plain
from vitarmm_agent.answers.normalise import quantity_of, value_of
from vitarmm_agent.answers.restated import may_state
from vitarmm_agent.answers.steps import is_final_line, parse_steps
from vitarmm_agent.effects import Flow
from vitarmm_agent.numbers.finding import numbers_in
from vitarmm_agent.numbers.reading import Quantity, find_numbers, literal, show
from vitarmm_agent.numbers.units import NO_UNIT, Unit, conversion, dimension_of, unit_name
from vitarmm_agent.problem import Attempt, ErrorKind, Feedback, Problem, Step, StepError

LAST_STEPS = 2
_COUNT = re.compile(
    r"\bhow many\s+(?:more\s+|fewer\s+|total\s+|other\s+|of\s+the\s+)?(?P<noun>\w+)", re.I
)
_FRACTION = re.compile(r"\(\(?(\d+)\)/\((\d+)\)\)?")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))")
_NAMED = re.compile(r"[$€£¢]|(?!in\b)[A-Za-z]+")
_QUANTITY = re.compile(r"\bhow (?:many|much|old|long|far|tall|fast|often)\b", re.I)
_MEASURES = frozenset(
    "percent degrees times cups servings bushels acres loads calories points units watts mph "
    "tablespoons teaspoons scoops pages games liters litres percentage square cubic bags "
    "batches boxes".split()
)


class AnswerFollows:
    """Fails an answer that the last steps do not come to, or that is of the wrong kind.

    Checked are: the type asked for, a whole number where things are counted, the sign, the unit,
    that the value stands in one of the last two steps, and that the choice is the one whose value was
    computed. A pass says that the answer is the result of the last equation.
    """

    name = "answer_follows"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        """Compare the final answer with the last steps."""
        yield from ()
        answer = attempt.answer
        if answer is None:
            answer = read_answer(problem, attempt.text, cut=attempt.cut)
        if answer is None:
            return self._fail(
                "The attempt commits to no final answer.", "format", "no answer", None
            )
        steps = _working(attempt)
        if problem.answer_type == "choice":
            return self._choice(problem, answer, steps)
        quantity = quantity_of(answer)
        if quantity is None:
            if problem.answer_type in ("integer", "float"):
                return self._fail(
                    f"The answer {answer[:100]!r} is no number; a number is asked for.",
                    "format", "no number", None,
                )  # fmt: skip
            return Feedback(verdict="abstain", source=self.name)
        return self._kind(problem, answer, quantity) or self._result(
            problem, answer, quantity, steps
        )

    def _kind(self, problem: Problem, answer: str, quantity: Quantity) -> Feedback | None:
        """A fail when the answer is not of the kind asked for."""
        value = quantity.value * (conversion(quantity.unit, NO_UNIT, counting=True) or 1)
        noun = _COUNT.search(problem.text)
        counted = noun is not None and not _is_measure(noun["noun"])
        if value.denominator != 1 and (problem.answer_type == "integer" or counted):
            what = noun["noun"] if noun and counted else "a whole number"
            return self._fail(
                f"The answer {answer} is not a whole number; the question asks for {what}.",
                "format", "not a whole number", None,
            )  # fmt: skip
        if value < 0 and _QUANTITY.search(problem.text):
            return self._fail(
                f"The answer {answer} is negative; the question asks for a quantity.",
                "wrong operation", "negative quantity", None,
            )  # fmt: skip
        other = _other_unit(problem.unit, answer)
        if other:
            return self._fail(
                f"The answer is in {other}; {problem.unit} is asked for.", "unit",
                f"{other} for {problem.unit}", None,
            )  # fmt: skip
        return None

    def _result(
        self, problem: Problem, answer: str, quantity: Quantity, steps: list[Step]
    ) -> Feedback:
        """Whether the value stands in the last steps."""
        if not steps:
            return Feedback(verdict="abstain", source=self.name)
        value, last = quantity.value, last_results(steps)
        results = [shown for shown, _ in last]
        if equal := [unit_name(one.measure) or "" for shown, one in last if shown == value]:
            return self._same_number(problem, answer, quantity.unit, equal, steps)
        numbers = {number for step in steps[-LAST_STEPS:] for number in _numbers(step.text)}
        if abs(value) in numbers or not results or _may_state(problem, answer, steps, last):
            return Feedback(verdict="abstain", source=self.name)
        computed = show(results[-1], 4)
        return self._fail(
            f"The final answer {answer} is not what the last step comes to ({computed}).",
            "missing step", f"answer is not {computed}", steps[-1].number,
        )  # fmt: skip

    def _same_number(
        self, problem: Problem, answer: str, unit: Unit, computed: list[str], steps: list[Step]
    ) -> Feedback:
        """A pass, unless the number stands with another unit: ``$150`` is not 150 cents."""
        factors = [_factor(name, unit) for name in computed]
        if all(factor not in (None, 1) for factor in factors):
            return self._fail(
                f"The answer is {answer}; the last step comes to that number in another unit "
                f"({computed[-1]}).",
                "unit", f"{computed[-1]} for another unit", steps[-1].number,
            )  # fmt: skip
        if 1 not in factors or _unsaid(unit, computed, problem.text):
            return Feedback(verdict="abstain", source=self.name)
        return Feedback(verdict="pass", source=self.name, message="The answer is the last result.")

    def _choice(self, problem: Problem, answer: str, steps: list[Step]) -> Feedback:
        index = choice_index(problem.choices, answer)
        last = last_results(steps)
        results = [value for value, _ in last]
        if index is None or not results:
            return Feedback(verdict="abstain", source=self.name)
        values = [value_of(choice) for choice in problem.choices]
        if values[index] is None:
            return Feedback(verdict="abstain", source=self.name)
        if values[index] in results:
            return Feedback(
                verdict="pass",
                source=self.name,
                message="The choice has the value of the last result.",
            )
        hits = [i for i, value in enumerate(values) if value is not None and value == results[-1]]
        if len(hits) != 1 or _may_state(problem, problem.choices[index], steps, last):
            return Feedback(verdict="abstain", source=self.name)
        return self._fail(
            f"The last step comes to {show(results[-1], 4)}, which is choice {letter_of(hits[0])}, "
            f"not {letter_of(index)}.",
            "wrong choice mapping", f"{letter_of(index)} for {letter_of(hits[0])}", steps[-1].number,
        )  # fmt: skip

    def _fail(self, message: str, kind: ErrorKind, subject: str, step: int | None) -> Feedback:
        error = StepError(step=step, kind=kind, message=message, subject=subject)
        return Feedback(
            verdict="fail", source=self.name, score=0.0, errors=(error,), message=message
        )


def last_results(steps: list[Step]) -> list[tuple[Fraction, Equation]]:
    """Results as shown of the equations in the last step that has any, in order, each with its equation."""
    for step in reversed(steps[-LAST_STEPS:]):
        found = [
            (value, equation)
            for equation in equations(step.text, with_annotations=False)
            if (value := value_of(equation.shown)) is not None
        ]
        if found:
            return found
    return []


def _may_state(
    problem: Problem, answer: str, steps: list[Step], last: list[tuple[Fraction, Equation]]
) -> bool:
    """Whether an answer may be what a last equation comes to, or what is written there, in other words."""
    values = [v for shown, one in last for v in (shown, *([one.value] if one.holds else ()))]
    working = "\n".join(step.text for step in steps[-LAST_STEPS:])
    return may_state(answer, values, f"{problem.unit or ''}\n{working}\n{problem.text}")


def _working(attempt: Attempt) -> list[Step]:
    steps = attempt.steps or parse_steps(attempt.text)
    return [step for step in steps if not is_final_line(step.text)]


def _factor(name: str, unit: Unit) -> Fraction | None:
    """What a result in the unit of that name is multiplied by to have ``unit``; None where that is not known."""
    if not name or not unit.measures or name in unit.measures:
        return Fraction(1)
    return conversion(Unit({name: 1}), unit)


def _unsaid(unit: Unit, computed: list[str], said: str) -> bool:
    """Whether no result has the answer's unit, and another of its dimension is named: ``50 cents``, ``8 pm``."""
    dimensions = set(unit.dimensions()) & {"money", "length", "mass", "volume", "time", "clock"}
    if not dimensions or any(name in unit.measures for name in computed):
        return False
    words = _NAMED.findall(said)
    named = {unit_name(word) for word in words if dimension_of(word) in dimensions}
    return "clock" in dimensions or bool(named) and not named & set(unit.measures)


def _numbers(text: str) -> set[Fraction]:
    """The numbers of a step in digits, as fractions and in words; a "one" may stand for a thing."""
    plain = {v for m in find_numbers(text) if (v := literal(m[0])) is not None}
    written = _FRACTION.sub(r"\1/\2", to_plain(text))
    return plain | {
        abs(found.value)
        for read in {written, _DECIMAL_COMMA.sub(".", written)}
        for found in numbers_in(read)
        if not found.spelled or found.value != 1
    }


def _is_measure(noun: str) -> bool:
    word = noun.lower()
    return (
        dimension_of(word) is not None
        or word in _MEASURES
        or word.rstrip("s") in _MEASURES
        or word.removesuffix("es") in _MEASURES
    )


def _other_unit(unit: str | None, answer: str) -> str | None:
    """A unit named in the answer that is of the dimension of ``unit`` but another one."""
    wanted = unit_name(unit or "")
    if wanted is None:
        return None
    for word in re.findall(r"[A-Za-z]+", answer):
        if dimension_of(word) == dimension_of(wanted) and unit_name(word) != wanted:
            return str(word)
    return None
