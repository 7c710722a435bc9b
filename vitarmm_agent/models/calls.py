"""The one seam through which nodes, verifiers and the memory writer call a chat model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from vitarmm_agent.effects import Call, Flow, calls
from vitarmm_agent.models.replies import FILTERED, filtered, said_and_thought, silent_because
from vitarmm_agent.problem import Usage
from vitarmm_agent.servers.failures import server_errors

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import Runnable, RunnableConfig

T = TypeVar("T")
_WITHHELD = {
    "LengthFinishReasonError": "the reply was cut off at max_tokens",
    "ContentFilterFinishReasonError": FILTERED,
}
"""Errors of OpenAI's client, which gives no reply that ended so."""
_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


@dataclass(frozen=True)
class Reply:
    """A model's reply with what it cost.

    Attributes:
        message: as it came.
        said: its text without what was thought aloud.
        thought: that.
        silent: why it holds no answer at all, or nothing.
    """

    message: AIMessage
    said: str
    thought: str
    silent: str
    usage: Usage
    seconds: float


@dataclass(frozen=True)
class StructuredReply:
    """A structured reply: ``parsed``, or ``error`` that says why there is none; else as :class:`Reply`."""

    parsed: Any
    error: str | None
    said: str
    usage: Usage
    seconds: float
    thought: str = ""
    message: AIMessage | None = None


def ask(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    callbacks: Sequence[BaseCallbackHandler] = (),
    *,
    aside: bool = False,
) -> Flow[Reply]:
    """Send messages, get a message.

    Args:
        model: the chat model.
        messages: the prompt.
        callbacks: LangChain handlers for this call, added to those that are in force.
        aside: the reply is no part of a conversation: LangGraph's stream mode ``messages`` leaves it out.

    Raises:
        ModelServerError: a model server refused, timed out or died.
    """
    start = time.perf_counter()
    config = _config_with(callbacks, aside=aside)
    message = yield from _guarded(calls(model.invoke, model.ainvoke, list(messages), config))
    said, thought = said_and_thought(message)
    silent = silent_because(message, said, thought)
    return Reply(message, said, thought, silent, usage_of(message), time.perf_counter() - start)


def ask_structured(
    model: BaseChatModel, schema: type | dict[str, Any], messages: Sequence[BaseMessage]
) -> Flow[StructuredReply]:
    """Send messages, get data of the form of ``schema``, aside; unusable output is data too.

    Raises:
        ModelServerError: a model server refused, timed out or died.
    """
    start = time.perf_counter()
    structured = _structured(model, schema)
    try:
        got = yield from _guarded(
            calls(structured.invoke, structured.ainvoke, list(messages), _config_with(aside=True))
        )
    except Exception as raised:
        if (why := _WITHHELD.get(type(raised).__name__)) is None:
            raise
        return StructuredReply(None, why, "", _usage_withheld(raised), time.perf_counter() - start)
    raw, parsed, problem = got["raw"], got["parsed"], got["parsing_error"]
    if filtered(raw):
        parsed, problem = None, FILTERED
    said, thought = said_and_thought(raw)
    in_text = said and not getattr(raw, "tool_calls", None)
    if in_text and (parsed is None or said != raw.text):  # LangChain may have read the thinking
        from vitarmm_agent.models.structured import read_with_raw

        read = read_with_raw(schema, raw)
        parsed, problem = read["parsed"], read["parsing_error"]
    error = None if parsed is not None else str(problem or "the model gave no structured output")
    return StructuredReply(
        parsed=parsed,
        error=error,
        said=said,
        usage=usage_of(raw),
        seconds=time.perf_counter() - start,
        thought=thought,
        message=raw,
    )


@contextmanager
def on_reply(tell: Callable[[], None]) -> Iterator[None]:
    """Have ``tell`` called at each model's reply, here and in tasks that are begun within."""
    before = _listener.set(tell)
    try:
        yield
    finally:
        _listener.reset(before)


