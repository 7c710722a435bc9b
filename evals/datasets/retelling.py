"""A word problem and its solution told with other names and objects, the same in both."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from vitarmm_agent.memory_store.masking import CAPITAL, NOT_NAMES

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
_BREAK = "\x1f"
_ACTS = (
    r"(?:'s|’s)\b| (?:has|had|is|was|wants?|wanted|needs?|needed|buys?|bought|makes?|made|gets?|got|goes"
    r"|went|can|will|sells?|sold|eats?|ate|earns?|earned|works?|worked|spends?|spent|and [A-Z])"
)
_SETTINGS = ("food", "things", "animals", "plants")
"""Groups whose words may stand for one another without changing what is counted."""
_BODIES = re.compile(
    r"\b(?:legs?|wheels?|eyes?|ears?|wings?|feet|paws?|eggs?|milk|pages?|slices?)\b", re.IGNORECASE
)
"""Words that tie a number to the thing it is said of."""
_ALIKE = {"fish": "fish", "sheep": "sheep"}


def retell(texts: Sequence[str], dice: random.Random) -> list[str]:
    """The texts with the people in them named anew and everyday objects exchanged within their kind.

    Objects stay where the text speaks of parts that one kind has and another has not.
    """
    whole = _BREAK.join(texts)
    whole = _with_other_names(whole, dice)
    if not _BODIES.search(whole):
        whole = _with_other_objects(whole, dice)
    return whole.split(_BREAK)


def _with_other_names(text: str, dice: random.Random) -> str:
    free = [name for name in NAMES if name not in text]
    dice.shuffle(free)
    new = dict(zip(_names_in(text), free, strict=False))
    return CAPITAL.sub(lambda m: new.get(m.group(), m.group()), text)


def _names_in(text: str) -> list[str]:
    """Capitalised words that stand inside a sentence, or begin one and act."""
    found = [
        m.group()
        for m in CAPITAL.finditer(text)
        if re.match(_ACTS, text[m.end() :])
        or (re.search(r"[a-z,] $", text[: m.start()]) and not re.match(r" ?\d", text[m.end() :]))
    ]
    plain = set(re.findall(r"\b[a-z]+\b", text))
    return [w for w in dict.fromkeys(found) if w not in NOT_NAMES and w.lower() not in plain]


def _with_other_objects(text: str, dice: random.Random) -> str:
    swaps: dict[str, str] = {}
    inside = set(re.findall(r"[a-z]+", text.lower()))
    for words in (OBJECTS[name].split() for name in _SETTINGS):
        shift = dice.randrange(1, len(words))
        for word, new in zip(words, words[shift:] + words[:shift], strict=True):
            compound = any(word in longer[1:] for longer in inside)  # melons may be watermelons
            if not compound:
                swaps |= {word: new, _plural(word): _plural(new)}

    def other(match: re.Match[str]) -> str:
        article, gap, word = match.groups()
        found = swaps.get(word.lower())
        if found is None:
            return match.group()
        if article:
            article = article[0] + ("n" if found[0] in "aeiou" else "")
        found = found.capitalize() if word[0].isupper() else found
        return (article or "") + (gap or "") + found

    return re.sub(r"\b(?:([Aa]n?)( ))?([A-Za-z]+)\b", other, text)


def _plural(word: str) -> str:
    if word in _ALIKE:
        return _ALIKE[word]
    if word.endswith(("ch", "sh", "s", "x", "to", "go")):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"
