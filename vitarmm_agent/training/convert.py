"""GGUF weights, converted once to a bf16 safetensors folder and cached.

Opening a GGUF file through transformers unpacks every tensor each time, in tens of seconds; the
converted folder opens in a few.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.private import private_folder
from vitarmm_agent.weights.fetch import disk_errors

SOURCE_FILE = "source.json"
SAME_MATRIX = 0.2
"""Relative difference below which input and output embeddings are one matrix, quantized twice."""

logger = logging.getLogger(__name__)


def converted_folder(gguf: Path, home: Path) -> Path:
    """Folder of the safetensors copy of ``gguf``, converted now if it is not there.

    Several processes may ask at once: one converts, the others wait. The folder appears complete
    or not at all.

    Raises:
        WeightsError: no GGUF file, of an unknown architecture, or the disk is full.
    """
    folder = _folder(gguf, home)
    if is_converted(gguf, home):
        return folder
    with disk_errors(home):
        private_folder(home / "locks")
        with FileLock(home / "locks" / f"convert-{folder.name}.lock"):
            if not is_converted(gguf, home):
                _convert(gguf, folder)
    return folder


def is_converted(gguf: Path, home: Path) -> bool:
    """Whether the copy of ``gguf`` is there."""
    return (_folder(gguf, home) / SOURCE_FILE).is_file()


def _folder(gguf: Path, home: Path) -> Path:
    """``converted/NAME`` for weights of the cache, else named by path, size and time."""
    pulled = home / "weights"
    if pulled in gguf.parents:
        return home / "converted" / gguf.relative_to(pulled).parts[0]
    stat = gguf.stat()
    identity = f"{gguf.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    return home / "converted" / f"{gguf.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _convert(gguf: Path, folder: Path) -> None:
    logger.info("converting %s to safetensors, once", gguf)
    staging = folder.with_name(f".{folder.name}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    private_folder(staging)
    try:
        model, tokenizer = load_gguf(gguf)
        _clear_quantization_marks(model)
        _tie_again(model)
        model.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        source = {"file": gguf.name, "size": gguf.stat().st_size, "dtype": "bfloat16"}
        (staging / SOURCE_FILE).write_text(json.dumps(source), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        gc.collect()


def load_gguf(gguf: Path) -> tuple[Any, Any]:
    """Model (bf16, unpacked) and tokenizer of a GGUF file, through transformers.

    Raises:
        WeightsError: the file is no GGUF, is damaged, or its architecture is unknown.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise WeightsError(f"{gguf} is not a GGUF file")
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": gguf.parent,
        "gguf_file": gguf.name,
    }
    try:
        model = AutoModelForCausalLM.from_pretrained(
            **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        tokenizer = AutoTokenizer.from_pretrained(**source)
    except (ValueError, LookupError, RuntimeError, struct.error) as error:
        raise WeightsError(f"{gguf} cannot be opened: {type(error).__name__}: {error}") from error
    return model, tokenizer


def _clear_quantization_marks(model: Any) -> None:
    """The unpacked model is a plain one, but transformers still calls it quantized."""
    model.hf_quantizer = None
    for name in ("quantization_method", "quantization_config"):
        model.__dict__.pop(name, None)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = ""


def _tie_again(model: Any) -> None:
    """Make input and output embeddings one matrix where the file holds it twice.

    Files of tied models often carry it at two precisions; the output's is the finer one, and
    saving both would double it.
    """
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if outputs is None or outputs.weight is inputs.weight:
        return
    if outputs.weight.shape != inputs.weight.shape:
        return
    fine, coarse = outputs.weight.detach().float(), inputs.weight.detach().float()
    if torch.norm(fine - coarse) <= SAME_MATRIX * torch.norm(fine):
        inputs.weight = outputs.weight
        model.config.tie_word_embeddings = True
        model.tie_weights()
