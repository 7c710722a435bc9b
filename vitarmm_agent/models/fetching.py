"""Images named by web addresses, fetched only where someone allowed it."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MAX_BYTES, MIMES, inspect_image
from vitarmm_agent.models.blocks import ImageSource, read_block

SECONDS = 20.0
_WEB = ("http://", "https://")


def fetch_images(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages with every web address of an image replaced by the image's bytes.

    Raises:
        InputError: an address that does not answer within 20 seconds, or answers with more than
            32 MiB or no image.
    """
    return [
        message
        if isinstance(message.content, str)
        else message.model_copy(update={"content": [_filled(block) for block in message.content]})
        for message in messages
    ]


def fetch_image(url: str) -> bytes:
    """Bytes of one image; see :func:`fetch_images`."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise InputError(f"image {url!r} cannot be fetched: {error}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"image {url!r} has more than {MAX_BYTES:,} bytes")
    return data


def _filled(block: Any) -> Any:
    image = read_block(block)
    if not isinstance(image, ImageSource) or not image.source.startswith(_WEB):
        return block
    data = fetch_image(image.source)
    image_format, _, _ = inspect_image(data, image.source)
    encoded = base64.b64encode(data).decode()
    return {"type": "image", "base64": encoded, "mime_type": MIMES[image_format]}
