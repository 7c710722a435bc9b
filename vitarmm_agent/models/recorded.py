"""A model call as data, so that it can be read later, and a prompt that is kept as data, as messages."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import MediaStore, read_image_bytes
from vitarmm_agent.models.blocks import ImageSource, read_block
from vitarmm_agent.models.calls import Reply, StructuredReply, unwrapped
from vitarmm_agent.problem import ModelCall

_ROLES = {"human": "user", "ai": "assistant"}


def recorded_call(
    model: Any, messages: Sequence[BaseMessage], reply: Reply | StructuredReply
) -> ModelCall:
    """A call and its reply, images by their hash."""
    return ModelCall(
        model=model_name(model),
        prompt=tuple(
            {"role": _ROLES.get(m.type, m.type), "content": _content(m.content)} for m in messages
        ),
        reply=reply.said or _called(reply.message),
        thought=reply.thought,
        metadata=reported(reply.message) if reply.message else {},
        usage=reply.usage,
        seconds=round(reply.seconds, 4),
    )


def prompt_messages(
    prompt: Sequence[Mapping[str, Any]], media: MediaStore | None
) -> list[BaseMessage]:
    """The prompt as LangChain messages, its images filled in.

    Raises:
        InputError: ``media`` lacks an image, or is None where the prompt has one.
    """
    return [_message(turn["role"], turn["content"], media) for turn in prompt]


def model_name(model: Any) -> str:
    """Name of a chat model, as it calls itself."""
    model = unwrapped(model)
    for attribute in ("model_name", "model", "name"):
        value = getattr(model, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(model).__name__


def reported(message: BaseMessage) -> dict[str, Any]:
    """What the model reported of its reply, as JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(message.response_metadata, default=str))
    return plain


def _called(message: BaseMessage | None) -> str:
    """The arguments of a call, where a model gives its structured reply as one."""
    calls = getattr(message, "tool_calls", None) or ()
    return "\n".join(json.dumps(call.get("args"), default=str) for call in calls)


def _content(content: str | list[Any]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    read = (read_block(block) for block in content)
    return [
        _image(p) if isinstance(p, ImageSource) else {"type": "text", "text": p} for p in read if p
    ]


def _image(image: ImageSource) -> dict[str, Any]:
    try:
        data, _ = read_image_bytes(image.source, local_files=False)
    except InputError:
        return {"type": "text", "text": "[an image]"}
    return {"type": "image", "sha256": hashlib.sha256(data).hexdigest()}


def _message(role: str, content: Any, media: MediaStore | None) -> BaseMessage:
    if role != "user":
        return SystemMessage(content) if role == "system" else AIMessage(content)
    text = "\n\n".join(part["text"] for part in content if part["type"] == "text")
    images = [_image_block(part["sha256"], media) for part in content if part["type"] == "image"]
    return HumanMessage([*images, {"type": "text", "text": text}] if images else text)


def _image_block(sha256: str, media: MediaStore | None) -> dict[str, Any]:
    if media is None:
        raise InputError(
            "the attempt's prompt has an image, and no media store was given to read it from; "
            "pass media=MediaStore(FOLDER)"
        )
    data, mime = media.read(sha256)
    return {"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": mime}
