"""Message content as text and images, whichever of LangChain's forms it comes in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, ChatMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import DECODING, MIMES, inspect_image, read_image_bytes, to_rgb
from vitarmm_agent.models.blocks import ImageSource, is_image, read_block

if TYPE_CHECKING:
    from PIL.Image import Image

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


@dataclass(frozen=True)
class ImagePart:
    """An image that was checked: it can be decoded completely and is not too large."""

    data: bytes
    mime: str
    width: int
    height: int
    name: str
    sha256: str

    def rgb(self) -> Image:
        """The picture as RGB, upright, its first frame, transparency laid over white."""
        from PIL import Image

        with DECODING, Image.open(io.BytesIO(self.data)) as opened:
            return to_rgb(opened)


Part = str | ImagePart
"""A stretch of text, or an image."""


def role_of(message: BaseMessage) -> str:
    """The role that chat templates use: system, user, assistant or tool."""
    if isinstance(message, ChatMessage):
        return message.role
    if message.type not in _ROLES:
        raise InputError(f"a message of type {message.type!r} cannot be sent to a local model")
    return _ROLES[message.type]


def parts_of(message: BaseMessage) -> list[Part]:
    """Text and images of a message, in order.

    Blocks may have any form that :mod:`~vitarmm_agent.models.blocks` knows; the address of an image
    may be a path, a ``file:`` or a ``data:`` URL.

    Raises:
        InputError: a block of another kind, a web address, or an image that cannot be used.
    """
    if isinstance(message.content, str):
        return [message.content] if message.content else []
    parts = [_part(block) for block in message.content]
    return [part for part in parts if part not in (None, "")]


def text_of(message: BaseMessage) -> str:
    """All text of a message, blocks parted by a line break."""
    return "\n".join(part for part in parts_of(message) if isinstance(part, str))


def images_of(messages: Iterable[BaseMessage]) -> list[ImagePart]:
    """All images, in order."""
    return [
        part for message in messages for part in parts_of(message) if isinstance(part, ImagePart)
    ]


def has_images(messages: Iterable[BaseMessage]) -> bool:
    """Whether any block is an image; looks at types only, so it is cheap and raises nothing."""
    return any(
        is_image(block)
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
    )


def without_empty_end(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """``messages`` but for last ones of the assistant's that hold nothing: there is no reply to go on with."""
    end = len(messages)
    while end and role_of(last := messages[end - 1]) == "assistant":
        if has_images([last]) or parts_of(last):
            break
        end -= 1
    return messages[:end]


def refuse_images(messages: Iterable[BaseMessage], model: str) -> None:
    """Refuse images for a model that reads text only.

    Raises:
        InputError: there is one.
    """
    if has_images(messages):
        raise InputError(
            f"{model!r} reads text only and was given an image. Use a model that sees "
            "(vita:PATH, or local:PATH of a vision-language model), or set images to 'ocr' "
            "(--images-as ocr) to have text in the image read first"
        )


def check_image(source: str | bytes) -> ImagePart:
    """Read and check one image.

    Raises:
        InputError: missing, empty, not an image, damaged, too large, or a web address.
    """
    data, name = read_image_bytes(source)
    image_format, width, height = inspect_image(data, name)
    digest = hashlib.sha256(data).hexdigest()
    return ImagePart(data, MIMES[image_format], width, height, name, digest)


def _part(block: str | dict[str, Any]) -> Part | None:
    read = read_block(block)
    return check_image(read.source) if isinstance(read, ImageSource) else read
