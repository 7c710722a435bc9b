"""LoRA adapters: which base one belongs to, checked before it is loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vitarmm_agent import redaction
from vitarmm_agent.errors import WeightsError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.user_path import user_path
from vitarmm_agent.weights.store import file_sha256

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
BASE_FILE = "base.json"
"""Written beside an adapter by training: ``name``, ``fingerprint`` and ``sha256`` of its base."""
MORE_THAN_FACTORS = (
    "use_dora", "modules_to_save", "bias", "lora_bias", "trainable_token_indices", "target_parameters",
    "layer_replication", "alora_invocation_tokens", "use_qalora", "use_bdlora", "arrow_config", "kasa_config",
)  # fmt: skip
"""What a peft configuration says of an adapter that is not two factors beside some layers."""
_NOTHING: tuple[Any, ...] = (None, False, "none", [], {})
_FACTOR = re.compile(r"^(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")


def fingerprint(model: Any) -> str:
    """SHA-256 of a model's norm weights, in bf16, with their names.

    Norms are never quantized: a GGUF copy, a 4-bit copy and the original have the same fingerprint,
    while a model of the same shape with other training has another. It takes milliseconds.
    """
    norms = {
        name.removeprefix("base_model.model."): weight.detach().float().cpu().numpy()
        for name, weight in model.named_parameters()
        if weight.ndim == 1 and "norm" in name and "lora_" not in name
    }
    return norms_hash(norms)


def norms_hash(norms: Mapping[str, Any]) -> str:
    """:func:`fingerprint` of norm weights as float32 arrays, by transformers' names."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(norms):
        digest.update(name.encode())
        bits = np.ascontiguousarray(norms[name], np.float32).view(np.uint32).astype(np.uint64)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest bf16, ties to even
        digest.update(rounded.astype("<u2").tobytes())
    return digest.hexdigest()


def content_hash(adapter: Path) -> str:
    """Over the files of an adapter: its folder's, or the one that it is."""
    files = sorted(adapter.glob("adapter*")) if adapter.is_dir() else [adapter]
    return redaction.fingerprint([(f.name, file_sha256(f)) for f in files if f.is_file()])


def checked_adapter(folder: Path) -> str:
    """The folder of a peft adapter, complete.

    Raises:
        WeightsError: it is no such folder.
    """
    folder = user_path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise WeightsError(
            f"{folder} is not a peft adapter: it has no {CONFIG_FILE}; "
            "give the folder that training wrote"
        )
    check_adapter(folder)
    return str(folder.resolve())


def check_adapter(folder: Path) -> None:
    """Make sure that opening an adapter folder runs nothing: it may be anyone's.

    peft imports whatever module a configuration for Megatron names, and opens a pickle where there
    are no safetensors.

    Raises:
        WeightsError: it holds anything but the weights and settings of a plain adapter.
    """
    config = _read(folder / CONFIG_FILE)
    if config.get("peft_type") != "LORA" or config.get("megatron_config"):
        raise WeightsError(
            f"adapter {str(folder)!r} is no plain LoRA adapter: {CONFIG_FILE} says peft_type "
            f"{str(config.get('peft_type'))[:40]!r}; give the folder that training wrote"
        )
    if others := [name for name in MORE_THAN_FACTORS if config.get(name, "none") not in _NOTHING]:
        raise WeightsError(
            f"adapter {str(folder)!r} is not plain LoRA ({', '.join(others)}): it changes its base beyond "
            "LoRA's two factors, which cannot be used here. Merge it into its base (peft's "
            "merge_and_unload) and open the folder that gives"
        )
    if not (folder / WEIGHTS_FILE).is_file():
        raise WeightsError(
            f"adapter {str(folder)!r} has no {WEIGHTS_FILE}; weights that are pickles are not "
            "opened, since they may run code"
        )


def check_fit(folder: Path, model: Any, name: str) -> None:
    """Make sure that an adapter was trained on this base, by fingerprint and by shapes.

    Layers that the model lacks are for the loader to name, which knows what was renamed.

    Args:
        folder: folder of a peft adapter.
        model: the base.
        name: of the base, for the error.

    Raises:
        WeightsError: it was trained on another base, or its layers have other widths.
    """
    check_base(folder, lambda: fingerprint(model), name)
    modules = dict(model.named_modules())
    for layer, side, width in _factors(folder / WEIGHTS_FILE):
        module = modules.get(layer)
        module = getattr(module, "base_layer", module)
        wanted = getattr(module, "in_features" if side == "A" else "out_features", width)
        if wanted != width:
            raise WeightsError(
                f"adapter {str(folder)!r} does not fit {name!r}: {layer} is adapted at width "
                f"{width}, and the model has {wanted}; it must be a peft adapter trained on these "
                "weights"
            )


def check_base(folder: Path, found: Callable[[], str], name: str) -> None:
    """Make sure that an adapter which says what it was trained on was trained on this base.

    Args:
        folder: folder of a peft adapter.
        found: the base's fingerprint.
        name: of the base, for the error.

    Raises:
        WeightsError: it was trained on another base.
    """
    base = _read(folder / BASE_FILE)
    known = base.get("fingerprint")
    if known and known != found():
        raise WeightsError(
            f"adapter {str(folder)!r} does not fit {name!r}: it was trained on "
            f"{base.get('name', 'another model')!r}, whose weights are others; use it with that base"
        )


def _factors(file: Path) -> list[tuple[str, str, int]]:
    """Layer, side and outer width of each LoRA factor of a linear layer in ``file``."""
    if not file.is_file():
        return []
    from safetensors import SafetensorError, safe_open

    found = []
    try:
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():
                shape = tensors.get_slice(key).get_shape()
                if (match := _FACTOR.match(key)) and len(shape) == 2:
                    side = match["side"]
                    found.append((match["layer"], side, shape[1 if side == "A" else 0]))
    except SafetensorError as error:
        raise WeightsError(f"adapter weights {str(file)!r} cannot be read: {error}") from error
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        data = parse_json(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
