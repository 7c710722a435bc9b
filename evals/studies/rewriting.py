"""Word problems told again: other names, numbers and objects, by a seed."""

from __future__ import annotations

import random
import re
from fractions import Fraction

from vitarmm_agent.numbers.finding import Found, replace_numbers
from vitarmm_agent.numbers.reading import show

NAMES = (
    "Amara Bruno Chloe Dmitri Elena Farid Greta Hiro Ines Jonas Kavya Lorenzo Mina Nikolai Oluchi "
    "Petra Quentin Rosa Stefan Tamsin Umar Viola Wanda Xavier Yuki Zelda"
).split()
OBJECTS = {
    "food": "apple orange banana cookie cupcake sandwich pizza donut muffin brownie pie cake candy "
    "egg potato tomato carrot burger taco pear peach mango lemon melon",
    "things": "book pencil pen marble toy doll sticker card stamp coin shirt hat sock shoe ticket "
    "balloon clip crayon notebook magazine puzzle postcard bracelet necklace",
    "animals": "dog cat chicken cow horse rabbit fish bird duck goat sheep pig turtle parrot "
    "hamster lizard frog owl",
    "plants": "flower tree rose tulip bush daisy orchid lily sunflower fern",
    "places": "store farm park library museum bakery market garage factory bookshop zoo restaurant",
    "people": "friend teacher student neighbor brother sister cousin classmate uncle aunt",
    "rides": "car truck bus bike train boat van tractor motorcycle taxi",
}
FACTORS = (Fraction(1, 2), Fraction(3, 2), Fraction(2), Fraction(3))
_GROUPS = [words.split() for words in OBJECTS.values()]
_CAPITAL = re.compile(r"\b[A-Z][a-z]{2,}\b")
_NOT_NAMES = frozenset(
    "The There They Their She Her His How What When Where Which Who Why Each Every Some All Both "
    "After Before During While Then This That These Those For From With Without Into Today "
    "Yesterday Tomorrow Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February "
    "March April May June July August September October November December One Two Three Four Five "
    "Six Seven Eight Nine Ten Half Twice Mr Mrs Miss Its Now Only Another Other Altogether Given "
    "Suppose Assuming Because Since Also But And Not His Her Our Your First Second Third Last Next "
    "Calculate Find Determine Christmas Easter Halloween".split()
)


def rewrite(problem: str, seed: int) -> str:
    """``problem`` with its names, numbers and everyday objects changed, each the same throughout."""
    dice = random.Random(seed)
    changed = _with_other_names(problem, dice)
    changed = _with_other_objects(changed, dice)
    return _with_other_numbers(changed, dice)


def general(problem: str) -> str:
    """``problem`` without its names and numbers, as the condition of a lesson would put it."""
    plain = _CAPITAL.sub(lambda m: m.group() if m.group() in _NOT_NAMES else "someone", problem)
    return " ".join(masked(plain, "some").split())


def masked(problem: str, word: str) -> str:
    """``problem`` with ``word`` for each of its numerals, with currency and percent sign."""
    text = replace_numbers(problem, lambda _: word, words=False)
    return text.replace(f"${word}", word).replace(f"{word}%", word)


def _with_other_names(problem: str, dice: random.Random) -> str:
    used: dict[str, str] = {}
    free = [name for name in NAMES if name not in problem]
    dice.shuffle(free)

    def other(match: re.Match[str]) -> str:
        word = match.group()
        if word in _NOT_NAMES or not free:
            return word
        if word not in used:
            used[word] = free.pop()
        return used[word]

    # A word at the start of a sentence is a name only if it also stands elsewhere, or is not
    # an ordinary word in lower case anywhere in the problem.
    return _CAPITAL.sub(other, problem)


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
