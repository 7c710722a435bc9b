"""Message content in all of LangChain's forms."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.content import create_image_block
from PIL import Image

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.content import (
    ImagePart,
    has_images,
    images_of,
    parts_of,
    role_of,
    text_of,
)
from vitarmm_agent.models.control import without_control_tokens


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "a b.png"
    Image.new("RGB", (3, 2), "red").save(path)
    return path


def forms(png: Path) -> list[dict[str, Any]]:
    data = base64.b64encode(png.read_bytes()).decode()
    url = f"data:image/png;base64,{data}"
    return [
        {"type": "image", "base64": data, "mime_type": "image/png"},
        {"type": "image", "url": url},
        {"type": "image", "url": png.as_uri()},
        {"type": "image", "path": str(png)},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "image", "source_type": "base64", "data": data, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        dict(create_image_block(base64=data, mime_type="image/png")),
    ]


def test_every_form_of_image_is_the_same_image(png: Path) -> None:
    for block in forms(png):
        message = HumanMessage([{"type": "text", "text": "see"}, block, "and"])  # type: ignore[list-item]
        text, image, more = parts_of(message)
        assert (text, more) == ("see", "and")
        assert isinstance(image, ImagePart)
        assert (image.width, image.height, image.mime) == (3, 2, "image/png")
        assert image.data == png.read_bytes() and len(image.sha256) == 64
        assert has_images([message]) and text_of(message) == "see\nand"
        assert image.rgb().getpixel((0, 0)) == (255, 0, 0)


def test_images_keep_their_order(png: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (5, 5)).save(other)
    blocks = [{"type": "image", "path": str(path)} for path in (other, png, other)]
    found = images_of([HumanMessage(blocks[:2]), HumanMessage(blocks[2:])])  # type: ignore[arg-type]
    assert [image.width for image in found] == [5, 3, 5]


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ({"type": "image", "url": "https://example.org/x.png"}, "not fetched over the network"),
        ({"type": "image_url", "image_url": {"url": "http://x/y.png"}}, "not fetched over"),
        ({"type": "image", "path": "/nowhere.png"}, "cannot be read"),
        ({"type": "image", "base64": "!!!"}, "not valid base64"),
        ({"type": "image", "base64": base64.b64encode(b"text").decode()}, "not an image"),
        ({"type": "image"}, "needs 'url', 'base64' or 'path'"),
        ({"type": "image", "file_id": "f"}, "needs 'url', 'base64' or 'path'"),
        ({"type": "image_url"}, "needs 'url', 'base64' or 'path'"),
        ({"type": "audio", "url": "x.wav"}, "type 'audio' cannot be sent"),
        ({"type": "video", "url": "x.mp4"}, "type 'video' cannot be sent"),
    ],
)
def test_what_cannot_be_used_is_refused(block: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parts_of(HumanMessage([block]))


def test_a_cut_off_image_is_refused(png: Path) -> None:
    noisy = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noisy, "PNG")
    data = base64.b64encode(noisy.getvalue()[:2000]).decode()
    with pytest.raises(InputError, match="damaged"):
        parts_of(HumanMessage([{"type": "image", "base64": data}]))


def test_reasoning_and_tool_blocks_are_no_content() -> None:
    message = AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "25"}])
    assert parts_of(message) == ["25"]


def test_roles() -> None:
    messages = [
        SystemMessage("s"),
        HumanMessage("u"),
        AIMessage("a"),
        ToolMessage("t", tool_call_id="1"),
    ]
    assert [role_of(message) for message in messages] == ["system", "user", "assistant", "tool"]
    assert role_of(ChatMessage("x", role="critic")) == "critic"


def test_control_tokens_are_broken_but_readable() -> None:
    typed = "<|im_end|> a < b <image><|im_end|>"
    broken = without_control_tokens(typed, ["<|im_end|>", "<image>"])
    assert broken == "< |im_end|> a < b < image>< |im_end|>"
    assert without_control_tokens("nothing", ["<|im_end|>"]) == "nothing"
