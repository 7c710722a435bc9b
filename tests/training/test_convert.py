"""GGUF weights become a cached bf16 folder."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.tiny_gguf import HIDDEN, write_gguf
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.training.convert import converted_folder, load_gguf


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_converted_copy_computes_what_the_file_does(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    path = write_gguf(
        tmp_path / "tiny.gguf",
        np.random.default_rng(1).standard_normal((261, HIDDEN)).astype(np.float32),
    )
    folder = converted_folder(path, tmp_path / "home")
    copy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    direct, _ = load_gguf(path)
    ids = torch.arange(40).unsqueeze(0)
    with torch.inference_mode():
        assert torch.equal(copy(ids).logits, direct(ids).logits)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert {t.dtype for t in weights_in(folder).values()} == {torch.bfloat16}


def test_a_tied_model_stays_tied(tmp_path: Path) -> None:
    folder = converted_folder(write_gguf(tmp_path / "tied.gguf"), tmp_path / "home")
    assert "lm_head.weight" not in weights_in(folder)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True


def test_one_matrix_held_twice_is_saved_once_at_its_finer_precision(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "twice.gguf", np.empty(0, np.float32))
    folder = converted_folder(path, tmp_path / "home")
    saved = weights_in(folder)
    assert "lm_head.weight" not in saved
    direct, _ = load_gguf(path)
    assert torch.equal(saved["model.embed_tokens.weight"], direct.lm_head.weight)


def test_two_different_matrices_are_both_saved(tmp_path: Path) -> None:
    output = np.random.default_rng(1).standard_normal((261, HIDDEN)).astype(np.float32)
    folder = converted_folder(write_gguf(tmp_path / "two.gguf", output), tmp_path / "home")
    assert "lm_head.weight" in weights_in(folder)


def test_a_file_is_converted_once(tmp_path: Path) -> None:
    path, home = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "home"
    folder = converted_folder(path, home)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert converted_folder(path, home) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


def test_another_file_of_the_same_name_is_another_copy(tmp_path: Path) -> None:
    path, home = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "home"
    first = converted_folder(path, home)
    write_gguf(path, np.empty(0, np.float32))
    assert converted_folder(path, home) != first


@pytest.mark.parametrize("data", [b"", b"GGUF", b"GGUF" + bytes(400), b"PK\x03\x04 a zip"])
def test_a_file_that_is_no_gguf_is_named_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"{path} (is not a GGUF file|cannot be opened)"):
        converted_folder(path, tmp_path / "home")
    assert not list((tmp_path / "home" / "converted").iterdir())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, share: float) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="tiny.gguf cannot be opened"):
        converted_folder(path, tmp_path / "home")


@pytest.mark.thorough
def test_two_processes_convert_once(tmp_path: Path) -> None:
    path, home = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "home"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=converted_folder, args=(path, home)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list((home / "converted").iterdir())) == 1
