"""Finding weights by name or path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.weights import CATALOG, resolve


@pytest.mark.parametrize("name", CATALOG)
def test_absent_weights_name_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"with: vitarmm models pull {re.escape(name)}$"):
        resolve(name, tmp_path)


def test_a_path_is_itself(tmp_path: Path) -> None:
    assert resolve(tmp_path, tmp_path / "home") == tmp_path
    assert resolve(str(tmp_path), tmp_path / "home") == tmp_path


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match="neither a path nor one of qwen2.5-coder-0.5b-instruct,"
    ):
        resolve("qwen9", tmp_path)


@pytest.mark.parametrize("path", ["./missing/model", "model.gguf", "/nowhere/model"])
def test_a_missing_path_is_called_a_path(path: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file or folder"):
        resolve(path, tmp_path)


@pytest.mark.parametrize("entry", CATALOG.values(), ids=list(CATALOG))
def test_every_entry_can_be_checked_and_fetched(entry: object) -> None:
    for file in entry.files:  # type: ignore[attr-defined]
        assert re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 0 and file.parts
        assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.requirement) for part in file.parts)
