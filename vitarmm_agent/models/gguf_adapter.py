"""LoRA adapters of peft as the small GGUF files that llama.cpp takes."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.llama.gguf_file import GgufFile
from vitarmm_agent.models.adapters import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    check_base,
    checked_adapter,
    norms_hash,
)
from vitarmm_agent.user_path import user_path

GGUF_FILE = "adapter.gguf"
"""Written beside a peft adapter by training."""
PERMUTED = frozenset({"llama", "mistral"})
"""Architectures whose query and key rows llama.cpp orders otherwise than transformers."""
_FACTOR = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")
_MOST_ALPHA = 1e30
"""Far above any that is meant, and within 32 bits with its root of the rank."""
_NORMS = {
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}
"""What llama.cpp and transformers call the norms of Llama and Qwen models."""


def adapter_file(adapter: Path, base: Path, home: Path) -> Path:
    """The GGUF file of an adapter, checked against the GGUF file of its base.

    Args:
        adapter: a GGUF file, or the folder of a peft adapter; that is converted once and kept.
        base: weights it is to be used with.
        home: cache of weights.

    Raises:
        WeightsError: it is no adapter, or does not fit these weights.
    """
    adapter = user_path(adapter).resolve()
    opened = GgufFile.open(base)
    if adapter.is_dir():
        folder = Path(checked_adapter(adapter))
        check_base(folder, lambda: gguf_fingerprint(opened), base.name)
        file = folder / GGUF_FILE
        if not file.is_file():
            return _converted(folder, opened, home)
    elif adapter.is_file():
        file = adapter
    else:
        raise WeightsError(f"no adapter at {str(adapter)!r}: there is no such file or folder")
    _check_file(file, opened)
    return file


def gguf_fingerprint(base: GgufFile) -> str:
    """What :func:`~vitarmm_agent.models.adapters.fingerprint` is of the same model in transformers."""
    norms = {}
    for name, weights in base.norms().items():
        *block, kind, _ = name.split(".")
        theirs = _NORMS.get(kind, kind)
        theirs = f"model.layers.{block[1]}.{theirs}" if block else theirs
        norms[f"{theirs}.weight"] = weights
    return norms_hash(norms)


def write_adapter(folder: Path, architecture: str, heads: tuple[int, int], target: Path) -> Path:
    """Write a peft adapter as GGUF, in fp32.

    Args:
        folder: the peft adapter.
        architecture: of its base, in llama.cpp's words, such as ``qwen2``.
        heads: of the base's attention: query heads, and key and value heads.
        target: file to write; it appears complete or not at all.

    Raises:
        WeightsError: an adapter of a kind that GGUF cannot hold.
    """
    _write(folder, _layers(folder, architecture), architecture, heads, target)
    return target


def _layers(folder: Path, architecture: str) -> dict[str, tuple[Any, Any]]:
    """Factors of a peft adapter by the tensor that they adapt, in llama.cpp's words."""
    import gguf

    factors, rank = _factors(folder), _config(folder)["r"]
    known = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    if architecture not in known:
        raise WeightsError(f"llama.cpp knows no architecture {architecture!r}")
    blocks = 1 + max(
        (int(found[1]) for layer in factors if (found := re.search(r"\.(\d+)\.", layer))), default=0
    )
    names = gguf.get_tensor_name_map(known[architecture], blocks)
    layers = {}
    for layer, pair in sorted(factors.items()):
        name = names.get_name(f"{layer}.weight", try_suffixes=(".weight",))
        if name is None:
            raise WeightsError(f"adapter {str(folder)!r}: llama.cpp has no layer {layer!r}")
        ranks = {pair[0].shape[:-1], pair[1].shape[1:]}
        if ranks != {(rank,)}:
            raise WeightsError(
                f"adapter {str(folder)!r} is damaged: {CONFIG_FILE} says rank {rank}, and the factors of "
                f"{layer!r} are of shapes {pair[0].shape} and {pair[1].shape}; "
                "give the folder that training wrote"
            )
        layers[name] = pair
    return layers


