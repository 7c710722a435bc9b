"""Hearing the tokens of a chat model while it is being invoked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.tracers._streaming import _StreamingCallbackHandler


class _Tokens(BaseCallbackHandler):
    """Hears tokens of a model that streams anyway."""

    run_inline = True

    def __init__(self, hear: Callable[[BaseMessage], None]) -> None:
        self._hear = hear

    def on_llm_new_token(
        self,
        token: str | list[Any],
        *,
        chunk: Any = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Pass on a chunk's message."""
        message = getattr(chunk, "message", None)
        self._hear(AIMessageChunk(content=str(token)) if message is None else message)


class _StreamedTokens(_Tokens, _StreamingCallbackHandler[Any]):
    """Makes ``invoke`` stream, in the way that LangGraph's ``messages`` mode does."""

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass through."""
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        """Pass through."""
        return output


def token_handler(hear: Callable[[BaseMessage], None], *, force: bool) -> BaseCallbackHandler:
    """A callback handler that calls ``hear`` with each token's message chunk.

    Args:
        hear: takes the chunk.
        force: ask a model that can stream to do so; otherwise tokens are heard only when something
            else (LangGraph's ``messages`` mode, the model's own setting) makes it stream.
    """
    return _StreamedTokens(hear) if force else _Tokens(hear)


class StreamedChatModel(BaseChatModel):
    """A chat model of which a subclass gives ``_stream`` and ``_astream``."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, None, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chunks = [chunk async for chunk in self._astream(messages, stop, None, **kwargs)]
        return generate_from_stream(iter(chunks))
