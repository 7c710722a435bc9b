"""From the published on-disk layout of VITA to transformers: config and tensor names.

The published ``config.json`` holds the language model's keys and the multimodal keys side by side;
the weights use the names of the original code. Renaming, the split of the tower's fused ``qkv``
and the stacking of Mixtral's experts are described as data to transformers' weight conversion, so
that shards, dtypes, device maps and quantization behave as for any other model.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.models.vita.checkpoint import TensorHeader, read_headers, read_json
from vitarmm_agent.models.vita.conversation import (
    MODEL_TYPES,
    PUBLISHED_TYPES,
    conversation,
    model_type,
)

logger = logging.getLogger(__name__)

TOWER_PREFIX = "model.vision_tower.vision_tower."
DEFAULT_TOWER = "InternViT-300M-448px"
_VISION_KEYS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "norm_type",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "num_channels",
)
_NOT_OF_THE_LANGUAGE_MODEL = {
    "architectures", "dtype", "model_type", "name_or_path", "rope_scaling", "rope_theta",
    "torch_dtype", "transformers_version", "tie_word_embeddings",
}  # fmt: skip

# published name → name in VitaForConditionalGeneration, applied in order
RENAMINGS = (
    (r"^model\.embed_tokens\.", "model.language_model.embed_tokens."),
    (r"^model\.layers\.", "model.language_model.layers."),
    (r"^model\.norm\.", "model.language_model.norm."),
    (r"^model\.vision_tower\.vision_tower\.encoder\.layers\.", "model.vision_tower.encoder.layer."),
    (r"^model\.vision_tower\.vision_tower\.", "model.vision_tower."),
    (r"embeddings\.class_embedding", "embeddings.cls_token"),
    (r"embeddings\.position_embedding", "embeddings.position_embeddings"),
    (r"embeddings\.patch_embedding\.", "embeddings.patch_embeddings.projection."),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.ls1", ".lambda_1"),
    (r"\.ls2", ".lambda_2"),
)


def translate_config(
    published: dict[str, Any],
    folder: str | Path,
    vita_model_type: str | None = None,
    vision_config: Any = None,
) -> dict[str, Any]:
    """The dictionary of a :class:`VitaConfig` from a published ``config.json``.

    Args:
        published: the parsed ``config.json``.
        folder: the checkpoint folder, in which the tower's own config is looked for.
        vita_model_type: overrides what ``config.json`` says.
        vision_config: overrides the search; otherwise ``<folder>/<tower>/config.json``, then the
            local path that ``mm_vision_tower`` names, then InternViT-300M-448px.

    Raises:
        InputError: it describes no VITA model, or a VITA model type that is unknown.
    """
    name = _model_type_name(published, folder, vita_model_type)
    vision = vision_config if vision_config is not None else _vision_config(published, folder)
    config = {
        "model_type": "vita",
        "vita_model_type": name,
        "text_config": _text_config(published, model_type(name).text_model),
        "vision_config": vision,
        "mm_projector_type": published.get("mm_projector_type", "mlp2x_gelu"),
        "max_sequence_length": published.get("tokenizer_model_max_length"),
        "tie_word_embeddings": bool(published.get("tie_word_embeddings", False)),
    }
    return config | {k: published[k] for k in ("quantization_config",) if k in published}


def _model_type_name(published: dict[str, Any], folder: str | Path, given: str | None) -> str:
    found = published.get("model_type")
    if given is None and found not in PUBLISHED_TYPES and "mm_projector_type" not in published:
        raise InputError(
            f"{str(folder) or 'this config'} is no VITA checkpoint: its config.json says "
            f"model_type {found!r}, not one of {', '.join([*PUBLISHED_TYPES, 'vita'])}"
        )
    if given is None and found not in PUBLISHED_TYPES:
        raise InputError(
            f"VITA model type {found!r} in {folder} is unknown; say which one it is with "
            f"vita_model_type (--vita-model-type): {', '.join(MODEL_TYPES)}"
        )
    return given or PUBLISHED_TYPES[str(found)]


def _text_config(published: dict[str, Any], text_model: str) -> dict[str, Any]:
    from transformers import AutoConfig

    known = AutoConfig.for_model(text_model).to_dict().keys() | {"head_dim"}
    wanted = known - _NOT_OF_THE_LANGUAGE_MODEL
    config = {key: published[key] for key in wanted if key in published}
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": published.get("rope_theta", 1e4)}
    scaling = dict(published.get("rope_scaling") or {})
    if "type" in scaling:
        scaling.setdefault("rope_type", scaling.pop("type"))
    return config | {
        "model_type": text_model,
        "rope_parameters": published.get("rope_parameters") or rope | scaling,
        "tie_word_embeddings": bool(published.get("tie_word_embeddings", False)),
    }


def tower_folder(published: dict[str, Any], folder: str | Path) -> Path | None:
    """The separate folder of the vision tower, if there is one on this machine."""
    named = str(published.get("mm_vision_tower") or DEFAULT_TOWER).rstrip("/")
    beside = Path(folder) / named.rsplit("/", 1)[-1]
    return next((p for p in (beside, Path(named)) if (p / "config.json").is_file()), None)


def _vision_config(published: dict[str, Any], folder: str | Path) -> dict[str, Any]:
    found = tower_folder(published, folder)
    original = read_json(found / "config.json") if found else {}
    return {key: original[key] for key in _VISION_KEYS if key in original} | {
        "attention_bias": bool(original.get("qkv_bias", True)),
        "use_qk_norm": bool(original.get("qk_normalization", False)),
        "use_absolute_position_embeddings": True,
        "use_mask_token": False,
        "use_mean_pooling": True,
    }


def register_weight_conversion() -> None:
    """Tell transformers how to read the published tensor names; converted folders match none."""
    from transformers.conversion_mapping import register_checkpoint_conversion_mapping
    from transformers.core_model_loading import Chunk, WeightConverter, WeightRenaming

    mapping = [WeightRenaming(old, new) for old, new in RENAMINGS] + [
        WeightConverter(
            source_patterns=[f".attn.qkv.{part}"],
            target_patterns=[f".attention.{piece}_proj.{part}" for piece in "qkv"],
            operations=[Chunk(dim=0)],
        )
        for part in ("weight", "bias")
    ]
    register_checkpoint_conversion_mapping("VitaForConditionalGeneration", mapping, overwrite=True)


def published_shapes(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors as the published layout has them."""
    expected: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        for old, old_shape in _published_tensors(name, shape):
            expected[old] = old_shape
    return expected