def _write(
    folder: Path,
    layers: dict[str, tuple[Any, Any]],
    architecture: str,
    heads: tuple[int, int],
    target: Path,
) -> None:
    import gguf

    alpha = _alpha(_config(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    os.close(descriptor)
    try:
        writer = gguf.GGUFWriter(staged, architecture)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        for name, (down, up) in layers.items():
            if architecture in PERMUTED and name.endswith(("attn_q.weight", "attn_k.weight")):
                up = _permuted(up, heads[name.endswith("attn_k.weight")])
            writer.add_tensor(f"{name}.lora_a", down)
            writer.add_tensor(f"{name}.lora_b", up)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(staged, target)
    finally:
        Path(staged).unlink(missing_ok=True)


def _converted(folder: Path, base: GgufFile, home: Path) -> Path:
    """The GGUF copy of a peft adapter in the cache, which fits the base."""
    made_of = (base.architecture, *(heads := base.heads()))
    content = (folder / WEIGHTS_FILE).read_bytes() + (folder / CONFIG_FILE).read_bytes()
    name = hashlib.sha256(repr(made_of).encode() + content).hexdigest()[:32]
    file = home / "adapters" / f"{name}.gguf"
    if file.is_file():
        _check_shapes(folder, GgufFile.open(file).tensors(), base)
        return file
    layers = _layers(folder, base.architecture)
    shapes = {
        f"{layer}.lora_{side}": factor.shape[::-1]
        for layer, pair in layers.items()
        for side, factor in zip("ab", pair, strict=True)
    }
    _check_shapes(folder, shapes, base)
    _write(folder, layers, base.architecture, heads, file)
    return file


def _check_file(file: Path, base: GgufFile) -> None:
    """Refuse a GGUF file that is no adapter, or one of another base."""
    adapter = GgufFile.open(file)
    if adapter.kind != "adapter":
        raise WeightsError(f"{str(file)!r} is a whole model, not a LoRA adapter")
    if adapter.architecture != base.architecture:
        raise WeightsError(
            f"adapter {str(file)!r} does not fit {base.path.name!r}: it adapts models of "
            f"architecture {adapter.architecture!r}, the base is of {base.architecture!r}; "
            "it must be a LoRA adapter trained on these weights"
        )
    _check_shapes(file, adapter.tensors(), base)


def _check_shapes(adapter: Path, shapes: Mapping[str, tuple[int, ...]], base: GgufFile) -> None:
    """Refuse an adapter whose factors are not as wide as the layers they adapt.

    Args:
        adapter: for the error.
        shapes: of its factors by name, as :meth:`GgufFile.tensors` gives them.
        base: weights it is to be used with.
    """
    wrong = f"adapter {str(adapter)!r} does not fit {base.path.name!r}:"
    layers = base.tensors()
    for name, shape in shapes.items():
        layer, _, side = name.rpartition(".lora_")
        if layer not in layers:
            raise WeightsError(f"{wrong} its layers are not the model's, such as {layer!r}")
        wanted, found = ([*of, 1, 1][side != "a"] for of in (layers[layer], shape))
        if wanted != found:
            raise WeightsError(
                f"{wrong} {layer} is adapted at width {found}, and the model has {wanted}; it must "
                "be a LoRA adapter trained on these weights"
            )


def _config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration, of a kind that GGUF can hold."""
    file = folder / CONFIG_FILE
    try:
        config = dict(parse_json(file.read_text("utf-8")))
        config["r"] = int(config["r"])
        config["lora_alpha"] = float(config["lora_alpha"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise WeightsError(f"{file} cannot be read: {error!r}") from None
    if not abs(config["lora_alpha"]) <= _MOST_ALPHA:
        raise WeightsError(
            f"{file} says lora_alpha {config['lora_alpha']}, which is no scale; "
            "give the folder that training wrote"
        )
    others = [name for name in ("rank_pattern", "alpha_pattern") if config.get(name)]
    if others:
        raise WeightsError(
            f"adapter {str(folder)!r} is not plain LoRA ({', '.join(others)}): "
            "llama.cpp cannot use it; open a folder of safetensors of its base instead"
        )
    return config


def _alpha(config: Mapping[str, Any]) -> float:
    """llama.cpp scales by alpha / r; rank-stabilised LoRA by alpha / √r."""
    alpha: float = config["lora_alpha"]
    return alpha * math.sqrt(config["r"]) if config.get("use_rslora") else alpha


def _factors(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Down and up factor of each layer, as float32 of shapes ``[r, in]`` and ``[out, r]``."""
    from safetensors import SafetensorError, deserialize

    sides: dict[str, dict[str, Any]] = {}
    try:
        tensors = deserialize((folder / WEIGHTS_FILE).read_bytes())  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"adapter weights in {str(folder)!r} cannot be read: {error}") from error
    for key, tensor in tensors:
        match = _FACTOR.match(key)
        if match is None:
            raise WeightsError(f"adapter {str(folder)!r} holds {key!r}, which is not LoRA's")
        values = _float32(tensor["dtype"], tensor["shape"], tensor["data"])
        sides.setdefault(match["layer"], {})[match["side"]] = values
    if not sides or any(set(pair) != {"A", "B"} for pair in sides.values()):
        raise WeightsError(
            f"adapter {str(folder)!r} is not whole: a layer lacks one of its factors"
        )
    return {layer: (pair["A"], pair["B"]) for layer, pair in sides.items()}


def _float32(dtype: str, shape: list[int], data: bytes) -> Any:
    """A tensor's bytes as a float32 array; numpy has no bf16."""
    import numpy as np

    if dtype == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    kinds = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    if dtype not in kinds:
        raise WeightsError(f"a LoRA factor of type {dtype} cannot be used; save it as F32 or BF16")
    return np.frombuffer(data, kinds[dtype]).astype(np.float32).reshape(shape)


def _permuted(up: Any, heads: int) -> Any:
    """The rows of a query or key factor in llama.cpp's order of rotary halves."""
    rows = up.shape[0]
    if not heads or rows % (2 * heads):
        raise WeightsError(
            f"a LoRA factor of {rows} rows does not fit a base of {heads} heads of attention; "
            "it must be an adapter trained on these weights"
        )
    halves = up.reshape(heads, 2, rows // heads // 2, *up.shape[1:])
    return halves.swapaxes(1, 2).reshape(up.shape)
