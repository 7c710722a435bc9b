"""A model call as data, so that it can be read later: what was sent, and what came back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.media import read_image_bytes
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