_BACK = (
    (r"^model\.language_model\.", "model."),
    (r"^model\.vision_tower\.", TOWER_PREFIX),
    (r"\.encoder\.layer\.", ".encoder.layers."),
    (r"embeddings\.cls_token$", "embeddings.class_embedding"),
    (r"embeddings\.position_embeddings$", "embeddings.position_embedding"),
    (r"embeddings\.patch_embeddings\.projection\.", "embeddings.patch_embedding."),
    (r"\.attention\.projection_layer\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.lambda_(\d)$", r".ls\1"),
    (r"\.mlp\.gate\.weight$", ".block_sparse_moe.gate.weight"),
)


def _published_tensors(name: str, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    old = name
    for pattern, replacement in _BACK:
        old = re.sub(pattern, replacement, old)
    if match := re.search(r"\.attention\.([qkv])_proj\.", old):
        fused = old.replace(match[0], ".attn.qkv.")
        return [(fused, (3 * shape[0], *shape[1:]))]
    if old.endswith(".mlp.experts.gate_up_proj"):
        stem = old.replace(".mlp.experts.gate_up_proj", ".block_sparse_moe.experts")
        half = (shape[1] // 2, shape[2])
        return [(f"{stem}.{e}.{w}.weight", half) for e in range(shape[0]) for w in ("w1", "w3")]
    if old.endswith(".mlp.experts.down_proj"):
        stem = old.replace(".mlp.experts.down_proj", ".block_sparse_moe.experts")
        return [(f"{stem}.{e}.w2.weight", shape[1:]) for e in range(shape[0])]
    return [(old, shape)]


def tower_weights(folder: Path) -> dict[str, TensorHeader]:
    """Headers of the separate tower folder's tensors, under their names in the checkpoint.

    Raises:
        WeightsError: there is no such folder, or no weights in it.
    """
    found = tower_folder(read_json(folder / "config.json"), folder)
    if found is None:
        raise WeightsError(
            f"{folder} holds no vision tower (tensors {TOWER_PREFIX}…), and there is no separate "
            f"folder {folder / DEFAULT_TOWER}; download the checkpoint again"
        )
    logger.warning(
        "%s has no vision tower; its weights are taken from %s: they may not be the trained ones",
        folder,
        found,
    )
    return {TOWER_PREFIX + name: header for name, header in read_headers(found).items()}


def tower_hint(folder: Path) -> str:
    """Where the tower's configuration was taken from, for an error about its tensors."""
    found = tower_folder(read_json(folder / "config.json"), folder)
    source = found / "config.json" if found else f"built in ({DEFAULT_TOWER})"
    return f". The configuration of the vision tower is {source}"


def image_statistics(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel, from the tower's ``preprocessor_config.json`` or built in."""
    found = tower_folder(read_json(folder / "config.json"), folder)
    file = found / "preprocessor_config.json" if found else None
    stored = read_json(file) if file and file.is_file() else {}
    return (
        stored.get("image_mean", [0.485, 0.456, 0.406]),
        stored.get("image_std", [0.229, 0.224, 0.225]),
    )


def generation_settings(name: str, tokenizer: Any, vocabulary: int) -> dict[str, Any]:
    """Decoding that is fit for a VITA model type: greedy, its stop ids, no id without a token.

    The checkpoint's own ``generation_config.json`` may hold sampling values and a repetition
    penalty of another model; nothing is taken from it.
    """
    stops = [tokenizer.convert_tokens_to_ids(stop) for stop in conversation(name).stops]
    known = [s for s in stops if isinstance(s, int) and s != tokenizer.unk_token_id]
    ends = list(dict.fromkeys([tokenizer.eos_token_id, *known]))
    pad = tokenizer.pad_token_id
    return {
        "do_sample": False,
        "max_new_tokens": 1024,
        "eos_token_id": [end for end in ends if end is not None],
        "pad_token_id": pad if pad is not None else tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "suppress_tokens": list(range(len(tokenizer), vocabulary)) or None,
    }
