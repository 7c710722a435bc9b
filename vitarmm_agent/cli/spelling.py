"""How options may be spelled: with dashes or underscores, and by the names they had before."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

OTHER_SPELLINGS = MappingProxyType(
    {
        "comment": "reason",
        "data-path": "data",
        "dataset": "benchmark",
        "feedback-model": "judge",
        "images": "images-as",
        "k": "limit",
        "keep-batches": "keep-last",
        "keep-since": "older-than",
        "message": "reason",
        "model": "reasoner",
        "num-samples": "sample-size",
        "only": "arms",
    }
)
"""Published names of options, which every command still takes, and the one that help shows."""


def with_dashes(name: str) -> str:
    """``vita_model`` → ``vita-model``."""
    return name.replace("_", "-")


def spelled(**others: str) -> dict[str, Any]:
    """``context_settings`` of a command: spellings that only it takes, besides those of all."""
    known = OTHER_SPELLINGS | {with_dashes(name): word for name, word in others.items()}

    def one_name(name: str) -> str:
        name = with_dashes(name)
        return known.get(name, name)

    return {"token_normalize_func": one_name}
