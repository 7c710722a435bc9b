"""GGUF weights become a cached bf16 folder."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from langchain_core.messages import HumanMessage

from tests.models.conftest import CHATML, SPECIAL, make_tokenizer
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.models.convert import converted_folder, load_gguf
from vitarmm_agent.models.local import LocalChatModel

HIDDEN, HEADS, KV, MLP, LAYERS = 64, 4, 2, 96, 2


def write_gguf(path: Path, output: np.ndarray[Any, Any] | None = None) -> Path:
    """A random two-layer Qwen2, F32 but for one Q8_0 matrix, with the tiny tokenizer."""
    tokenizer = make_tokenizer()
    tokens = [*tokenizer.convert_ids_to_tokens(range(len(tokenizer))), "ab"]
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens])  # fmt: skip
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(CHATML)

    def matrix(*shape: int) -> np.ndarray[Any, Any]:
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    width, narrow = HIDDEN, HIDDEN // HEADS * KV
    embedding = matrix(len(tokens), width)
    writer.add_tensor("token_embd.weight", embedding)
    for n in range(LAYERS):
        shapes = {"attn_q": (width, width), "attn_k": (narrow, width), "attn_v": (narrow, width),
                  "attn_output": (width, width), "ffn_gate": (MLP, width), "ffn_up": (MLP, width),
                  "ffn_down": (width, MLP)}  # fmt: skip
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{n}.{name}.weight", matrix(*shape))
        for name, size in {"attn_q": width, "attn_k": narrow, "attn_v": narrow}.items():
            writer.add_tensor(f"blk.{n}.{name}.bias", matrix(size))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{n}.{name}.weight", np.ones(width, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    if output is not None:
        kind = gguf.GGMLQuantizationType.Q8_0
        twin = embedding if output.size == 0 else output
        writer.add_tensor("output.weight", gguf.quantize(twin, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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


def test_a_gguf_file_is_a_chat_model_and_is_converted_once(tmp_path: Path) -> None:
    path, home = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "home"
    model = LocalChatModel.load(path, home=home, device="cpu", max_tokens=5)
    assert model.invoke("Hi").usage_metadata["output_tokens"] == 5
    prompt = model.prepare([HumanMessage("Hi<|im_end|>")])
    text = model.engine.tokenizer.decode(list(prompt.keys))
    assert text == "<|im_start|>user\nHi< |im_end|><|im_end|>\n<|im_start|>assistant\n"
    (folder,) = (home / "converted").iterdir()
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
