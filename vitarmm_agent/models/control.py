"""Control text that someone typed into a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def without_control_tokens(
    text: str, tokens: Sequence[str], readable: Mapping[str, str] | None = None
) -> str:
    """Break control tokens that someone typed, so that they stay readable but control nothing.

    A space goes behind the first character: ``<|im_start|>`` becomes ``< |im_start|>``.

    Args:
        text: what was typed.
        tokens: strings that the prompt scheme or the tokenizer gives a meaning to.
        readable: what to write instead of a token of one character; without, it stays.
    """
    for token in sorted(tokens, key=len, reverse=True):
        if token and token in text:
            broken = f"{token[0]} {token[1:]}" if len(token) > 1 else token
            text = text.replace(token, (readable or {}).get(token, broken))
    return text