def _structured(model: Any, schema: type | dict[str, Any], **options: Any) -> Runnable[Any, Any]:
    """``with_structured_output`` below what is wrapped round the model: retries, fallbacks, options."""
    from langchain_core.runnables.base import RunnableBindingBase
    from langchain_core.runnables.fallbacks import RunnableWithFallbacks

    if isinstance(model, RunnableBindingBase):
        inner = _structured(model.bound, schema, **{**model.kwargs, **options})
        return model.model_copy(update={"bound": inner, "kwargs": {}})
    if isinstance(model, RunnableWithFallbacks):
        others = [_structured(other, schema, **options) for other in model.fallbacks]
        first = _structured(model.runnable, schema, **options)
        return model.model_copy(update={"runnable": first, "fallbacks": others})
    try:
        structured: Runnable[Any, Any] = model.with_structured_output(schema, include_raw=True)
    except NotImplementedError:
        from vitarmm_agent.models.structured import asked_in_words

        structured = asked_in_words(model, schema)
    return _given(structured, options) if options else structured


def _given(structured: Runnable[Any, Any], options: dict[str, Any]) -> Runnable[Any, Any]:
    """``structured`` with options for its model, the last but one of its steps; the last reads.

    A sequence hands options to its first step only, and LangChain's map of the raw reply to none.
    """
    from langchain_core.runnables.base import RunnableParallel, RunnableSequence

    if not isinstance(structured, RunnableSequence):
        return structured.bind(**options)
    *before, asked, reader = structured.steps
    if isinstance(asked, RunnableParallel):
        asked = RunnableParallel({k: one.bind(**options) for k, one in asked.steps__.items()})
    else:
        asked = asked.bind(**options)
    return RunnableSequence(*before, asked, reader)


def unwrapped(model: Any) -> Any:
    """The chat model inside ``with_retry``, ``with_fallbacks`` or ``bind``; the first of several."""
    while inner := getattr(model, "bound", None) or getattr(model, "runnable", None):
        model = inner
    return model


def _config_with(
    callbacks: Sequence[BaseCallbackHandler] = (), *, aside: bool
) -> RunnableConfig | None:
    """The config in force with handlers and a tag; LangChain alone would put them in place of others."""
    hidden = aside and not _asides_are_streamed()
    if not callbacks and not hidden:
        return None
    from langchain_core.runnables.config import ensure_config, merge_configs
    from langgraph.constants import TAG_NOSTREAM

    added: RunnableConfig = {"callbacks": list(callbacks)} if callbacks else {}
    return merge_configs(ensure_config(), added, {"tags": [TAG_NOSTREAM] if hidden else []})


def _asides_are_streamed() -> bool:
    """Whether the run in which this is asked says so in its context."""
    from langgraph.runtime import get_runtime

    try:
        context: Any = get_runtime().context
    except RuntimeError:  # not in a graph
        return False
    given = context if isinstance(context, dict) else getattr(context, "__dict__", {})
    return given.get("stream_asides") is True


def usage_of(message: BaseMessage) -> Usage:
    """Tokens that a message reports, as one call."""
    reported = getattr(message, "usage_metadata", None) or {}
    return Usage(
        input_tokens=reported.get("input_tokens", 0),
        output_tokens=reported.get("output_tokens", 0),
        calls=1,
    )


def _usage_withheld(error: Exception) -> Usage:
    """What a reply cost that OpenAI's client withholds, as far as it says."""
    told = getattr(getattr(error, "completion", None), "usage", None)
    return Usage(
        input_tokens=getattr(told, "prompt_tokens", 0),
        output_tokens=getattr(told, "completion_tokens", 0),
        calls=1,
    )


def _guarded(request: Call[T]) -> Flow[T]:
    with server_errors():
        reply = yield from request
    if tell := _listener.get():
        tell()
    return reply
