"""What the head of a GGUF file says.

The library ``gguf`` reads every word of the vocabulary as an array of its own, which takes it many
seconds. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import stat
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import InputError, WeightsError

MAGIC = b"GGUF"
HEAD_BYTES = 128 * 1024 * 1024
"""Where the head ends at the latest; vocabularies take a few MiB."""
_STRING, _ARRAY = 8, 9
_WHOLE = (4, 5)
"""Whole numbers of 32 bits."""
_SIZES = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)
"""Bytes of each kind of value; strings and arrays say their own."""
_F32 = 0
_MOST_TENSORS, _MOST_KEYS = 100_000, 10_000
_LONGEST_NAME = 100
_NO_CHAT = ("bert", "nomic-bert", "jina-bert-v2", "clip", "t5encoder")


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file.

    Attributes:
        architecture: what llama.cpp is to build of it, such as ``qwen2``; or of an adapter's base.
        kind: ``model`` or ``adapter``.
        has_template: whether it says how a conversation is written.
        context: tokens that the model was made for, or 0 where it does not say.
    """

    path: Path
    architecture: str
    kind: str
    has_template: bool
    context: int = 0

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read the head.

        Raises:
            WeightsError: the file is missing, no GGUF file, or names no architecture.
        """
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
                raise WeightsError(f"{path} is no file that can be read as weights")
            with path.open("rb") as file:
                if (start := file.read(len(MAGIC))) != MAGIC:
                    raise WeightsError(
                        f"{path} is not a GGUF file: it begins with {start!r}, not {MAGIC!r}"
                    )
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_:
                    architecture = _text(bytes_, b"general.architecture")
                    kind = _text(bytes_, b"general.type") or "model"
                    template = bytes_.find(b"tokenizer.chat_template", 0, HEAD_BYTES) >= 0
                    context = _number(bytes_, f"{architecture}.context_length".encode())
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
        if not architecture:
            raise WeightsError(
                f"{path} is damaged or no model: it does not name an architecture; fetch it again"
            )
        return cls(path, architecture, kind, template, context)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by name, the fastest axis first, as the file has it.

        Raises:
            WeightsError: the file is damaged.
        """
        return {name: shape for name, (shape, _, _) in self._tensors()[0].items()}

    def norms(self) -> dict[str, Any]:
        """Weights of the norms by tensor name, float32 arrays of one axis. They are never quantized.

        Raises:
            WeightsError: the file is damaged.
        """
        import numpy as np

        tensors, start = self._tensors()
        found = {}
        for name, (shape, kind, offset) in tensors.items():
            if kind == _F32 and len(shape) == 1 and name.endswith("norm.weight"):
                at = start + offset
                found[name] = np.fromfile(self.path, np.float32, prod(shape), offset=at)
        return found

    def heads(self) -> tuple[int, int]:
        """Query heads of the attention, and its key and value heads; 0 where it does not say."""
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as head,
        ):
            query, shared = (
                _number(head, f"{self.architecture}.attention.{name}".encode())
                for name in ("head_count", "head_count_kv")
            )
        return query, shared or query

    def _tensors(self) -> tuple[dict[str, tuple[tuple[int, ...], int, int]], int]:
        """Shape, type and offset of each tensor by name, and where the offsets count from."""
        try:
            with (
                self.path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as head,
            ):
                return _Head(head).tensors()
        except (OSError, ValueError, struct.error) as error:
            raise WeightsError(f"{self.path} is damaged: {error}; fetch it again") from None

    def check_whole(self) -> None:
        """Refuse a file that ends before its last tensor does, as after a download that broke off.

        Raises:
            WeightsError: it does, or its head is damaged.
        """
        from gguf.constants import GGML_QUANT_SIZES

        tensors, start = self._tensors()
        needed = 0
        for shape, kind, offset in tensors.values():
            values, size = GGML_QUANT_SIZES.get(kind, (1, 0))  # type: ignore[call-overload]
            needed = max(needed, start + offset + prod(shape) // values * size)
        if (found := self.path.stat().st_size) < needed:
            raise WeightsError(
                f"{self.path} is cut off: it has {found:,} bytes, and its head names tensors of "
                f"{needed:,}; fetch it again"
            )

    def check_chat(self, name: str) -> None:
        """Refuse what cannot chat.

        Args:
            name: of the model, for the error.

        Raises:
            WeightsError: it is an adapter, or a model that gives vectors.
            InputError: it was not taught to hold a conversation.
        """
        if self.kind == "adapter":
            raise WeightsError(
                f"{name!r} is a LoRA adapter, not a model; name its base first: "
                f"local:BASE+{self.path}"
            )
        if self.architecture in _NO_CHAT:
            raise WeightsError(
                f"{name!r} is a model of architecture {self.architecture!r}, which writes no text; "
                "give a language model"
            )
        if not self.has_template:
            self.tensors()  # or the file was cut off before it
            raise InputError(
                f"{name!r} has no chat template, so it takes no messages; "
                "use an instruction-tuned model"
            )


def _text(head: mmap.mmap, key: bytes) -> str:
    """The text that a key stands for, or nothing."""
    at = head.find(key, 0, HEAD_BYTES)
    if at < 0:
        return ""
    at += len(key)
    try:
        kind, length = struct.unpack_from("<IQ", head, at)
    except struct.error:
        return ""
    if kind != _STRING or length > _LONGEST_NAME:
        return ""
    return head[at + 12 : at + 12 + length].decode("utf-8", "replace")


def _number(head: mmap.mmap, key: bytes) -> int:
    """The whole number that a key stands for, or 0."""
    at = head.find(struct.pack("<Q", len(key)) + key, 0, HEAD_BYTES)
    if at < 0:
        return 0
    try:
        kind, value = struct.unpack_from("<II", head, at + 8 + len(key))
    except struct.error:
        return 0
    return int(value) if kind in _WHOLE else 0


class _Head:
    """Goes through a head from its beginning."""

    def __init__(self, bytes_: mmap.mmap) -> None:
        self.bytes = bytes_
        self.at = len(MAGIC)

    def tensors(self) -> tuple[dict[str, tuple[tuple[int, ...], int, int]], int]:
        _, tensors, keys = self._take("<IQQ")
        if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
            raise ValueError(f"it claims {tensors:,} tensors and {keys:,} keys")
        alignment = 32
        for _ in range(keys):
            key = self._string()
            (kind,) = self._take("<I")
            if key == b"general.alignment" and kind == 4:
                (alignment,) = struct.unpack_from("<I", self.bytes, self.at)
            self._skip(kind)
        found = {}
        for _ in range(tensors):
            name = self._string().decode("utf-8", "replace")
            (axes,) = self._take("<I")
            if axes > 4:
                raise ValueError(f"tensor {name!r} claims {axes} axes")
            shape = self._take(f"<{axes}Q")
            kind, offset = self._take("<IQ")
            found[name] = shape, kind, offset
        return found, -(-self.at // alignment) * alignment

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return values

    def _string(self) -> bytes:
        (length,) = self._take("<Q")
        start, self.at = self.at, self.at + length
        if self.at > len(self.bytes):
            raise ValueError(f"a text claims {length:,} bytes")
        return self.bytes[start : self.at]

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            kind, count = self._take("<IQ")
            if kind == _STRING:
                for _ in range(count):
                    self._string()
            elif kind == _ARRAY or kind >= len(_SIZES):
                raise ValueError(f"an array claims values of kind {kind}")
            else:
                self.at += count * _SIZES[kind]
        elif kind < len(_SIZES):
            self.at += _SIZES[kind]
        else:
            raise ValueError(f"a value claims kind {kind}")
