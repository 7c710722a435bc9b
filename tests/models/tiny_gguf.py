"""A tiny random GGUF file that llama.cpp and transformers both open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.models.conftest import CHATML, SPECIAL, make_tokenizer
from vitarmm_agent.llama.process import Options

HELD = Options(context=256, slots=2, threads=1, cache_mb=16)
"""How the tests hold it."""
HIDDEN, HEADS, KV, MLP, LAYERS = 64, 4, 2, 96, 2


def write_gguf(
    path: Path,
    output: np.ndarray[Any, Any] | None = None,
    *,
    template: str = CHATML,
    context: int = 256,
) -> Path:
    """A random two-layer Qwen2, F32 but for one Q8_0 matrix, with the tiny tokenizer."""
    tokenizer = make_tokenizer()
    tokens = [*tokenizer.convert_ids_to_tokens(range(len(tokenizer))), "ab"]
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(context)
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
    writer.add_chat_template(template)

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
