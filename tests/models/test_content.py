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

from vitarmm_agent.effects import run
from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.models.content import (
    ImagePart,
    has_images,
    images_of,
    parts_of,
    role_of,
    text_of,
)
from vitarmm_agent.models.control import without_control_tokens
from vitarmm_agent.nodes.intake import problem_of


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "a b.png"
    Image.new("RGB", (3, 2), "red").save(path)
    return path


def forms(png: Path) -> dict[str, dict[str, Any]]:
    raw = png.read_bytes()
    data = base64.b64encode(raw).decode()
    url, mime = f"data:image/png;base64,{data}", "image/png"
    return {
        "LangChain": {"type": "image", "base64": data, "mime_type": mime},
        "LangChain, url": {"type": "image", "url": url},
        "LangChain, file url": {"type": "image", "url": png.as_uri()},
        "LangChain, one slash": {"type": "image", "url": png.as_uri().replace("///", "/")},
        "LangChain, path": {"type": "image", "path": str(png)},
        "LangChain, file": {"type": "file", "base64": data, "mime_type": mime},
        "LangChain, old": {"type": "image", "source_type": "base64", "data": data, "mime_type": mime},
        "LangChain, old url": {"type": "image", "source_type": "url", "url": url},
        "LangChain, maker": dict(create_image_block(base64=data, mime_type=mime)),
        "LangChain, unknown": {"type": "non_standard", "value": {"type": "image_url", "image_url": url}},
        "OpenAI chat": {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        "OpenAI chat, short": {"type": "image_url", "image_url": url},
        "OpenAI responses": {"type": "input_image", "image_url": url, "detail": "auto"},
        "OpenAI file": {"type": "file", "file": {"filename": "x.png", "file_data": url}},
        "OpenAI input file": {"type": "input_file", "file_data": url},
        "Anthropic": {"type": "image", "source": {"type": "base64", "media_type": mime, "data": data}},
        "Anthropic, url": {"type": "image", "source": {"type": "url", "url": url}},
        "Agent Chat UI": {"type": "image", "mimeType": mime, "data": data, "metadata": {"name": "i"}},
        "Agent Chat UI, new": {"type": "image", "mime_type": mime, "data": data},
        "LangGraph Studio": {"type": "image_url", "image_url": {"url": url}, "id": "1"},
        "Google": {"type": "media", "mime_type": mime, "data": data},
        "Google, bytes": {"type": "media", "mime_type": mime, "data": raw},
        "Google, part": {"inline_data": {"mime_type": mime, "data": data}},
        "Google, JSON": {"inlineData": {"mimeType": mime, "data": data}},
        "Bedrock": {"image": {"format": "png", "source": {"bytes": raw}}},
        "AG-UI, binary": {"type": "binary", "mimeType": mime, "data": data},
        "AG-UI": {"type": "image", "source": {"type": "data", "value": data, "mimeType": mime}},
        "AG-UI, url": {"type": "image", "source": {"type": "url", "value": url}},
        "MCP": {"type": "image", "data": data, "mimeType": mime},
        "MCP, resource": {"type": "resource", "resource": {"uri": "x:y", "blob": data, "mimeType": mime}},
        "AI SDK": {"type": "file", "mediaType": mime, "data": data},
        "AI SDK, url": {"type": "file", "mediaType": mime, "url": url},
        "AI SDK, image": {"type": "image", "image": data, "mediaType": mime},
        "AI SDK, image alone": {"type": "image", "image": data},
        "AI SDK, image URL": {"type": "image", "image": url},
        "Ollama": {"type": "image_url", "image_url": data},
        "Ollama, in a dict": {"type": "image_url", "image_url": {"url": f"{data}\n"}},
        "OpenAI responses, bare": {"type": "input_image", "image_url": data.rstrip("=")},
        "transformers": {"type": "image", "image": str(png)},
        "a URL for base64": {"type": "image", "base64": url},
        "an empty field": {"type": "image", "base64": None, "data": "", "url": url},
    }  # fmt: skip


FORMS = [*forms(Path(__file__))]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_image_is_the_same_image(form: str, png: Path, tmp_path: Path) -> None:
    block: Any = forms(png)[form]
    message = HumanMessage([{"type": "text", "text": "see"}, block, "and"])
    text, image, more = parts_of(message)
    assert (text, more) == ("see", "and")
    assert isinstance(image, ImagePart)
    assert (image.width, image.height, image.mime) == (3, 2, "image/png")
    assert image.data == png.read_bytes() and len(image.sha256) == 64
    assert has_images([message]) and text_of(message) == "see\nand"
    assert image.rgb().getpixel((0, 0)) == (255, 0, 0)
    media = MediaStore(tmp_path / "media", local_files=True)
    problem = run(problem_of({"messages": [message]}, media))
    assert problem.text == "see\nand" and [i.sha256 for i in problem.images] == [image.sha256]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": None},
        {"type": "text"},
        {"type": "text", "text": ""},
        {"type": "input_text", "text": "x"},
        {"type": "output_text", "text": "x", "annotations": []},
        {"type": "text-plain", "text": "x", "mime_type": "text/plain"},
        {"type": "text", "text": {"value": "x", "annotations": []}},
        {"type": "non_standard", "value": {"type": "input_text", "text": "x"}},
        {"text": "x"},
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "redacted_thinking", "data": "aW1hZ2U="},
    ],
)
def test_every_form_of_text_is_text_or_nothing(block: Any, tmp_path: Path) -> None:
    message = HumanMessage([{"type": "text", "text": "see"}, block])
    assert text_of(message) in ("see", "see\nx") and not has_images([message])
    assert ("x" in text_of(message)) == ("'x'" in repr(block))
    problem = run(problem_of({"messages": [message]}, MediaStore(tmp_path)))
    assert problem.text.strip() == text_of(message)


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ({"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"}, "type 'audio', which"),
        ({"type": "input_audio", "input_audio": {"data": "aGk="}}, "type 'input_audio' cannot"),
        ({"type": "file", "base64": "aGk=", "mime_type": "application/pdf"}, "'application/pdf'"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "type 'file' cannot be used"),
        ({"type": "media", "mime_type": "video/mp4", "data": "aGk="}, "'video/mp4'"),
        ({"type": "binary", "mimeType": "audio/wav", "data": "aGk="}, "'audio/wav'"),
        ({"type": "document", "source": {"type": "text", "data": "x"}}, "type 'document' cannot"),
        ({"type": "text-plain", "base64": "aGk="}, "type 'text-plain' cannot be used"),
        ({"type": "input_image", "file_id": "file-1"}, "id is of use to its provider"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "id is of use to its prov"),
        ({"type": "image", "data": [137, 80]}, "must be base64, got"),
        ({"type": "text", "text": 7}, "text of a text block must be text, got 7"),
        ({"fileData": {"mimeType": "image/png", "fileUri": "gs://b/i.png"}}, "web address"),
        ({"type": "image", "url": "HTTPS://x.example/i.png"}, "web address"),
        ({"type": None}, "type None cannot be used"),
        ({}, "type None cannot be used"),
        (None, "must be text or a dict, got None"),
        (7, "must be text or a dict, got 7"),
        (["see"], "must be text or a dict"),
    ],
)
def test_a_block_that_cannot_be_used_is_named(block: Any, complaint: str, tmp_path: Path) -> None:
    message = HumanMessage("")
    message.content = ["see", block]
    with pytest.raises(InputError, match=complaint):
        parts_of(message)
    with pytest.raises(InputError, match=complaint):
        state: Any = {"messages": [message]}
        run(problem_of(state, MediaStore(tmp_path, local_files=True)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_base64_in_the_place_of_an_address_is_known_by_its_beginning(kind: str) -> None:
    held = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(held, kind)
    data = base64.b64encode(held.getvalue()).decode()
    (image,) = parts_of(HumanMessage([{"type": "image", "image": data}]))
    assert isinstance(image, ImagePart) and image.data == held.getvalue()


@pytest.mark.parametrize("path", ["iVBORw0KGgo", "/9j/photo.jpg", "UklGR" + "a" * 60 + ".webp"])
def test_a_path_may_begin_like_base64(path: str) -> None:
    with pytest.raises(InputError, match="cannot be read.*check the path"):
        parts_of(HumanMessage([{"type": "image", "image": path}]))


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
        ({"type": "audio", "url": "x.wav"}, "type 'audio' cannot be used"),
        ({"type": "video", "url": "x.mp4"}, "type 'video' cannot be used"),
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
