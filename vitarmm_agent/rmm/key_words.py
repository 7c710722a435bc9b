"""What a problem is about, in its own key words, without names and numbers. Pure."""

from __future__ import annotations

import re

from vitarmm_agent.numbers.finding import numbers_in

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_MARKS = "$€£¥%.,;:!?()[]\"“”‘'*"
_EMPTY = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have he her hers "
    "him his how i if in is it its many more most much of on one or our she should so some someone "
    "than that the their them then there these they this those to was we were what when where which "
    "while who whose will with would you your".split()
)
"""Words that a condition can do without: what is left is nearer to its siblings, and less to others."""


def key_words(problem: str, limit: int) -> str:
    """The telling words of a problem, as far as they fit.

    Only words in small letters are taken, so that a name is none, wherever it stands, and whatever it
    means in small letters. Numbers, addresses and scripts without small letters are left out, too.

    Args:
        problem: any text.
        limit: characters.
    """
    words = (word.strip(_MARKS).removesuffix("'s") for word in problem.replace("’", "'").split())
    said = " ".join(word for word in words if _tells(word))
    return said if len(said) <= limit else said[: limit + 1].rpartition(" ")[0]


def _tells(word: str) -> bool:
    common = word.islower() and len(word) > 1 and word not in _EMPTY
    return common and bool(_WORD.fullmatch(word)) and not any(numbers_in(word))
