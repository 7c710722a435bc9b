"""A chat model that replies from a script: for tests, and for trying the loop without weights."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError, ModelServerError, RefusalError, UserError
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.models.streaming import StreamedChatModel
from vitarmm_agent.models.structured import Schema, check_options, json_schema_of, structured
from vitarmm_agent.user_path import user_path

_WORD = r"\s*\S+|\s+$"


class ScriptExhaustedError(UserError):
    """A scripted model was asked more often than its script has replies."""


class ScriptedReply(BaseModel):
    """One reply of a script.

    Attributes:
        content: the text.
        reasoning: what it thinks before, in a content block of its own.
        refusal: what it refuses with, in the field beside the content.
        structured: data; the text is its JSON.
        tool_calls: LangChain tool calls (``name``, ``args``, ``id``).
        error: ``refuse`` raises :class:`RefusalError`, ``die`` :class:`ModelServerError`.
        delay: seconds before the reply.
        match: the reply is only for prompts that contain this; replies without it go in order.
        finish_reason: as a server would report it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str = ""
    reasoning: str = ""
    refusal: str | None = None
    structured: dict[str, Any] | list[Any] | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    error: Literal["refuse", "die"] | None = None
    delay: float = Field(default=0.0, ge=0)
    match: str | None = None
    finish_reason: str = "stop"

    @property
    def text(self) -> str:
        """What the model says."""
        return self.content if self.structured is None else json.dumps(self.structured)


class ScriptedCall(BaseModel):
    """What a scripted model was asked."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    messages: tuple[BaseMessage, ...]
    options: dict[str, Any]


class ScriptedChatModel(StreamedChatModel):
    """Replies in order from a script, and records its calls.

    A reply with ``match`` is used for the first prompt that contains the text, wherever it stands;
    the others are used one after another. Each is used once. Safe when several threads call it.

    Attributes:
        replies: the script.
        model: its name.
        continues_reply: its replies go on with a last message of the assistant's, as a local model's do.

    Raises:
        ScriptExhaustedError: on a call for which no reply is left.
    """

    replies: list[ScriptedReply]
    model: str = "scripted"
    continues_reply: bool = False
    _used: set[int] = PrivateAttr(default_factory=set)
    _calls: list[ScriptedCall] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def of(cls, *replies: str | dict[str, Any] | ScriptedReply) -> ScriptedChatModel:
        """A model with these replies; a string is a reply's content.

        Raises:
            InputError: a reply has unknown or wrong fields.
        """
        return cls(replies=[_reply(reply, number) for number, reply in enumerate(replies, 1)])

    @classmethod
    def read(cls, path: str | Path) -> ScriptedChatModel:
        """A model whose replies are the JSON list in a file.

        Raises:
            InputError: the file is missing, no JSON list, or a reply is wrong.
        """
        try:
            data = parse_json(user_path(path).read_text("utf-8"))
        except OSError as error:
            raise InputError(f"script {str(path)!r} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise InputError(f"script {str(path)!r} is not JSON: {error}") from None
        if not isinstance(data, list):
            raise InputError(f"script {str(path)!r} must be a JSON list of replies")
        return cls.of(*data).model_copy(update={"model": f"scripted:{Path(path).name}"})

    @property
    def calls(self) -> tuple[ScriptedCall, ...]:
        """What it was asked so far, in order."""
        return tuple(self._calls)

    @property
    def left(self) -> int:
        """Replies not used yet."""
        return len(self.replies) - len(self._used)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        """Record the tools with each call; the script decides what is called."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        shown = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=shown, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self,
        schema: Schema,
        *,
        include_raw: bool = False,
        method: str | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, Any]:
        """Parse replies by a schema, exactly as local models do; the script may break it."""
        check_options(method, kwargs)
        bound = self.bind(json_schema=json_schema_of(schema))
        return structured(bound, schema, include_raw=include_raw)

    @property
    def _llm_type(self) -> str:
        return "vitarmm-scripted"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._next(messages, {"stop": stop, **kwargs})
        time.sleep(reply.delay)
        for chunk in self._chunks(reply, messages):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        reply = self._next(messages, {"stop": stop, **kwargs})
        await asyncio.sleep(reply.delay)
        for chunk in self._chunks(reply, messages):
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _next(self, messages: list[BaseMessage], options: dict[str, Any]) -> ScriptedReply:
        """The reply for this prompt; it counts as used."""
        prompt = "\n".join(message.text for message in messages)
        with self._lock:
            self._calls.append(ScriptedCall(messages=tuple(messages), options=options))
            left = [i for i in range(len(self.replies)) if i not in self._used]
            fitting = [i for i in left if (m := self.replies[i].match) and m in prompt]
            plain = [i for i in left if self.replies[i].match is None]
            if not fitting and not plain:
                raise ScriptExhaustedError(
                    f"{self.model} has no reply left for call {len(self._calls)} "
                    f"({len(self.replies)} in its script); the prompt ends in: {prompt[-200:]!r}"
                )
            chosen = (fitting or plain)[0]
            self._used.add(chosen)
        return self.replies[chosen]

    def _chunks(
        self, reply: ScriptedReply, messages: list[BaseMessage]
    ) -> Iterator[ChatGenerationChunk]:
        """The reply word by word, then its usage."""
        if reply.error == "refuse":
            raise RefusalError(reply.text or "the scripted model declined to answer")
        if reply.error == "die":
            raise ModelServerError(
                f"the scripted model died{f': {reply.text}' if reply.text else ''}; "
                "the run can be resumed"
            )
        thoughts, words = (re.findall(_WORD, text) for text in (reply.reasoning, reply.text))
        for word in thoughts:
            block = {"type": "reasoning", "reasoning": word, "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk(content=[block]))
        for word in words:
            text: Any = [{"type": "text", "text": word, "index": 1}] if thoughts else word
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        asked = sum(len(message.text.split()) for message in messages)
        yield ChatGenerationChunk(message=self._last(reply, asked, len(thoughts) + len(words)))

    def _last(self, reply: ScriptedReply, asked: int, said: int) -> AIMessageChunk:
        return AIMessageChunk(
            content="",
            additional_kwargs={} if reply.refusal is None else {"refusal": reply.refusal},
            tool_call_chunks=[
                {
                    "name": call["name"],
                    "args": json.dumps(call.get("args", {})),
                    "id": call.get("id", f"call-{index}"),
                    "index": index,
                    "type": "tool_call_chunk",
                }
                for index, call in enumerate(reply.tool_calls)
            ],
            usage_metadata=UsageMetadata(
                input_tokens=asked, output_tokens=said, total_tokens=asked + said
            ),
            response_metadata={"model_name": self.model, "finish_reason": reply.finish_reason},
            chunk_position="last",
        )


def _reply(given: str | dict[str, Any] | ScriptedReply, number: int) -> ScriptedReply:
    if isinstance(given, ScriptedReply):
        return given
    try:
        return ScriptedReply.model_validate({"content": given} if isinstance(given, str) else given)
    except ValidationError as error:
        faults = error_lines(error)
        raise InputError(f"reply {number} of a script cannot be used: {faults}") from None
