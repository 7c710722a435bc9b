"""Word problems told again with other numbers, too, which are not solved anew: for what is only searched."""

from __future__ import annotations

import random
import re
from fractions import Fraction

from vitarmm_agent.evals.datasets.retelling import NAMES, OBJECTS
from vitarmm_agent.memory_store.masking import CAPITAL, NOT_NAMES
from vitarmm_agent.numbers.finding import Found, replace_numbers
from vitarmm_agent.numbers.reading import show

FACTORS = (Fraction(1, 2), Fraction(3, 2), Fraction(2), Fraction(3))
_GROUPS = [words.split() for words in OBJECTS.values()]


def rewrite(problem: str, seed: int) -> str:
    """``problem`` with its names, numbers and everyday objects changed, each the same throughout."""
    dice = random.Random(seed)
    changed = _with_other_names(problem, dice)
    changed = _with_other_objects(changed, dice)
    return _with_other_numbers(changed, dice)


def _with_other_names(problem: str, dice: random.Random) -> str:
    used: dict[str, str] = {}
    free = [name for name in NAMES if name not in problem]
    dice.shuffle(free)

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if word in NOT_NAMES or not free:
            return word
        if word not in used:
            used[word] = free.pop()
        return used[word]

    return CAPITAL.sub(other, problem)


def _with_other_objects(problem: str, dice: random.Random) -> str:
    swaps: dict[str, str] = {}
    for group in _GROUPS:
        shift = dice.randrange(1, len(group))
        swaps |= {word: group[(i + shift) % len(group)] for i, word in enumerate(group)}

    def other(match: re.Match[str]) -> str:
        stem, plural = match.group(1), match.group(2)
        found = swaps.get(stem.lower())
        if found is None:
            return match.group()
        found = found.capitalize() if stem[0].isupper() else found
        return found + ("s" if plural else "")

    return re.sub(r"\b([A-Za-z]+?)(s|es)?\b", other, problem)


def _with_other_numbers(problem: str, dice: random.Random) -> str:
    used: dict[Fraction, str] = {}

    def other(value: Fraction) -> str:
        if value not in used:
            scaled = value * dice.choice(FACTORS) + dice.randint(1, 4)
            used[value] = show(scaled, 2) if value.denominator > 1 else str(max(2, round(scaled)))
        return used[value]

    def another(found: Found) -> str:
        if not found.parts:
            return other(found.value)
        *whole, top, bottom = map(other, found.parts)
        return " ".join([*whole, f"{top}/{bottom}"])

    return replace_numbers(problem, another, words=False)
