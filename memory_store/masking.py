"""A problem without its names and numbers: what it has in common with others of its kind."""

from __future__ import annotations

import re

from vitarmm_agent.numbers.finding import replace_numbers

CAPITAL = re.compile(r"\b[A-Z][a-z]{2,}\b")
NOT_NAMES = frozenset(
    "The There They Their She Her His How What When Where Which Who Why Each Every Some All Both "
    "After Before During While Then This That These Those For From With Without Into Today "
    "Yesterday Tomorrow Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February "
    "March April May June July August September October November December One Two Three Four Five "
    "Six Seven Eight Nine Ten Half Twice Mr Mrs Miss Its Now Only Another Other Altogether Given "
    "Suppose Assuming Because Since Also But And Not His Her Our Your First Second Third Last Next "
    "Calculate Find Determine Christmas Easter Halloween".split()
)


def general(problem: str) -> str:
    """``problem`` without its names and numbers, as the condition of a lesson would put it."""
    plain = CAPITAL.sub(lambda m: m.group() if m.group() in NOT_NAMES else "someone", problem)
    return " ".join(masked(plain, "some").split())


def masked(problem: str, word: str) -> str:
    """``problem`` with ``word`` for each of its numerals, with currency and percent sign."""
    text = replace_numbers(problem, lambda _: word, words=False)
    return text.replace(f"${word}", word).replace(f"{word}%", word)
