"""Tiny random VITA checkpoints in the published layout, written without our conversion code.

The weights are drawn in stock transformers models and saved under the original code's names by the
rules of the format: fused q, k, v; one tensor per expert; tower, projector and speech encoder in
the same files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    InternVLVisionConfig,
    InternVLVisionModel,
    PreTrainedTokenizerFast,
)

from vitarmm_agent.models.vita.conversation import MODEL_TYPES

QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "☜", "☞", "☟"]
LLAMA_SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
EXTRA_ROWS = 5  # rows of the embeddings that no token has, as in the published model


@dataclass
class Tiny:
    """One tiny model: its stock parts, and how it is to be written."""

    kind: str = "qwen2p5_instruct"
    layers: int = 2
    tower_layers: int = 2
    tile: int = 56
    width: int = 32
    tower_width: int = 16
    seed: int = 0
    max_length: int = 2000
    text: Any = field(init=False)
    tower: Any = field(init=False)
    projector: nn.Sequential = field(init=False)
    tokenizer: Any = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.tokenizer = make_tokenizer(MODEL_TYPES[self.kind].text_model)
        self.text = AutoModelForCausalLM.from_config(self._text_config()).eval()
        self.tower = InternVLVisionModel(self._vision_config()).eval()
        self.projector = nn.Sequential(
            nn.Linear(4 * self.tower_width, self.width),
            nn.GELU(),
            nn.Linear(self.width, self.width),
        )
        for module in (self.text, self.tower, self.projector):
            for parameter in module.parameters():
                parameter.data.normal_(0, 0.2)

    def _text_config(self) -> Any:
        kind = MODEL_TYPES[self.kind].text_model
        extra: dict[str, Any] = {}
        if kind == "mixtral":
            extra = {"num_local_experts": 4, "num_experts_per_tok": 2}
        if kind == "mistral":
            extra = {"head_dim": 12}  # as in Nemo: not width / heads
        return AutoConfig.for_model(
            kind,
            vocab_size=len(self.tokenizer) + EXTRA_ROWS,
            hidden_size=self.width,
            intermediate_size=2 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=8192,
            rope_parameters={"rope_type": "default", "rope_theta": 5e5},
            tie_word_embeddings=False,
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            sliding_window=None,
            **extra,
        )

    def _vision_config(self) -> InternVLVisionConfig:
        return InternVLVisionConfig(
            hidden_size=self.tower_width,
            num_hidden_layers=self.tower_layers,
            num_attention_heads=2,
            intermediate_size=24,
            attention_bias=True,
            image_size=self.tile,
            patch_size=14,
        )

    @property
    def tokens_per_tile(self) -> int:
        return (self.tile // 28) ** 2

    @torch.no_grad()
    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features by hand: ×0.5, then four neighbouring patches side by side, row by row."""
        patches = self.tower(pixel_values=pixels).last_hidden_state[:, 1:] * 0.5
        side = self.tile // 14
        grid = patches.reshape(len(pixels), side, side, -1)
        tokens = [
            torch.cat([grid[:, y + dy, x + dx] for dy in (0, 1) for dx in (0, 1)], dim=-1)
            for y in range(0, side, 2)
            for x in range(0, side, 2)
        ]
        return self.projector(torch.stack(tokens, dim=1))

    @torch.no_grad()
    def logits(self, ids: list[int], pixels: torch.Tensor | None) -> torch.Tensor:
        """Logits of the stock language model with the features put in place of -200."""
        embed = self.text.get_input_embeddings()
        rows = [] if pixels is None else list(self.features(pixels).flatten(0, 1))
        vectors = [rows.pop(0) if i == -200 else embed.weight[i] for i in ids]
        return self.text(inputs_embeds=torch.stack(vectors)[None]).logits[0]

    def tensors(self, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
        """All weights under their published names."""
        tensors = dict(self._language_tensors())
        tensors |= {f"model.vision_tower.vision_tower.{k}": v for k, v in self._tower_tensors()}
        tensors |= {f"model.mm_projector.{k}": v for k, v in self.projector.state_dict().items()}
        tensors["model.audio_encoder.encoder.enc.0.weight"] = torch.randn(3, 3)
        tensors["model.audio_encoder.adpter.bn2.weight"] = torch.randn(3)
        return {k: v.detach().to(dtype).contiguous().clone() for k, v in tensors.items()}

    def _language_tensors(self) -> list[tuple[str, torch.Tensor]]:
        found = []
        for name, value in self.text.state_dict().items():
            moe = name.replace(".mlp.", ".block_sparse_moe.")
            if name.endswith("experts.gate_up_proj"):
                stem = moe.removesuffix(".gate_up_proj")
                for expert, fused in enumerate(value):
                    gate, up = fused.chunk(2)
                    found += [
                        (f"{stem}.{expert}.w1.weight", gate),
                        (f"{stem}.{expert}.w3.weight", up),
                    ]
            elif name.endswith("experts.down_proj"):
                stem = moe.removesuffix(".down_proj")
                found += [(f"{stem}.{expert}.w2.weight", down) for expert, down in enumerate(value)]
            else:
                found.append((moe if name.endswith("mlp.gate.weight") else name, value))
        return found

    def _tower_tensors(self) -> list[tuple[str, torch.Tensor]]:
        state = self.tower.state_dict()
        names = {
            "class_embedding": "cls_token",
            "position_embedding": "position_embeddings",
            "patch_embedding.weight": "patch_embeddings.projection.weight",
            "patch_embedding.bias": "patch_embeddings.projection.bias",
        }
        found = [(f"embeddings.{a}", state[f"embeddings.{b}"]) for a, b in names.items()]
        for n in range(self.tower_layers):
            new, old = f"encoder.layer.{n}", f"encoder.layers.{n}"
            for part in ("weight", "bias"):
                qkv = [state[f"{new}.attention.{x}_proj.{part}"] for x in "qkv"]
                found.append((f"{old}.attn.qkv.{part}", torch.cat(qkv)))
                for a, b in (
                    ("attn.proj", "attention.projection_layer"),
                    ("norm1", "layernorm_before"),
                    ("norm2", "layernorm_after"),
                    ("mlp.fc1", "mlp.fc1"),
                    ("mlp.fc2", "mlp.fc2"),
                ):
                    found.append((f"{old}.{a}.{part}", state[f"{new}.{b}.{part}"]))
            found += [(f"{old}.ls{i}", state[f"{new}.lambda_{i}"]) for i in (1, 2)]
        return found

    def config(self) -> dict[str, Any]:
        """``config.json`` of the published layout: everything at the top level."""
        text = self.text.config
        keys = (
            "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "head_dim",
            "rms_norm_eps", "hidden_act", "num_local_experts", "num_experts_per_tok",
            "bos_token_id", "eos_token_id",
        )  # fmt: skip
        return {key: getattr(text, key) for key in keys if hasattr(text, key)} | {
            "architectures": ["VITAForCausalLM"],
            "model_type": MODEL_TYPES[self.kind].published,
            "rope_theta": 5e5,
            "rope_scaling": None,
            "sliding_window": None,
            "torch_dtype": "float16",  # wrong on purpose: the files' dtype counts
            "mm_vision_tower": "OpenGVLab/InternViT-300M-448px",
            "mm_projector_type": "mlp2x_gelu",
            "mm_hidden_size": 4 * self.tower_width,
            "mm_audio_encoder": "VITA-MLLM/VITA-1.5_AudioEnc",
            "tokenizer_model_max_length": self.max_length,
            "use_mm_proj": True,
        }

    def tower_config(self) -> dict[str, Any]:
        """``config.json`` of the tower's own folder."""
        return {
            "model_type": "intern_vit_6b",
            "hidden_size": self.tower_width,
            "num_hidden_layers": self.tower_layers,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "hidden_act": "gelu",
            "norm_type": "layer_norm",
            "layer_norm_eps": 1e-6,
            "image_size": self.tile,
            "patch_size": 14,
            "num_channels": 3,
            "qkv_bias": True,
            "qk_normalization": False,
        }

    def write(
        self,
        folder: Path,
        *,
        shards: int = 1,
        dtype: torch.dtype = torch.float32,
        tensors: dict[str, torch.Tensor] | None = None,
    ) -> Path:
        """Write the checkpoint folder."""
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.config()))
        self.tokenizer.save_pretrained(folder)
        beside = folder / "InternViT-300M-448px"
        beside.mkdir()
        (beside / "config.json").write_text(json.dumps(self.tower_config()))
        write_shards(folder, self.tensors(dtype) if tensors is None else tensors, shards)
        return folder

    def write_tower(self, folder: Path, factor: float = 1.0) -> None:
        """Put weights, multiplied by ``factor``, into the tower's own folder."""
        state = {k: (v.detach() * factor).contiguous() for k, v in self._tower_tensors()}
        save_file(state, folder / "InternViT-300M-448px" / "model.safetensors")


def write_shards(folder: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    """Write tensors as one file, or as several with an index."""
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[number::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def make_tokenizer(text_model: str) -> Any:
    """A byte tokenizer with the special tokens of the language model's family."""
    special = QWEN_SPECIAL if text_model == "qwen2" else LLAMA_SPECIAL
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if text_model == "qwen2":
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
        )
        fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
        fast.add_tokens(["☜", "☞", "☟"])
        return fast
    from tokenizers.processors import TemplateProcessing

    tokenizer.add_special_tokens(special)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]})
    return fast
