"""JSON that someone else wrote: a model, or whoever made a file."""

from __future__ import annotations

import json
import re
from typing import Any

_BRACKET = re.compile(r"[{\[]")


def parse_json(text: str | bytes, *, strict: bool = True) -> Any:
    """As :func:`json.loads`, which raises another error where brackets are nested too deeply.

    Raises:
        json.JSONDecodeError: it is no JSON, or nested too deeply.
        ValueError: a number has thousands of digits.
    """
    try:
        return json.loads(text, strict=strict)
    except RecursionError:
        raise json.JSONDecodeError("brackets are nested too deeply", "", 0) from None


MAX_STARTS = 50
"""Brackets of the words round it that are tried as the beginning of JSON."""


def json_in(text: str, *, strict: bool = True) -> Any:
    """The JSON object or list of a text that may have words, or a code fence, round it: the last one.

    Raises:
        json.JSONDecodeError: there is none.
        ValueError: a number has thousands of digits.
    """
    try:
        return parse_json(text, strict=strict)
    except json.JSONDecodeError as error:
        why = error
    decoder = json.JSONDecoder(strict=strict)
    found, at = list[Any](), 0
    for _ in range(MAX_STARTS):
        if (start := _BRACKET.search(text, at)) is None:
            break
        try:
            data, at = decoder.raw_decode(text, start.start())
            found.append(data)
        except (json.JSONDecodeError, RecursionError):
            at = start.end()
    if not any(found):
        raise why
    return [data for data in found if data][-1]
