"""Text-only models on problems with images: the text in the image is read first.

Off unless :attr:`Settings.images` is ``ocr``. What was read stands in the prompt in place of the
image, and ``response_metadata["ocr"]`` says that it happened.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda

from vitarmm_agent.errors import MissingExtraError
from vitarmm_agent.models.content import ImagePart, has_images, parts_of

ENGINE = "rapidocr-onnxruntime"
REMEMBERED = 64
"""Images whose text is kept, so that each attempt on a problem reads it once."""
GAP = 2
_lock = threading.Lock()
_read_before: dict[str, tuple[Word, ...]] = {}


@dataclass(frozen=True)
class Word:
    """A stretch of text in an image, and its upright box in pixels."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class OcrChatModel(BaseChatModel):
    """A chat model whose image blocks are read to text before the model gets them.

    Made by :meth:`over`. Everything but the images goes to ``inner`` as it is.
    """

    inner: BaseChatModel
    model: str

    @classmethod
    def over(cls, inner: BaseChatModel) -> OcrChatModel:
        """Wrap a model.

        Raises:
            MissingExtraError: the OCR packages are not installed.
        """
        reader()
        name = getattr(inner, "model", None) or getattr(inner, "model_name", None)
        return cls(inner=inner, model=str(name or type(inner).__name__))

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools to the inner model."""
        bound = self.inner.bind_tools(tools, tool_choice=tool_choice, **kwargs)
        return RunnableLambda(self._read_input) | bound

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Structured output of the inner model, on what was read."""
        bound = self.inner.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return RunnableLambda(self._read_input) | bound

    @property
    def _llm_type(self) -> str:
        return f"ocr-{self.inner._llm_type}"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"images": "ocr", **self.inner._identifying_params}

    def _read_input(self, given: LanguageModelInput) -> list[BaseMessage]:
        return read_images(self._convert_input(given).to_messages())[0]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        messages, found = read_images(messages)
        result = self.inner._generate(messages, stop, run_manager, **kwargs)
        return _marked_result(result, found)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        messages, found = await asyncio.to_thread(read_images, messages)
        result = await self.inner._agenerate(messages, stop, run_manager, **kwargs)
        return _marked_result(result, found)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        messages, found = read_images(messages)
        for chunk in self.inner._stream(messages, stop, run_manager, **kwargs):
            _mark(chunk.message, found)
            found = []
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        messages, found = await asyncio.to_thread(read_images, messages)
        async for chunk in self.inner._astream(messages, stop, run_manager, **kwargs):
            _mark(chunk.message, found)
            found = []
            yield chunk

    def _should_stream(self, **kwargs: Any) -> bool:
        """Whether to stream is for the inner model to say."""
        return self.inner._should_stream(**kwargs)


@lru_cache(maxsize=1)
def reader() -> Callable[[Any], tuple[list[Any] | None, Any]]:
    """The OCR engine, made once.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("reading text in images (images = 'ocr')", "ocr") from error
    made: Callable[[Any], tuple[list[Any] | None, Any]] = RapidOCR()
    return made


def read_images(messages: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[dict[str, Any]]]:
    """Put what is written in images in their place; also returns what was read, per image.

    Raises:
        InputError: an image that cannot be used.
    """
    found: list[dict[str, Any]] = []
    read: list[BaseMessage] = []
    for message in messages:
        if not has_images([message]):
            read.append(message)
            continue
        texts = []
        for part in parts_of(message):
            if isinstance(part, ImagePart):
                texts.append(_as_text(part, len(found) + 1, found))
            else:
                texts.append(part)
        read.append(message.model_copy(update={"content": "\n\n".join(texts)}))
    return read, found


def layout(words: Sequence[Word]) -> str:
    """Words as lines, from top to bottom and left to right, set apart as they are in the image."""
    if not words:
        return ""
    widths = [(word.right - word.left) / max(len(word.text), 1) for word in words]
    width = max(statistics.median(widths), 1.0)
    margin = min(word.left for word in words)
    return "\n".join(_line(line, margin, width) for line in _lines(words))


def _as_text(image: ImagePart, number: int, found: list[dict[str, Any]]) -> str:
    words = _words(image)
    found.append({"sha256": image.sha256, "engine": ENGINE, "words": len(words)})
    head = f"Image {number} ({image.width}×{image.height})"
    if not words:
        return f"[{head}: no text could be read in it, and the picture itself cannot be seen.]"
    return f"[{head}, only its text, read by OCR and laid out as in the image:\n{layout(words)}\n]"


def _words(image: ImagePart) -> tuple[Word, ...]:
    with _lock:
        if image.sha256 not in _read_before:
            if len(_read_before) >= REMEMBERED:
                _read_before.pop(next(iter(_read_before)))
            _read_before[image.sha256] = _recognise(image)
        return _read_before[image.sha256]


def _recognise(image: ImagePart) -> tuple[Word, ...]:
    import numpy as np

    pixels = np.asarray(image.rgb())[:, :, ::-1]  # the engine wants BGR
    lines, _ = reader()(np.ascontiguousarray(pixels))
    words = []
    for box, text, _score in lines or []:
        xs, ys = [point[0] for point in box], [point[1] for point in box]
        words.append(Word(str(text), min(xs), min(ys), max(xs), max(ys)))
    return tuple(words)


def _lines(words: Sequence[Word]) -> list[list[Word]]:
    """Words grouped into lines: those whose middle lies within the line's height so far."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda w: (w.top + w.bottom) / 2):
        middle = (word.top + word.bottom) / 2
        last = lines[-1][-1] if lines else None
        if last is not None and last.top <= middle <= last.bottom:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [sorted(line, key=lambda w: w.left) for line in lines]


def _line(line: Sequence[Word], margin: float, width: float) -> str:
    text = ""
    for word in line:
        column = round((word.left - margin) / width)
        gap = max(column - len(text), GAP if text else 0)
        text += " " * gap + word.text
    return text


def _marked_result(result: ChatResult, found: list[dict[str, Any]]) -> ChatResult:
    for generation in result.generations:
        _mark(generation.message, found)
    return result


def _mark(message: BaseMessage, found: list[dict[str, Any]]) -> None:
    if found:
        message.response_metadata["ocr"] = found
