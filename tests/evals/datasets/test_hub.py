"""Benchmarks by the ``datasets`` library: a folder, and a hub that cannot be reached."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vitarmm_agent.errors import InputError, MissingExtraError
from vitarmm_agent.evals.datasets import load_benchmark

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def folder(path: Path, split: str, rows: list[dict[str, Any]]) -> Path:
    path.mkdir(exist_ok=True)
    datasets.Dataset.from_list(rows).to_parquet(path / f"{split}-00000-of-00001.parquet")
    return path


def sums(count: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(count)]


def test_a_folder_of_two_splits(tmp_path: Path) -> None:
    path = folder(folder(tmp_path / "g", "train", sums(3)), "test", sums(2))
    usual = load_benchmark("gsm8k", path)
    assert (usual.split, len(usual.problems), usual.source) == ("test", 2, "g")
    train = load_benchmark("gsm8k", path, split="train")
    assert [p.id for p in train.problems] == [f"gsm8k-train-{n:05d}" for n in range(3)]
    assert train.sha256 != usual.sha256
    assert load_benchmark("gsm8k", path).sha256 == usual.sha256


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "g", "test", sums(2))
    with pytest.raises(InputError, match="its splits are test"):
        load_benchmark("gsm8k", path, split="train")


def test_images_inside_the_rows(tmp_path: Path) -> None:
    rows = [
        {
            "pid": str(n),
            "question": "Which?",
            "image": f"images/{n}.jpg",
            "decoded_image": Image.new("RGB", (8 + n, 8)),
            "choices": ["red", "blue"],
            "unit": None,
            "precision": None,
            "answer": "red",
            "question_type": "multi_choice",
            "answer_type": "text",
            "metadata": {"split": "testmini", "task": "x"},
        }
        for n in range(2)
    ]
    found = load_benchmark("mathvista", folder(tmp_path / "m", "data", rows))
    assert [p.images[0].width for p in found.problems] == [8, 9]
    assert found.split == "testmini"


def test_no_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'openai/gsm8k'.*give its file"):
        load_benchmark("gsm8k", "hub:")
    with pytest.raises(InputError, match="'someone/else'"):
        load_benchmark("gsm8k", "hub:someone/else")
    with pytest.raises(InputError, match="no usual hub repository"):
        load_benchmark("problems", "hub:")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *more: Any, **named: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.delitem(sys.modules, "datasets")
    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"vitarmm-agent\[eval\]"):
        load_benchmark("gsm8k", "hub:")
