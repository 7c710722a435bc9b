"""Entry text is data that models and people wrote: made harmless for a prompt.

Neutralising breaks what a chat template or tokenizer could take for structure and leaves the words
readable.
"""

from __future__ import annotations

import re
import unicodedata

MAX_FIELD = 800
"""Characters of one field in a prompt."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_WIDTHS = ("<wide>", "<narrow>", "<small>", "<vertical>")
"""Forms that are the same character in another width: ``＜`` is ``<``. Superscripts and fractions,
which mathematics needs, stay."""
_BREAKS = [
    (re.compile(r"<(?=[|/!?\w])"), "< "),  # <|im_start|>, </s>, <image>, </memory>
    (re.compile(r"(?<=[|])>"), " >"),
    (re.compile(r"\[(?=/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_\w+)\b)", re.IGNORECASE), "[ "),
    (re.compile(r"<(?=<)"), "< "),
    (re.compile(r"`{3,}|~{3,}"), "'''"),
    (re.compile(r"!(?=\[)"), "! "),  # a Markdown image
    (re.compile(r"(?<![^\s])#{1,6}(?=\s)"), "·"),
]


def neutralise(text: str, limit: int = MAX_FIELD) -> str:
    """``text`` on one line, without control characters and control tokens, at most ``limit`` long."""
    shown = text if text.isascii() else "".join(map(_usual_width, text))
    shown = "".join(
        " " if char.isspace() else "" if unicodedata.category(char) in _INVISIBLE else char
        for char in shown
    )
    for pattern, replacement in _BREAKS:
        shown = pattern.sub(replacement, shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)].rstrip() + "…"


def _usual_width(char: str) -> str:
    form = unicodedata.decomposition(char)
    return unicodedata.normalize("NFKC", char) if form.startswith(_WIDTHS) else char
