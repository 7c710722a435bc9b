"""JSON that someone else wrote: a model, or whoever made a file."""

from __future__ import annotations

import json
from typing import Any


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
