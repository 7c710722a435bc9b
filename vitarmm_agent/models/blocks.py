"""One content block of a message as text or an image's source, whoever's form it has.

LangChain (versions 0 and 1), OpenAI (chat and responses), Anthropic, Google, Bedrock, MCP, AG-UI, the AI
SDK, Agent Chat UI and LangGraph Studio each write an image in their own way. They agree in what is said:
bytes in base64, or an address; and a MIME type, which is not believed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vitarmm_agent.errors import InputError

_TEXTS = frozenset({"text", "input_text", "output_text", "text-plain"})
_IMAGES = frozenset({"image", "image_url", "input_image"})
_SILENT = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "tool_call", "tool_use", "tool_call_chunk"}
)
_INSIDE = (
    "source", "image_url", "image", "file", "inline_data", "inlineData", "file_data", "fileData", "resource",
)  # fmt: skip
"""Fields that may hold the rest of what is said."""
_DATA = ("base64", "data", "file_data", "blob", "bytes")
_PLACES = ("url", "uri", "path", "image_url", "image", "file_uri", "fileUri")
_WHOLE = ("data:", "http://", "https://", "file:")
"""What begins an address where base64 may stand as well; a colon is no character of it."""
_BEGIN = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "Qk", "SUkqA", "TU0AK")
"""How PNG, JPEG, GIF, WebP, BMP and TIFF begin in base64."""
_SHORTEST = 48
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
_MIMES = ("mime_type", "mimeType", "media_type", "mediaType", "content_type", "contentType")


@dataclass(frozen=True)
class ImageSource:
    """Where an image is: a ``data:`` URL, a web address, a ``file:`` URL or a path."""

    source: str


def read_block(block: Any) -> str | ImageSource | None:
    """Text or image of a block; None for one that is not meant for the reader, such as reasoning.

    Raises:
        InputError: a block of another kind, or an image without its bytes or an address.
    """
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        raise InputError(f"a content block must be text or a dict, got {block!r:.200}")
    block, kind = _standard(block)
    if kind in _SILENT:
        return None
    if is_image(block):
        return ImageSource(_source(block))
    if kind == "text" or ("text" in block and (kind is None or kind in _TEXTS)):
        return _text(block)
    said = _mime(block)
    what = f"{kind!r}, which holds {said!r:.100}," if said else f"{kind!r}"
    raise InputError(
        f"a content block of type {what} cannot be used (it has {sorted(map(str, block))}); "
        "use text and image blocks"
    )


def is_image(block: Any) -> bool:
    """Whether a block is an image; decodes nothing and raises nothing."""
    if not isinstance(block, Mapping):
        return False
    block, kind = _standard(block)
    if kind in _IMAGES or (kind is None and isinstance(block.get("image"), Mapping)):
        return True
    if kind in _TEXTS:
        return False
    told = [_mime(block), *(value for _, value in _said(block, (*_DATA, *_PLACES)))]
    return any(
        isinstance(word, str) and word.startswith(("image/", "data:image/")) for word in told
    )


def _standard(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    """A block and its type, out of the wrapping in which LangChain puts what it does not know."""
    inner = block.get("value")
    if block.get("type") == "non_standard" and isinstance(inner, Mapping):
        block = inner
    return block, block.get("type")


def _text(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    if isinstance(text, Mapping):  # as OpenAI's assistants write it
        text = text.get("value")
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InputError(f"the text of a text block must be text, got {text!r:.200}")
    return text


def _source(block: Mapping[str, Any]) -> str:
    for name, data in _said(block, _DATA):
        if isinstance(data, bytes | bytearray):
            data = base64.b64encode(data).decode()
        if isinstance(data, str) and data:
            return data if data[:8].lower().startswith(_WHOLE) else f"data:image;base64,{data}"
        if data and not isinstance(data, Mapping):
            raise InputError(f"{name!r} of an image block must be base64, got {data!r:.100}")
    for name, place in _said(block, _PLACES):
        if isinstance(place, str) and place:
            told = name == "image" and _mime(block) and ":" not in place[:8]
            return f"data:image;base64,{place}" if told or _is_base64(place) else place
    raise InputError(
        f"an image block of type {block.get('type')!r} needs 'url', 'base64' or 'path'; it has only "
        f"{sorted(map(str, block))}. A file's id is of use to its provider alone: send the image itself"
    )


def _is_base64(place: str) -> bool:
    """Whether what stands in the place of an address is an image's bytes: they begin as one's do.

    A path may begin in the same way; it is shorter than an image, or has a dot.
    """
    return len(place) >= _SHORTEST and place.startswith(_BEGIN) and bool(_BASE64.fullmatch(place))


def _mime(block: Mapping[str, Any]) -> Any:
    return next((value for _, value in _said(block, _MIMES) if value), None)


def _said(
    block: Mapping[str, Any], names: tuple[str, ...], depth: int = 3
) -> Iterator[tuple[str, Any]]:
    """What a block says under any of these names, outermost first."""
    yield from ((name, block[name]) for name in names if name in block)
    if "value" in block and ("url" if block.get("type") == "url" else "data") in names:
        yield "value", block["value"]  # AG-UI's source
    for name in _INSIDE:
        inner = block.get(name)
        if depth and isinstance(inner, Mapping):
            yield from _said(inner, names, depth - 1)
