"""The base model of a training run, and the precision it is held in."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, WeightsError
from vitarmm_agent.models import safely
from vitarmm_agent.models.adapters import check_fit, checked_adapter
from vitarmm_agent.training.config import TrainingConfig
from vitarmm_agent.weights import CATALOG, resolve
from vitarmm_agent.weights.store import check_model_folder


@dataclass(frozen=True)
class Base:
    """A causal language model, ready to be adapted.

    Attributes:
        folder: where its safetensors lie.
        weights: what the user named: that folder, or the GGUF file that it is a copy of.
        name: as the user gave it: a catalogue name or a path.
        sha256: of its weight file; of the files' hashes, in order, when there are several.
        dtype: ``bfloat16`` or ``float32``.
    """

    model: Any
    tokenizer: Any
    folder: Path
    weights: Path
    name: str
    sha256: str
    dtype: str


def open_base(config: TrainingConfig, home: Path) -> Base:
    """Load the base, converting a GGUF file once.

    Raises:
        WeightsError: the weights are missing or cannot be opened.
        InputError: it is a model that sees images, or the hardware cannot hold it as asked.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from vitarmm_agent.models.shared_engine import quiet_bars

    path = resolve(config.base_name, home).resolve()
    folder = _folder(path, home)
    dtype = precision(config)
    options = _quantized() if config.qlora else {}
    if _flash_attention():
        options["attn_implementation"] = "flash_attention_2"
    try:
        if (
            getattr(AutoConfig.from_pretrained(folder, **safely.FOLDER), "vision_config", None)
            is not None
        ):
            raise InputError(f"{config.base_name!r} sees images; training takes a text model")
        with quiet_bars():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, **safely.WEIGHTS, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **safely.FOLDER)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        why = safely.reason(folder, error)
        raise WeightsError(f"{folder} cannot be opened for training: {why}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    sha256 = _weights_hash(config.base_name, path)
    return Base(model, tokenizer, folder, path, config.base_name, sha256, dtype)


def open_adapter(base: Base, folder: Path) -> Any:
    """A peft model that goes on training the adapter in ``folder``.

    Raises:
        WeightsError: there is no adapter, or it is another base's.
    """
    from peft import PeftModel

    path = checked_adapter(folder)
    check_fit(Path(path), base.model, base.name)
    try:
        return PeftModel.from_pretrained(base.model, path, is_trainable=True)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise WeightsError(f"adapter {path!r} does not fit {base.name!r}: {error}") from error


def precision(config: TrainingConfig) -> str:
    """``bfloat16`` where it is computed natively, else ``float32``; or what was asked for."""
    import torch

    if config.dtype != "auto":
        return config.dtype
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif torch.backends.mps.is_available():
        native = False
    else:
        can = torch.cpu.get_capabilities()
        native = bool(can.get("amx_bf16") or can.get("avx512_bf16") or can.get("bf16"))
    return "bfloat16" if native or config.qlora else "float32"


def packs(config: TrainingConfig) -> bool:
    """Whether rows share sequences.

    Rows of one sequence never see each other, on any device. Only on CUDA does that save work:
    elsewhere the attention computes what it then masks.
    """
    import torch

    if config.stage == "dpo":
        return False
    return torch.cuda.is_available() if config.packing is None else config.packing


def _folder(path: Path, home: Path) -> Path:
    if path.is_file():
        from vitarmm_agent.training.convert import converted_folder

        return converted_folder(path, home)
    check_model_folder(path)
    return path


def _quantized() -> dict[str, Any]:
    """4-bit NF4 with double quantization, as QLoRA has it (Dettmers et al. 2023)."""
    import torch

    if not torch.cuda.is_available():
        raise InputError("--qlora needs a CUDA GPU, and there is none here; leave it out")
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    device = int(os.environ.get("LOCAL_RANK", 0))
    return {"quantization_config": quantization, "device_map": {"": device}}


def _flash_attention() -> bool:
    from transformers.utils.import_utils import is_flash_attn_2_available

    return bool(is_flash_attn_2_available())


def _weights_hash(name: str, path: Path) -> str:
    """Known for catalogue weights of one file; computed for others."""
    entry = CATALOG.get(name)
    if entry is not None and len(entry.files) == 1:
        return entry.files[0].sha256
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    hashes = []
    for file in files:
        with file.open("rb") as opened:
            hashes.append(hashlib.file_digest(opened, "sha256").hexdigest())
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
