"""A BERT embedder of random weights in the layout of sentence-transformers, made without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "a the of and is by to square perimeter area side divided four triangle angle sum degrees "
    "train speed time distance capital city france history rule fact one two three use not first "
    "second known ##s ##ed"
).split()
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
POOLING = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}


def tiny_bert(folder: Path, *, dims: int = 16, seed: int = 0, **files: Any) -> Path:
    """Write the model; ``files`` change what a JSON file says, by its name without the ending."""
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": dims, "intermediate_size": 32,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 64, "num_attention_heads": 2,
        "num_hidden_layers": 1, "type_vocab_size": 2, "vocab_size": len(SPECIAL) + len(WORDS),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    parts: Mapping[str, Any] = {
        "config": config,
        "sentence_bert_config": {"max_seq_length": 32, "do_lower_case": False},
        "tokenizer_config": {"model_max_length": 64},
        "config_sentence_transformers": {"default_prompt_name": None},
        "1_Pooling/config": POOLING | {"word_embedding_dimension": dims},
    }
    for name, content in parts.items():
        changed = content | files.get(name.replace("/", "_"), {})
        (folder / f"{name}.json").write_text(json.dumps(changed))
    (folder / "modules.json").write_text(json.dumps(files.get("modules", MODULES)))
    _tokenizer().save(str(folder / "tokenizer.json"))
    save_file(_tensors(config, seed), folder / "model.safetensors")
    return folder


def _tokenizer() -> Tokenizer:
    words = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    around = [(word, words[word]) for word in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return tokenizer


def _tensors(config: dict[str, Any], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    wide, dims = config["intermediate_size"], config["hidden_size"]
    layer = "encoder.layer.0."
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (config["vocab_size"], dims),
        "embeddings.position_embeddings": (config["max_position_embeddings"], dims),
        "embeddings.token_type_embeddings": (config["type_vocab_size"], dims),
        **{f"{layer}attention.self.{part}": (dims, dims) for part in ("query", "key", "value")},
        f"{layer}attention.output.dense": (dims, dims),
        f"{layer}intermediate.dense": (wide, dims),
        f"{layer}output.dense": (dims, wide),
    }
    norms = ("embeddings.", f"{layer}attention.output.", f"{layer}output.")
    random = np.random.default_rng(seed)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = random.normal(size=shape, scale=0.3)
        if not name.startswith("embeddings"):
            tensors[f"{name}.bias"] = random.normal(size=shape[:1], scale=0.1)
    for norm in norms:
        tensors[f"{norm}LayerNorm.weight"] = np.ones(dims)
        tensors[f"{norm}LayerNorm.bias"] = np.zeros(dims)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
