"""The beginning of a text that is too long for its place."""

from __future__ import annotations


def clip(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis, at most ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def one_line(text: str, length: int) -> str:
    """The same of a text on one line."""
    return clip(" ".join(text.split()), length)
