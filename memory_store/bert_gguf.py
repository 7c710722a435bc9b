"""A BERT model in a sentence-transformers folder as one GGUF file, which llama.cpp opens.

Only folders of exactly this kind are taken: BERT, a mean over the tokens, no prompt before the text.
llama.cpp then gives the vectors that sentence-transformers gives. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from filelock import FileLock
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from vitarmm_agent.weights.fetch import disk_errors

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
GGUF_FILE = "bert-f16.gguf"
"""Without a vocabulary: the text is cut into tokens outside."""
SOURCE_FILE = "source.json"
EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
WHOLE = ("position_embd.weight", "token_types.weight")
"""Matrices that llama.cpp wants in single precision; the others are kept in half."""

logger = logging.getLogger(__name__)
T = TypeVar("T")


class _File(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), frozen=True)


class BertConfig(_File):
    """``config.json`` of a BERT model that llama.cpp computes alike."""

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"]
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layer_norm_eps: float
    max_position_embeddings: PositiveInt
    num_attention_heads: PositiveInt
    num_hidden_layers: Annotated[int, Field(gt=0, le=1000)]
    type_vocab_size: PositiveInt
    vocab_size: PositiveInt

    def tensors(self) -> dict[str, str]:
        """Its tensors by their names in safetensors, with those in a GGUF file."""
        layers = {
            f"encoder.layer.{number}.{old}.{part}": f"blk.{number}.{new}.{part}"
            for number in range(self.num_hidden_layers)
            for old, new in LAYER.items()
            for part in ("weight", "bias")
        }
        return EMBEDDINGS | layers


class _Text(_File):
    """``sentence_bert_config.json``."""

    max_seq_length: PositiveInt | None = None
    do_lower_case: Literal[False] = False


class _Tokenizer(_File):
    """``tokenizer_config.json``; a length that nobody set is 1e30."""

    model_max_length: PositiveFloat | None = None


class _Prompts(_File):
    """``config_sentence_transformers.json``."""

    default_prompt_name: None = None


class _Module(_File):
    """One of ``modules.json``."""

    path: str
    type: str


class _Pooling(_File):
    """``config.json`` of the pooling module, as older and newer versions write it."""

    pooling_mode: Literal["mean"] | None = None
    pooling_mode_mean_tokens: bool = False
    pooling_mode_cls_token: Literal[False] = False
    pooling_mode_max_tokens: Literal[False] = False
    pooling_mode_mean_sqrt_len_tokens: Literal[False] = False
    pooling_mode_weightedmean_tokens: Literal[False] = False
    pooling_mode_lasttoken: Literal[False] = False


class _AddedToken(_File):
    id: int


class _WordPiece(_File):
    type: Literal["WordPiece"]
    vocab: dict[str, int]


class _Vocabulary(_File):
    """``tokenizer.json``."""

    model: _WordPiece
    added_tokens: tuple[_AddedToken, ...]

    def size(self) -> int:
        """How many numbers it uses."""
        numbers = [*self.model.vocab.values(), *(token.id for token in self.added_tokens)]
        return 1 + max(numbers, default=0)


@dataclass(frozen=True)
class BertFolder:
    """A sentence-transformers folder that llama.cpp can stand in for.

    Attributes:
        limit: tokens of a text that count, the two around it included; the rest is cut off.
        place: where its GGUF file is kept.
    """

    folder: Path
    config: BertConfig
    limit: int
    place: Path

    @classmethod
    def of(cls, folder: Path, home: Path) -> BertFolder | None:
        """The model in ``folder``, or None when it is of another kind; what is made, below ``home``."""
        config = _read(folder / "config.json", BertConfig)
        text = _read(folder / "sentence_bert_config.json", _Text)
        tokenizer = _read(folder / "tokenizer_config.json", _Tokenizer)
        prompts = folder / "config_sentence_transformers.json"
        if config is None or text is None or tokenizer is None:
            return None
        if prompts.exists() and _read(prompts, _Prompts) is None:
            return None
        if not _pools_by_mean(folder):
            return None
        positions = config.max_position_embeddings
        limit = text.max_seq_length or tokenizer.model_max_length or positions
        found = cls(folder, config, int(min(limit, positions)), _place(folder, home))
        return found if found._is_made() or _has_tensors(folder, config) else None

    def gguf(self) -> Path:
        """The GGUF file, made now if it is not there; it appears complete or not at all.

        Several processes may ask at once: one makes it, the others wait.

        Raises:
            WeightsError: it cannot be written.
        """
        if not self._is_made():
            home = self.place.parent.parent
            with disk_errors(home):
                (home / "locks").mkdir(parents=True, exist_ok=True)
                with FileLock(home / "locks" / f"weights-{self.place.name}.lock"):
                    if not self._is_made():
                        self._make()
        return self.place / GGUF_FILE

    def _is_made(self) -> bool:
        stamps = _read(self.place / SOURCE_FILE, dict[str, list[int]])
        return stamps == self._stamps(self.place) and (self.place / GGUF_FILE).is_file()

    def _stamps(self, place: Path) -> dict[str, list[int]]:
        """Size and time of the file and of what it is made from, as far as they exist."""
        files = (self.folder / WEIGHTS, self.folder / TOKENIZER, place / GGUF_FILE)
        stats = {path.name: path.stat() for path in files if path.is_file()}
        return {name: [stat.st_size, int(stat.st_mtime)] for name, stat in stats.items()}

    def _make(self) -> None:
        logger.info("making a GGUF file of %s, once", self.folder)
        staging = self.place.with_name(f".{self.place.name}.staging")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            _write(self.folder, self.config, staging / GGUF_FILE)
            (staging / SOURCE_FILE).write_text(json.dumps(self._stamps(staging)), "utf-8")
            shutil.rmtree(self.place, ignore_errors=True)
            os.replace(staging, self.place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _place(folder: Path, home: Path) -> Path:
    """``converted/NAME`` for weights of the cache, else named by the folder's path."""
    folder = folder.resolve()
    if folder.parent == (home / "weights").resolve():
        return home / "converted" / folder.name
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return home / "converted" / f"{folder.name}-{digest}"


