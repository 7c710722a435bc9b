"""Text that a model or a person wrote, made fit to show; and times and figures for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from vitarmm_agent.clip import one_line

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
TEX = re.compile(
    r"\$\$(?P<block>[^$]{1,2000}?)\$\$"
    r"|\\\[(?P<bracket>.{1,2000}?)\\\]"
    r"|\\\((?P<paren>.{1,2000}?)\\\)"
    r"|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]{0,500}?[^\s$\\])?)\$(?![\w$])",
    re.DOTALL,
)
"""A formula between dollars, or between TeX's own brackets."""
_LOOKS_LIKE_TEX = re.compile(
    r"[\\^_{}]|^[A-Za-z]$|^(?!.*[A-Za-z]{3})[\w\s+*/=().,<>!|-]*[A-Za-z][\w\s+*/=().,<>!|-]*$"
)


def visible(value: Any) -> Any:
    """Text with control, direction and broken characters written out; other values untouched."""
    if not isinstance(value, str):
        return value
    if isinstance(value, Markup):
        return value
    return _HIDDEN.sub(_name, value)


def _name(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x0D:
        return ""
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


def looks_like_tex(source: str) -> bool:
    """Whether what stands between two dollars is a formula, rather than between two prices."""
    return bool(_LOOKS_LIKE_TEX.search(source))


def ago(value: str, now: datetime | None = None) -> str:
    """``5 min ago`` for an ISO time; the date for what is older than a week."""
    try:
        then = datetime.fromisoformat(value)
    except ValueError:
        return visible(value) if value else "–"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for size, unit in ((60, "s"), (3600, "min"), (86400, "h"), (7 * 86400, "d")):
        if seconds < size:
            per = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
            return f"{max(0, int(seconds // per))} {unit} ago"
    return then.date().isoformat()


def when(value: Any) -> str:
    """An ISO time to the second, for people."""
    text = value.isoformat() if isinstance(value, datetime) else str(value or "")
    return text[:19].replace("T", " ")


def from_time(stamp: float) -> datetime:
    """Seconds since 1970 as a moment."""
    return datetime.fromtimestamp(stamp, UTC)


def seconds(value: float | None) -> str:
    """``340 ms``, ``2.1 s``, ``3 min 20 s``."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def number(value: float | None) -> str:
    """``12,345``."""
    return "–" if value is None else f"{value:,.0f}"


def clip(value: Any, length: int = 140) -> str:
    """The beginning of a text on one line."""
    return one_line(str(value or ""), length)
