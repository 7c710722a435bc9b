"""Chat models on transformers: a folder of safetensors, read in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

from langchain_core.messages import BaseMessage
from pydantic import Field

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.adapters import checked_adapter
from vitarmm_agent.models.chat import EventChatModel
from vitarmm_agent.models.content import (
    ImagePart,
    parts_of,
    refuse_images,
    role_of,
    text_of,
    without_empty_end,
)
from vitarmm_agent.models.control import without_control_tokens
from vitarmm_agent.models.decoding import Completion, Decoding, ReplyEvent
from vitarmm_agent.models.engine import Engine, Prompt
from vitarmm_agent.models.fetching import fetch_images
from vitarmm_agent.models.shared_engine import default_device, open_folder, shared_engine
from vitarmm_agent.weights import resolve

DTYPE = "bfloat16"


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


class TransformersChatModel(EventChatModel):
    """Base of chat models over an :class:`Engine`.

    A subclass says how messages become a :class:`Prompt` (:meth:`prepare`) and may rewrite replies
    (:meth:`reply_filter`), but for one that goes on with a last message of the assistant's. Calls are answered one at a time.

    Attributes:
        engine: the loaded model.
        allow_urls: fetch images that messages name by a web address; refused otherwise.
    """

    continues_reply: ClassVar[bool] = True
    engine: Engine = Field(exclude=True, repr=False)
    allow_urls: bool = False

    def prepare(self, messages: Sequence[BaseMessage]) -> Prompt:
        """Turn messages into model input; called on any thread.

        Raises:
            InputError: content that this model cannot take.
        """
        raise TypeError(f"{type(self).__name__} does not say how messages become a prompt")

    def reply_filter(self) -> ReplyFilter | None:
        """A fresh filter for one reply, if replies are rewritten."""
        return None

    def events(self, messages: Sequence[BaseMessage], decoding: Decoding) -> Iterator[ReplyEvent]:
        """See :meth:`EventChatModel.events`."""
        messages = without_empty_end(messages)
        filter_, prompt = self._filter(messages), self._prepare_allowed(messages)
        reuse = self.prefix_reuse
        for event in self.engine.generate(prompt, decoding, adapter=self.adapter, reuse=reuse):
            yield from _filtered(event, filter_)

    async def aevents(
        self, messages: Sequence[BaseMessage], decoding: Decoding
    ) -> AsyncIterator[ReplyEvent]:
        """See :meth:`EventChatModel.aevents`."""
        messages = without_empty_end(messages)
        filter_, prompt = (
            self._filter(messages),
            await asyncio.to_thread(self._prepare_allowed, messages),
        )
        reuse = self.prefix_reuse
        replies = self.engine.agenerate(prompt, decoding, adapter=self.adapter, reuse=reuse)
        async for event in replies:
            for piece in _filtered(event, filter_):
                yield piece

    def _filter(self, messages: Sequence[BaseMessage]) -> ReplyFilter | None:
        begun = bool(messages) and role_of(messages[-1]) == "assistant"
        return None if begun else self.reply_filter()

    def _prepare_allowed(self, messages: Sequence[BaseMessage]) -> Prompt:
        return self.prepare(fetch_images(messages) if self.allow_urls else messages)


class FolderChatModel(TransformersChatModel):
    """A language model, or a vision-language model that transformers knows.

    Made by :meth:`load`. Control tokens typed into a message are broken up, so they control
    nothing. A prompt that does not fit the context is refused. A last message of the assistant's is
    continued.
    """

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        home: Path,
        adapter: str | Path | None = None,
        dtype: str = DTYPE,
        device: str | None = None,
        **options: Any,
    ) -> FolderChatModel:
        """Open a folder; what is open already is shared.

        Args:
            weights: name or path of a folder of safetensors.
            home: cache of weights.
            adapter: folder of a peft adapter for them.
            dtype: ``bfloat16``, ``float16`` or ``float32``.
            device: ``cpu``, ``cuda`` …; the best there is when None.
            options: fields of the chat model, such as ``temperature``.

        Raises:
            WeightsError: the weights or the adapter are missing or cannot be opened.
        """
        path = resolve(weights, home).resolve()
        device = device or default_device()
        build = partial(open_folder, path, name=str(weights), dtype=dtype, device=device)
        engine = shared_engine(("local", path, dtype, device), build)
        checked = None if adapter is None else checked_adapter(Path(adapter))
        name = str(weights) if checked is None else f"{weights}+{adapter}"
        return cls(engine=engine, model=name, adapter=checked, **options)

    @property
    def sees_images(self) -> bool:
        """Whether image blocks can be given."""
        return self.engine.processor is not None

    def prepare(self, messages: Sequence[BaseMessage]) -> Prompt:
        """Render the chat template and tokenize.

        Raises:
            InputError: images for a model that reads text only, no chat template, or content of
                another kind.
        """
        if self.sees_images:
            return self._prepare_visual(messages)
        refuse_images(messages, self.model)
        turns = [
            {"role": role_of(message), "content": self._harmless(text_of(message))}
            for message in messages
        ]
        ids = self._tokenize(self._render(turns))
        return text_prompt(ids)

    def _prepare_visual(self, messages: Sequence[BaseMessage]) -> Prompt:
        turns, images = [], []
        for message in messages:
            content: list[dict[str, Any]] = []
            for part in parts_of(message):
                if isinstance(part, ImagePart):
                    images.append(part)
                    content.append({"type": "image"})
                else:
                    content.append({"type": "text", "text": self._harmless(part)})
            turns.append({"role": role_of(message), "content": content})
        pictures = {"images": [image.rgb() for image in images]} if images else {}
        text = self._render(turns)
        with self.engine.tokenizer_lock:
            inputs = self.engine.processor(
                text=[text], return_tensors="pt", add_special_tokens=False, **pictures
            )
        inputs = {k: _as_model(v, self.engine.model.dtype) for k, v in inputs.items()}
        return Prompt(
            keys=tuple(inputs["input_ids"][0].tolist()),
            inputs=inputs,
            whole=True,
            metadata={"images": len(images)} if images else {},
        )

    def _render(self, turns: list[dict[str, Any]]) -> str:
        renderer = self.engine.processor or self.engine.tokenizer
        if not renderer.chat_template:
            raise InputError(
                f"{self.model!r} has no chat template, so it takes no messages; "
                "use an instruction-tuned model"
            )
        begun = bool(turns) and turns[-1]["role"] == "assistant"
        text: str = renderer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=not begun, continue_final_message=begun
        )
        return text

    def _tokenize(self, text: str) -> list[int]:
        with self.engine.tokenizer_lock:
            ids: list[int] = self.engine.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _harmless(self, text: str) -> str:
        tokens = control_tokens(self.engine.tokenizer)
        image_token = getattr(self.engine.processor, "image_token", None)
        return without_control_tokens(text, [*tokens, image_token] if image_token else tokens)


def text_prompt(ids: Sequence[int]) -> Prompt:
    """A prompt of token ids alone."""
    import torch

    tensor = torch.tensor([list(ids)])
    inputs = {"input_ids": tensor, "attention_mask": torch.ones_like(tensor)}
    return Prompt(keys=tuple(ids), inputs=inputs)


def control_tokens(tokenizer: Any) -> list[str]:
    """Tokens of a tokenizer that control something, such as the end of a turn."""
    added = tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special}
    return sorted(found | set(tokenizer.all_special_tokens))


def _as_model(value: Any, dtype: Any) -> Any:
    """Pixels in the model's dtype; ids and grids as they are."""
    import torch

    return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value


def _filtered(event: ReplyEvent, reply: ReplyFilter | None) -> Iterator[ReplyEvent]:
    """An event as the filter of its reply leaves it."""
    if reply is None:
        yield event
    elif isinstance(event, Completion):
        if rest := reply.finish():
            yield rest
        yield replace(event, metadata={**event.metadata, **reply.metadata()})
    elif text := reply.push(event):
        yield text
