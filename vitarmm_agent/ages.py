"""Ages in words: how long ago, or for how long."""

from __future__ import annotations

import re
from datetime import timedelta

from vitarmm_agent.errors import InputError

_AGE = re.compile(r"(\d{1,6})\s?(minute|min|hour|h|day|d|week|w)s?")
_UNITS = {"min": "minutes", "minute": "minutes", "h": "hours", "hour": "hours",
          "d": "days", "day": "days", "w": "weeks", "week": "weeks"}  # fmt: skip


def age(text: str) -> timedelta:
    """An age such as ``30d``, ``12 hours`` or ``8w``.

    Raises:
        InputError: it is none.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise InputError(f"an age is a number with min, h, d or w, such as 30d; got {text!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