def _write(folder: Path, config: BertConfig, path: Path) -> None:
    import gguf
    import numpy as np
    from safetensors.numpy import load_file

    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(folder.name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_tokenizer_model("no_vocab")  # it is asked with numbers of tokens
    writer.add_vocab_size(config.vocab_size)
    tensors = load_file(folder / WEIGHTS)
    for name, new in config.tensors().items():
        halved = tensors[name].ndim == 2 and new not in WHOLE
        writer.add_tensor(new, tensors[name].astype(np.float16 if halved else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _pools_by_mean(folder: Path) -> bool:
    """Whether the modules are the model, a mean over its tokens, and at most a normalisation."""
    modules = _read(folder / "modules.json", list[_Module]) or []
    kinds = [module.type.rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    pooling = _read(folder / modules[1].path / "config.json", _Pooling)
    by_mean = pooling is not None and (pooling.pooling_mode or pooling.pooling_mode_mean_tokens)
    return bool(by_mean) and not modules[0].path


def _has_tensors(folder: Path, config: BertConfig) -> bool:
    """Whether weights and vocabulary are there, under the names and types that are known."""
    from safetensors import SafetensorError, safe_open

    vocabulary, wanted = _read(folder / TOKENIZER, _Vocabulary), config.tensors()
    if vocabulary is None or vocabulary.size() > config.vocab_size:
        return False
    try:
        with safe_open(folder / WEIGHTS, "numpy") as file:
            types = {file.get_slice(name).get_dtype() for name in wanted if name in file.keys()}
            return set(file.keys()) >= wanted.keys() and types <= {"F32", "F16"}
    except (OSError, SafetensorError):
        return False


def _read(path: Path, kind: type[T]) -> T | None:
    """What a JSON file holds, or None when it is missing or of another form."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
