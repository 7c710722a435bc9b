"""Options that may be written with dashes and with underscores alike."""

from __future__ import annotations

from typing import Any


def with_dashes(name: str) -> str:
    """``vita_model`` → ``vita-model``."""
    return name.replace("_", "-")


EITHER: dict[str, Any] = {"token_normalize_func": with_dashes}
"""``context_settings`` of a command or group whose options may be spelled either way.

A value of a fixed choice is spelled either way too; no other value is touched.
"""
