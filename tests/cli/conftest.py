"""What commands that embed run with: a tiny embedder made here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.memory_store.tiny_bert import tiny_bert


@pytest.fixture(scope="session")
def tiny_embedder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """``tiny_embedder(dims)``: spec of a random BERT model of that length."""
    made: dict[int, str] = {}

    def make(dims: int) -> str:
        if dims not in made:
            made[dims] = f"local:{tiny_bert(tmp_path_factory.mktemp('embedder'), dims=dims)}"
        return made[dims]

    return make
