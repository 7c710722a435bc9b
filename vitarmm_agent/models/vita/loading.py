"""A checkpoint folder about to be loaded: which layout, which dtype, and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.models import safely
from vitarmm_agent.models.vita.checkpoint import (
    TensorHeader,
    check_tensors,
    listed,
    read_headers,
    read_json,
)

if TYPE_CHECKING:
    from vitarmm_agent.models.vita.configuration import VitaConfig

_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def checkpoint_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, when it is one that can hold a checkpoint.

    Raises:
        WeightsError: there is no such folder, or no ``config.json`` in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise WeightsError(
            f"there is no folder {str(path)!r}; VITA weights are not fetched implicitly: download "
            "them first, for example with: hf download VITA-MLLM/VITA-1.5 --local-dir VITA-1.5"
        )
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} is no VITA checkpoint: it has no config.json")
    return folder


def adapter_base(path: str | os.PathLike[str]) -> str | None:
    """The base model a PEFT adapter folder was made for; None when it is no adapter folder."""
    config = Path(path) / "adapter_config.json"
    if not config.is_file() or (Path(path) / "config.json").is_file():
        return None
    return str(read_json(config).get("base_model_name_or_path"))


def is_published(folder: Path) -> bool:
    """Whether a folder is in the published layout, not in that of transformers."""
    config = read_json(folder / "config.json")
    return config.get("model_type") != "vita" and "text_config" not in config


def stored_dtype(headers: Mapping[str, TensorHeader]) -> str | None:
    """Dtype of the token embeddings, such as ``bfloat16``."""
    names = ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight")
    found = next((headers[name].dtype for name in names if name in headers), "")
    return _DTYPES.get(found)


class Source:
    """A folder and the configuration it is to be loaded with."""

    def __init__(self, folder: Path, config: VitaConfig, published: bool) -> None:
        """Read the headers of its weights."""
        self.folder = folder
        self.config = config
        self.published = published
        self.headers = read_headers(folder)
        self.borrowed: dict[str, TensorHeader] = {}

    def check(self, model: type[PreTrainedModel]) -> None:
        """Refuse a checkpoint that does not fill a ``model``, before any weight is read.

        A published checkpoint without a vision tower borrows the tower of the separate folder.

        Raises:
            WeightsError: tensors are missing or misshapen, listed by name, at most ten.
        """
        shapes = _shapes(model, self.config)
        if not self.published:
            # experts may be stacked or not: transformers reads both
            plain = {name: shape for name, shape in shapes.items() if ".experts." not in name}
            if getattr(self.config, "quantization_config", None) is None:
                check_tensors(self.folder, self.headers, plain)
            return
        from vitarmm_agent.models.vita import conversion

        expected = conversion.published_shapes(shapes)
        if not any(name.startswith(conversion.TOWER_PREFIX) for name in self.headers):
            self.borrowed = conversion.tower_weights(self.folder)
        hint = "" if self.borrowed else conversion.tower_hint(self.folder)
        check_tensors(self.folder, self.headers | self.borrowed, expected, hint)

    @property
    def dtype(self) -> str | None:
        """Dtype of the language model's weights; what ``config.json`` says may be wrong."""
        return stored_dtype(self.headers)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All weights under their published names, mapped from disk, with the borrowed tower."""
        from safetensors.torch import load_file

        from vitarmm_agent.models.vita.conversion import TOWER_PREFIX

        tensors: dict[str, torch.Tensor] = {}
        for file in dict.fromkeys(header.file for header in self.headers.values()):
            tensors |= load_file(file)
        for file in dict.fromkeys(header.file for header in self.borrowed.values()):
            tensors |= {TOWER_PREFIX + name: value for name, value in load_file(file).items()}
        return tensors

    def generation_config(self) -> GenerationConfig:
        """Explicit decoding for a published checkpoint; its own file is never inherited.

        Without tokenizer files in the folder, stop ids are those of ``config.json``.
        """
        from transformers import AutoTokenizer

        from vitarmm_agent.models.vita.conversion import generation_settings

        text = self.config.text_config
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **safely.FOLDER)
        except (OSError, ValueError):
            ids = {key: getattr(text, key, None) for key in ("bos_token_id", "eos_token_id")}
            return GenerationConfig(do_sample=False, max_new_tokens=1024, **ids)
        settings = generation_settings(self.config.vita_model_type, tokenizer, text.vocab_size)
        return GenerationConfig(**settings)


def refuse_missing(folder: Path, missing: Any) -> None:
    """Refuse a model with weights that no file filled.

    Raises:
        WeightsError: there are such weights.
    """
    if missing:
        raise WeightsError(
            f"{folder} leaves {len(missing)} tensors of the model empty: {listed(sorted(missing))}"
        )


def _shapes(kind: type[PreTrainedModel], config: VitaConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors; a tied head needs none of its own."""
    with torch.device("meta"):
        model = kind(config)
    tied = set(model.all_tied_weights_keys)
    return {k: tuple(v.shape) for k, v in model.state_dict().items() if k not in tied}
