"""What every local chat model shares: LangChain's interface over a stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.decoding import Completion, Decoding, ReplyEvent
from vitarmm_agent.models.streaming import StreamedChatModel
from vitarmm_agent.models.structured import (
    Schema,
    check_options,
    json_schema_of,
    structured,
)

DECODING_OPTIONS = ("max_tokens", "temperature", "top_p", "seed")


class EventChatModel(StreamedChatModel):
    """Base of the chat models that run on this machine.

    A subclass gives the events of a reply (:meth:`events`, :meth:`aevents`): pieces of text, then one
    :class:`Completion`. Decoding is exactly what the fields say; a checkpoint's own sampling values
    and penalties are never used. Instances over the same weights share them.

    Attributes:
        model: name of the weights, for people and traces.
        adapter: path of a LoRA adapter to use, or None.
        prefix_reuse: reuse the key-value cache of prompt beginnings.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str
    adapter: str | None = None
    max_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    prefix_reuse: bool = True

    def events(self, messages: Sequence[BaseMessage], decoding: Decoding) -> Iterator[ReplyEvent]:
        """Pieces of the reply to ``messages`` as they come, then how it ended.

        Raises:
            InputError: content that this model cannot take, or a prompt that is too long.
        """
        raise TypeError(f"{type(self).__name__} does not say how it replies")

    def aevents(
        self, messages: Sequence[BaseMessage], decoding: Decoding
    ) -> AsyncIterator[ReplyEvent]:
        """:meth:`events` on an event loop, which is never blocked."""
        raise TypeError(f"{type(self).__name__} does not say how it replies")

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
            schema=None if schema is None else _as_json(schema),
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
        for event in self.events(messages, decoding):
            chunk = self._chunk(event, decoding)
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
        async for event in self.aevents(messages, decoding):
            chunk = self._chunk(event, decoding)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _chunk(self, event: ReplyEvent, decoding: Decoding) -> ChatGenerationChunk:
        if isinstance(event, Completion):
            return ChatGenerationChunk(message=self._last(event, decoding))
        return ChatGenerationChunk(message=AIMessageChunk(content=event))

    def _last(self, end: Completion, decoding: Decoding) -> AIMessageChunk:
        usage = UsageMetadata(
            input_tokens=end.prompt_tokens,
            output_tokens=end.output_tokens,
            total_tokens=end.prompt_tokens + end.output_tokens,
            input_token_details=InputTokenDetails(cache_read=end.reused),
        )
        metadata = {
            "model_name": self.model,
            "finish_reason": end.finish_reason,
            "decoding": decoding.describe(),
            "prefix": {
                "given": end.prompt_tokens,
                "reused": end.reused,
                "computed": end.prompt_tokens - end.reused,
            },
            **end.metadata,
        }
        return AIMessageChunk(
            content="", usage_metadata=usage, response_metadata=metadata, chunk_position="last"
        )


def _as_json(schema: dict[str, Any]) -> str:
    try:
        return json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the schema is no JSON: {error}") from None
