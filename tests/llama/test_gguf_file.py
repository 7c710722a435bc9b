"""What is read of a GGUF file, and what is refused."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.models.tiny_gguf import LAYERS, write_gguf
from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.llama.gguf_file import GgufFile


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_the_head_agrees_with_the_library(tiny: Path) -> None:
    ours, theirs = GgufFile.open(tiny), gguf.GGUFReader(tiny)
    assert (ours.architecture, ours.kind, ours.has_template) == ("qwen2", "model", True)
    assert ours.tensors() == {t.name: tuple(t.shape.tolist()) for t in theirs.tensors}
    assert ours.heads() == (4, 2)
    norms = {t.name: t.data for t in theirs.tensors if t.name.endswith("norm.weight")}
    assert len(norms) == 2 * LAYERS + 1
    assert all(np.array_equal(ours.norms()[name], norms[name]) for name in norms)


@pytest.mark.weights
def test_a_large_vocabulary_is_no_wait(weights: object) -> None:
    path = weights("qwen2.5-coder-0.5b-instruct")  # type: ignore[operator]
    started = time.process_time()
    assert len(GgufFile.open(path).tensors()) == 291
    assert time.process_time() - started < 10  # the library takes half a minute


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04 a zip"])
def test_another_file_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is not a GGUF file: it begins with"):
        GgufFile.open(path)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        GgufFile.open(tmp_path / "nowhere.gguf")


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(WeightsError, match="is no file that can be read as weights"):
        GgufFile.open(tmp_path / "pipe.gguf")


def test_a_chat_model_cut_off_in_its_head_is_damaged(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:600])
    with pytest.raises(WeightsError, match="is damaged"):
        GgufFile.open(path).check_chat("cut")


def test_a_head_without_a_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.write_bytes(b"GGUF" + bytes(400))
    with pytest.raises(WeightsError, match="does not name an architecture"):
        GgufFile.open(path)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.3])
def test_a_head_that_was_cut_off_is_damaged(tiny: Path, tmp_path: Path, share: float) -> None:
    head = tiny.stat().st_size - sum(t.n_bytes for t in gguf.GGUFReader(tiny).tensors)
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[: int(head * share)])
    with pytest.raises(WeightsError, match="is damaged"):
        GgufFile(path, "qwen2", "model", True).tensors()


@pytest.mark.parametrize("at", [8, 16])
def test_a_head_that_lies_about_its_size_costs_nothing(tiny: Path, tmp_path: Path, at: int) -> None:
    data = bytearray(tiny.read_bytes())
    struct.pack_into("<Q", data, at, 2**62)
    path = tmp_path / "lies.gguf"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged: it claims .*4,611,686,018,427,387,904"):
        GgufFile.open(path).tensors()


def test_a_file_that_ends_before_its_last_tensor_is_cut_off(tiny: Path, tmp_path: Path) -> None:
    GgufFile.open(tiny).check_whole()
    last = max(t.data_offset + t.n_bytes for t in gguf.GGUFReader(tiny).tensors)
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:last])  # padding behind it is not needed
    GgufFile.open(path).check_whole()
    path.write_bytes(tiny.read_bytes()[: last - 1])
    complaint = (
        f"is cut off: it has {last - 1:,} bytes, and its head names tensors of {last:,}; fetch"
    )
    with pytest.raises(WeightsError, match=complaint):
        GgufFile.open(path).check_whole()


def test_every_flipped_byte_of_the_head_is_read_or_refused(tiny: Path, tmp_path: Path) -> None:
    data, path = tiny.read_bytes(), tmp_path / "flipped.gguf"
    places = np.random.default_rng(0).integers(4, 8000, 300)
    for place in places.tolist():
        flipped = bytearray(data)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        try:
            file = GgufFile.open(path)
            assert len(file.tensors()) <= 100_000
            file.check_whole()
        except WeightsError as error:
            assert "damaged" in str(error) or "cut off" in str(error)


def test_what_cannot_chat_is_refused(tiny: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a LoRA adapter.* local:BASE\+"):
        GgufFile(tiny, "qwen2", "adapter", False).check_chat("x")
    with pytest.raises(WeightsError, match="architecture 'bert', which writes no text"):
        GgufFile(tiny, "bert", "model", False).check_chat("x")
    with pytest.raises(InputError, match="has no chat template"):
        GgufFile(tiny, "qwen2", "model", False).check_chat("x")
    GgufFile.open(tiny).check_chat("x")
