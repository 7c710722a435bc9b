"""What every in-process chat model shares: LangChain's interface over an :class:`Engine`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.batch import Completion, Prompt
from vitarmm_agent.models.decoding import Decoding
from vitarmm_agent.models.engine import Engine
from vitarmm_agent.models.fetching import fetch_images
from vitarmm_agent.models.streamed import StreamedChatModel
from vitarmm_agent.models.structured import (
    Schema,
    check_options,
    json_schema_of,
    structured,
)

DECODING_OPTIONS = ("max_tokens", "temperature", "top_p", "seed")


class ReplyFilter(Protocol):
    """Rewrites a reply as it streams, such as taking out a model's state markers."""

    def push(self, text: str) -> str:
        """Take a piece of the reply; return what is certain of the rewritten one."""
        ...

    def finish(self) -> str:
        """Return what was held back."""
        ...

    def metadata(self) -> Mapping[str, Any]:
        """What was found, for ``response_metadata``."""
        ...


class PlainReply:
    """Leaves a reply as it is."""

    def push(self, text: str) -> str:
        """Return the piece."""
        return text

    def finish(self) -> str:
        """Return nothing more."""
        return ""

    def metadata(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}


class EngineChatModel(StreamedChatModel):
    """Base of chat models that run in this process.

    A subclass says how messages become a :class:`Prompt` (:meth:`prepare`) and may rewrite replies
    (:meth:`reply_filter`). Decoding is exactly what the fields say; a checkpoint's own sampling
    values and penalties are never used. Instances over the same weights share one engine, and
    calls from any threads and event loops are decoded together.

    Attributes:
        engine: the loaded model.
        model: its name, for people and traces.
        adapter: folder of a peft adapter to use, or None.
        prefix_reuse: reuse the key-value cache of prompt beginnings.
        allow_urls: fetch images that messages name by a web address; refused otherwise.
    """

    model_config = ConfigDict(extra="forbid")

    engine: Engine = Field(exclude=True, repr=False)
    model: str
    adapter: str | None = None
    max_tokens: int = Field(512, ge=1)
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    prefix_reuse: bool = True
    allow_urls: bool = False

    def prepare(self, messages: Sequence[BaseMessage]) -> Prompt:
        """Turn messages into model input; called on any thread.

        Raises:
            InputError: content that this model cannot take.
        """
        raise TypeError(f"{type(self).__name__} does not say how messages become a prompt")

    def reply_filter(self, prompt: Prompt, decoding: Decoding) -> ReplyFilter:
        """A fresh filter for one reply."""
        return PlainReply()

    def decoding(self, stop: Sequence[str] | None = None, **options: Any) -> Decoding:
        """The settings of one call: the fields, with ``options`` over them.

        Raises:
            InputError: an unknown option, or a value out of range.
        """
        schema = options.pop("json_schema", None)
        unknown = sorted(set(options) - set(DECODING_OPTIONS))
        if unknown:
            raise InputError(
                f"{self.model!r} does not know the option {', '.join(unknown)}; "
                f"it knows {', '.join(DECODING_OPTIONS)} and stop"
            )
        values = {name: options.get(name, getattr(self, name)) for name in DECODING_OPTIONS}
        return Decoding(
            **values,
            stop=(*self.stop, *(stop or ())),
            schema=None if schema is None else json.dumps(schema),
        )

    def with_structured_output(
        self,
        schema: Schema,
        *,
        include_raw: bool = False,
        method: str | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, Any]:
        """Constrain replies to a schema and parse them.

        Args:
            schema: a pydantic class, a TypedDict, or a JSON schema.
            include_raw: return ``{"raw", "parsed", "parsing_error"}`` instead of raising.
            method: any of LangChain's names; all are constrained decoding here.
            strict: accepted for compatibility; decoding is always strict.
            kwargs: none is known.

        Raises:
            InputError: a schema or option that is not understood.
        """
        check_options(method, kwargs)
        as_json = json_schema_of(schema)
        described = {"kwargs": {"method": "json_schema"}, "schema": as_json}
        bound = self.bind(json_schema=as_json, ls_structured_output_format=described)
        return structured(bound, schema, include_raw=include_raw)

    def _prepare_allowed(self, messages: Sequence[BaseMessage]) -> Prompt:
        return self.prepare(fetch_images(messages) if self.allow_urls else messages)

    @property
    def _llm_type(self) -> str:
        return "vitarmm-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "adapter": self.adapter, **self.decoding().describe()}

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        decoding = self.decoding(stop, **kwargs)
        reply = _Reply(self, self._prepare_allowed(messages), decoding)
        events = self.engine.generate(
            reply.prompt, decoding, adapter=self.adapter, reuse=self.prefix_reuse
        )
        for event in events:
            for chunk in reply.chunks(event):
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
        decoding = self.decoding(stop, **kwargs)
        prompt = await asyncio.to_thread(self._prepare_allowed, messages)
        reply = _Reply(self, prompt, decoding)
        events = self.engine.agenerate(
            reply.prompt, decoding, adapter=self.adapter, reuse=self.prefix_reuse
        )
        async for event in events:
            for chunk in reply.chunks(event):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk


class _Reply:
    """Turns the events of one reply into LangChain's chunks."""

    def __init__(self, model: EngineChatModel, prompt: Prompt, decoding: Decoding) -> None:
        self.model = model
        self.prompt = prompt
        self.decoding = decoding
        self.filter = model.reply_filter(prompt, decoding)

    def chunks(self, event: str | Completion) -> Iterator[ChatGenerationChunk]:
        if isinstance(event, str):
            if text := self.filter.push(event):
                yield ChatGenerationChunk(message=AIMessageChunk(content=text))
            return
        yield self._last(self.filter.finish(), event)

    def _last(self, text: str, end: Completion) -> ChatGenerationChunk:
        usage = UsageMetadata(
            input_tokens=end.prompt_tokens,
            output_tokens=end.output_tokens,
            total_tokens=end.prompt_tokens + end.output_tokens,
            input_token_details=InputTokenDetails(cache_read=end.reused),
        )
        metadata = {
            "model_name": self.model.model,
            "finish_reason": end.finish_reason,
            "decoding": self.decoding.describe(),
            "prefix": {
                "given": end.prompt_tokens,
                "reused": end.reused,
                "computed": end.prompt_tokens - end.reused,
            },
            **self.prompt.metadata,
            **self.filter.metadata(),
        }
        message = AIMessageChunk(
            content=text,
            usage_metadata=usage,
            response_metadata=metadata,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=message)
