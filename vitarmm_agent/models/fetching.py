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
    url = _web_address(block)
    if url is None:
        return block
    data = fetch_image(url)
    image_format, _, _ = inspect_image(data, url)
    encoded = base64.b64encode(data).decode()
    return {"type": "image", "base64": encoded, "mime_type": MIMES[image_format]}


def _web_address(block: Any) -> str | None:
    """The address in an image block of any of the forms that are understood."""
    if not isinstance(block, dict) or block.get("type") not in ("image", "image_url"):
        return None
    found = block.get("image_url") or block.get("url") or block.get("source")
    url = found.get("url") if isinstance(found, dict) else found
    return url if isinstance(url, str) and url.startswith(_WEB) else None
