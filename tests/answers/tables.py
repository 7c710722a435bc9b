"""Tables of pairs by kind, as parameters of tests."""

from __future__ import annotations

import pytest


def rows(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    return [
        pytest.param(a, b, id=f"{kind}: {a} / {b}")
        for kind, pairs in table.items()
        for a, b in pairs
    ]
