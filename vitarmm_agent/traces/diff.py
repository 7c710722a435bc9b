"""What changed between two texts, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

MAX_WORDS = 4_000
"""Longer texts are compared line by line: word by word would take seconds."""


class Stretch(NamedTuple):
    """A stretch of text that both have, or only one of them."""

    kind: Literal["same", "removed", "added"]
    text: str


def word_diff(before: str, after: str) -> list[Stretch]:
    """Both texts as stretches, in order; the ``same`` and ``added`` ones join to ``after``."""
    old, new = _pieces(before), _pieces(after)
    changes: list[Stretch] = []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind == "equal":
            changes.append(Stretch("same", "".join(new[k:m])))
            continue
        if j > i:
            changes.append(Stretch("removed", "".join(old[i:j])))
        if m > k:
            changes.append(Stretch("added", "".join(new[k:m])))
    return changes


def _pieces(text: str) -> list[str]:
    words = re.findall(r"\s+|\w+(?:[.,]\w+)*|[^\w\s]", text)
    return words if len(words) <= MAX_WORDS else text.splitlines(keepends=True)
