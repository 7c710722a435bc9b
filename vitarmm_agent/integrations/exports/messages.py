"""Messages in whatever form an export has them, as LangChain's: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.models.blocks import ImageSource, read_block

MAX_MESSAGES = 1_000
MAX_DEPTH = 6
_ROLES = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "model": "assistant",
    "system": "system", "developer": "system", "tool": "tool", "function": "tool",
    "humanmessage": "user", "aimessage": "assistant", "aimessagechunk": "assistant",
    "systemmessage": "system", "toolmessage": "tool", "functionmessage": "tool",
}  # fmt: skip
_HOLDERS = (
    "messages", "generations", "choices", "message", "output", "outputs", "answer", "input", "inputs",
    "question", "query", "prompt", "response", "result", "completion", "text", "content",
)  # fmt: skip
"""Fields of inputs and outputs that hold what was said, the surest first."""


def read_messages(value: Any, role: str, depth: int = 0) -> list[BaseMessage]:
    """The messages of a run's input or output; bare text is one of ``role``.

    Raises:
        InputError: there are none, too many, or one that cannot be read.
    """
    if depth > MAX_DEPTH:
        raise InputError("has messages that are nested too deeply")
    if isinstance(value, str):
        return [_made(role, value, ())]
    if isinstance(value, Mapping):
        if _is_message(value):
            return [_message(value)]
        if "role" in value:
            raise InputError(f"has a message of the role {value['role']!r:.60}, or without content")
        held = [name for name in _HOLDERS if value.get(name)]
        if not held and len(value) == 1:
            held = list(value)
        if not held:
            raise InputError(f"has no messages in {sorted(map(str, value))[:10]}")
        return read_messages(value[held[0]], role, depth + 1)
    if not isinstance(value, Sequence) or not value:
        raise InputError(f"has no messages, got {value!r:.100}")
    if len(value) > MAX_MESSAGES:
        raise InputError(f"has {len(value):,} messages; the limit is {MAX_MESSAGES:,}")
    if _is_pair(value):
        return [_made(_ROLES[value[0].lower()], value[1], ())]
    if (isinstance(value[0], list) and not _is_pair(value[0])) or _is_choice(value[0]):
        return read_messages(value[0], role, depth + 1)  # of a batch, or of several replies
    return [one for part in value for one in read_messages(part, role, depth + 1)]


def said_in(message: BaseMessage) -> str:
    """The text of a message.

    Raises:
        InputError: it holds an image, or a block that is no text.
    """
    blocks = [message.content] if isinstance(message.content, str) else message.content
    read = [part for block in blocks if (part := read_block(block)) is not None]
    if any(isinstance(part, ImageSource) for part in read):
        raise InputError("has an image; only runs of text are learned from")
    return "\n".join(part for part in read if isinstance(part, str))


def _is_pair(value: Sequence[Any]) -> bool:
    """Whether it is a role and a text, as LangChain takes messages, too."""
    texts = len(value) == 2 and all(isinstance(part, str) for part in value)
    return texts and value[0].lower() in _ROLES


def _is_choice(value: Any) -> bool:
    """Whether it is one of a model's replies to the same: OpenAI's choice, LangChain's generation."""
    return isinstance(value, Mapping) and not _is_message(value) and "message" in value


def _is_message(value: Mapping[str, Any]) -> bool:
    if value.get("type") == "constructor":
        return isinstance(value.get("kwargs"), Mapping)
    role = value.get("role", value.get("type"))
    known = isinstance(role, str) and role.lower() in _ROLES
    return known and any(name in value for name in ("content", "parts", "data", "tool_calls"))


def _message(value: Mapping[str, Any]) -> BaseMessage:
    """One message: LangChain's (as a dictionary or serialised), OpenAI's, or OpenTelemetry's."""
    role = value.get("role", value.get("type"))
    if value.get("type") == "constructor":
        named = value.get("id")
        role = named[-1] if isinstance(named, list) and named else ""
        value = value["kwargs"]
    elif isinstance(value.get("data"), Mapping):
        value = value["data"]
    known = _ROLES.get(str(role).lower())
    if known is None:
        raise InputError(f"has a message of the role {role!r:.60}")
    if isinstance(value.get("parts"), list):
        return _of_parts(known, value["parts"])
    content = value.get("content")
    calls = value.get("tool_calls")
    return _made(
        known, "" if content is None else content, calls if isinstance(calls, list) else ()
    )


def _of_parts(role: str, parts: Sequence[Any]) -> BaseMessage:
    """A message as OpenTelemetry's conventions write it."""
    texts: list[str] = []
    calls: list[Any] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            texts.append(str(part.get("content", "")))
        elif kind == "tool_call":
            calls.append({"name": part.get("name"), "args": part.get("arguments")})
        elif kind == "tool_call_response":
            told = part.get("response", part.get("result"))
            texts.append(told if isinstance(told, str) else json.dumps(told, default=str))
        elif kind != "reasoning":
            raise InputError(f"has a part of type {kind!r:.60}; only runs of text are learned from")
    return _made(role, "\n".join(texts), calls)


def _made(role: str, content: Any, calls: Sequence[Any]) -> BaseMessage:
    if not isinstance(content, str | list):
        raise InputError(f"has a message whose content is no text, got {content!r:.100}")
    try:
        if role == "assistant":
            return AIMessage(content, tool_calls=[_call(call) for call in calls])
        if role == "tool":
            return ToolMessage(content, tool_call_id="")
        return HumanMessage(content) if role == "user" else SystemMessage(content)
    except ValueError as error:
        raise InputError(f"has a message that cannot be read: {str(error)[:200]}") from None


def _call(call: Any) -> dict[str, Any]:
    told = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(told, Mapping):
        raise InputError(f"has a tool call that is none, got {call!r:.100}")
    arguments = told.get("args", told.get("arguments"))
    if isinstance(arguments, str):
        try:
            arguments = parse_json(arguments)
        except ValueError:
            arguments = {"input": arguments}
    if not isinstance(arguments, dict):
        arguments = {} if arguments is None else {"input": arguments}
    return {"name": str(told.get("name") or "?")[:200], "args": arguments, "id": ""}
