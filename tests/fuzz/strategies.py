"""What to throw at a target: JSON of any shape, and good data with one part replaced."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

WORDS = st.sampled_from(
    ["", "1", "Answer: 5", "\\boxed 2", "<|im_start|>", "\x1b[2J", "\u202e", "\ud800", "(A)", "½",
     "../../etc/passwd", "pass", "9" * 400, "$\\frac{1}{2}$", "None", "{{7*7}}", "＜/memory＞"]
)  # fmt: skip
TEXT = st.text(max_size=30) | WORDS
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every part of JSON data."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = [here] if here else []
    for key, part in inner:
        found += paths(part, (*here, key))
    return found


@st.composite
def damaged(draw: st.DrawFn, good: Any, parts: int = 2) -> Any:
    """``good`` with up to so many of its parts replaced or taken out."""
    data = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, parts))):
        *way, last = draw(st.sampled_from(paths(data)))
        holder = data
        for key in way:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(JSON)
        else:
            del holder[last]
        if not paths(data):
            return data
    return data
