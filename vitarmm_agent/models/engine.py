"""One transformers model, and the replies it generates one at a time.

Every chat model over the same weights holds the same engine. Calls from any number of threads and
event loops take turns. Who wants many replies at once serves the folder with vLLM.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import json
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer

from vitarmm_agent.errors import InputError, InternalError, WeightsError
from vitarmm_agent.models.adapters import check_fit
from vitarmm_agent.models.decoding import Completion, Decoding, ReplyEvent, check_room
from vitarmm_agent.models.sampling import KnownTokens, Sampling
from vitarmm_agent.models.text_stream import TextStream

GRAMMAR_BYTES = 256 * 1024 * 1024
"""Of compiled schemas that are kept; one takes 10 to 20 MiB with a vocabulary of 150,000."""

_LOAD_FAULTS = (
    ValueError, RuntimeError, LookupError, OSError, TypeError, AttributeError, AssertionError
)  # fmt: skip
"""What peft and transformers raise over a file that they did not write."""
_UNCERTAIN = "?"
"""In place of the adapter in use, after one failed to load."""

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@dataclass(frozen=True)
class Prompt:
    """Model input of one call.

    Attributes:
        keys: one per position: a token id, or for an image position whatever names its content
            (such as the image's hash, the tile and the place in it).
        inputs: what the model is given, ``input_ids`` of shape ``[1, positions]`` among it.
        whole: the model keeps more than keys and values of the past (such as M-RoPE's positions), so
            that the beginning of another prompt cannot be reused.
        metadata: added to the reply's ``response_metadata``.
    """

    keys: tuple[Hashable, ...]
    inputs: dict[str, Any]
    whole: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Request:
    """One reply to be made, and where its events go."""

    prompt: Prompt
    decoding: Decoding
    adapter: str | None
    reuse: bool
    deliver: Callable[[ReplyEvent | BaseException], None]
    cancelled: bool = False


class Engine:
    """Generation over one model.

    Args:
        model: a transformers model that generates.
        tokenizer: its tokenizer.
        name: shown in errors and metadata.
        stop_ids: ids that end a reply.
        context: positions the model can hold, or None when unlimited.
        processor: what prepares images for the model; carried for the chat models that share it.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        stop_ids: frozenset[int],
        context: int | None,
        processor: Any = None,
    ) -> None:
        self.model = model.eval()
        self.model.generation_config = GenerationConfig()  # a checkpoint's own is merged otherwise
        self.tokenizer = tokenizer
        self.name = name
        self.stop_ids = stop_ids
        self.context = context
        self.processor = processor
        self.tokenizer_lock = threading.Lock()
        self._turn = threading.Lock()
        self._requests: set[Request] = set()
        self._known = _Known()
        self._adapter: str | None = None
        self._adapters: dict[str, str] = {}
        self._numbers = itertools.count()
        self._compiler: Any = None
        atexit.unregister(_close_engines)
        atexit.register(_close_engines)  # once, and not before there is something to close
        _engines.add(self)

    def generate(
        self,
        prompt: Prompt,
        decoding: Decoding,
        *,
        adapter: str | None = None,
        reuse: bool = True,
    ) -> Iterator[ReplyEvent]:
        """Yield text as it is decoded, then one :class:`Completion`.

        Closing the iterator early cancels the reply.

        Args:
            prompt: what to answer.
            decoding: how.
            adapter: folder of a peft adapter, loaded when first used; None is the bare model.
            reuse: begin with the keys and values of the last prompt, as far as it began alike.

        Raises:
            InputError: prompt and ``max_tokens`` together exceed the context.
        """
        events: queue.SimpleQueue[ReplyEvent | BaseException] = queue.SimpleQueue()
        request = self._begin(Request(prompt, decoding, adapter, reuse, events.put))
        try:
            while True:
                yield (event := _checked(events.get()))
                if isinstance(event, Completion):
                    return
        finally:
            request.cancelled = True

    async def agenerate(
        self,
        prompt: Prompt,
        decoding: Decoding,
        *,
        adapter: str | None = None,
        reuse: bool = True,
    ) -> AsyncIterator[ReplyEvent]:
        """:meth:`generate` on an event loop, which is never blocked."""
        events: asyncio.Queue[ReplyEvent | BaseException] = asyncio.Queue()
        deliver = partial(_deliver_to_loop, asyncio.get_running_loop(), events)
        request = self._begin(Request(prompt, decoding, adapter, reuse, deliver))
        try:
            while True:
                yield (event := _checked(await events.get()))
                if isinstance(event, Completion):
                    return
        finally:
            request.cancelled = True

    def close(self, timeout: float = 10.0) -> None:
        """Cancel what runs or waits, and wait for its end."""
        for request in list(self._requests):
            request.cancelled = True
            request.deliver(InternalError(f"model {self.name!r} was closed"))
        if self._turn.acquire(timeout=timeout):
            self._turn.release()

    def _begin(self, request: Request) -> Request:
        wanted = request.decoding.max_tokens
        check_room(self.name, len(request.prompt.keys), wanted, self.context)
        self._requests.add(request)
        name = f"generate-{self.name}"
        threading.Thread(target=self._answer, args=(request,), name=name, daemon=True).start()
        return request

    def _answer(self, request: Request) -> None:
        """Make one reply when it is its turn. What goes wrong is this request's alone."""
        with self._turn:
            try:
                if not request.cancelled:
                    request.deliver(self._reply(request))
            except BaseException as error:
                self._known = _Known()
                request.deliver(error)
            finally:
                self._requests.discard(request)

    def _reply(self, request: Request) -> Completion:
        self._use_adapter(request.adapter)
        cache, reused = self._known.beginning(request, self.model.config)
        text = TextStream(self.tokenizer, request.decoding.stop)
        streamer = _Streamer(request, text, self.stop_ids)
        inputs = {
            name: value.to(self.model.device) if torch.is_tensor(value) else value
            for name, value in request.prompt.inputs.items()
        }
        self.model.generate(
            **inputs,
            past_key_values=cache,
            generation_config=self._plain_config(request.decoding),
            logits_processor=self._processors(request.decoding),
            stopping_criteria=[streamer.is_over],
            streamer=streamer,
        )
        self._known.keep(request, cache)
        if rest := text.finish():
            request.deliver(rest)
        return Completion(
            finish_reason="stop" if streamer.ended or text.stopped else "length",
            prompt_tokens=len(request.prompt.keys),
            reused=reused,
            output_tokens=len(text.ids),
            metadata=request.prompt.metadata,
        )

    def _plain_config(self, decoding: Decoding) -> GenerationConfig:
        """Greedy over scores that :meth:`_processors` prepared; nothing of the checkpoint's own."""
        return GenerationConfig(
            max_new_tokens=decoding.max_tokens,
            do_sample=False,
            eos_token_id=sorted(self.stop_ids) or None,
            pad_token_id=min(self.stop_ids, default=0),
        )

    def _processors(self, decoding: Decoding) -> LogitsProcessorList:
        processors: list[Any] = [KnownTokens(len(self.tokenizer))]
        if decoding.schema is not None:
            from xgrammar.contrib.hf import LogitsProcessor

            processors.append(LogitsProcessor(self._grammar(decoding.schema)))
        if decoding.temperature > 0:
            processors.append(Sampling(decoding))
        return LogitsProcessorList(processors)

    def _use_adapter(self, adapter: str | None) -> None:
        if adapter == self._adapter:
            return
        if adapter is None:
            self.model.disable_adapters()
        else:
            if adapter not in self._adapters:
                self._load_adapter(adapter)
            self.model.enable_adapters()
            self.model.set_adapter(self._adapters[adapter])
        self._adapter = adapter

    def _load_adapter(self, path: str) -> None:
        """Load an adapter beside the others; one that fails leaves nothing of itself behind."""
        check_fit(Path(path), self.model, self.name)
        name = f"adapter{next(self._numbers)}"
        try:
            loaded = self.model.load_adapter(path, adapter_name=name)
            missing = {key for key in loaded.missing_keys if f".{name}." in key}
            if strangers := sorted(loaded.unexpected_keys | missing):
                raise ValueError(f"its layers are not the model's, such as {strangers[0]}")
            self._adapters[path] = name
        except _LOAD_FAULTS as error:
            raise WeightsError(
                f"adapter {path!r} does not fit {self.name!r}: {error}; "
                "it must be a peft adapter trained on these weights"
            ) from error
        finally:
            if path not in self._adapters:
                self._take_out(name)
        self.model.eval()

    def _take_out(self, name: str) -> None:
        """Take out what a failed load has put into the model; what is active is then set anew."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for layer in self.model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.delete_adapter(name)
        configs = getattr(self.model, "peft_config", {})
        configs.pop(name, None)
        if not configs:  # as transformers leaves a model whose last adapter was deleted
            self.model._hf_peft_config_loaded = False
        self._adapter = _UNCERTAIN if self._adapters else None

    def _grammar(self, schema: str) -> Any:
        import xgrammar

        if self._compiler is None:
            rows = self.model.get_output_embeddings().weight.shape[0]
            info = xgrammar.TokenizerInfo.from_huggingface(
                self.tokenizer, vocab_size=rows, stop_token_ids=sorted(self.stop_ids)
            )
            self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=GRAMMAR_BYTES)
        try:
            return self._compiler.compile_json_schema(schema, any_whitespace=False)
        except (RuntimeError, ValueError) as error:
            title = json.loads(schema).get("title", "the schema")
            raise InputError(f"{title} cannot constrain decoding: {error}") from error


class _Known:
    """Keys and values of the last prompt, for the next one that begins alike."""

    def __init__(self) -> None:
        self._keys: tuple[Hashable, ...] = ()
        self._adapter: str | None = None
        self._cache: Any = None

    def beginning(self, request: Request, config: Any) -> tuple[Any, int]:
        """A cache that holds the beginning of a prompt, and how many positions of it."""
        from transformers import DynamicCache

        fresh = DynamicCache(config=config)
        if not self._may_keep(request):
            return fresh, 0
        cache, self._cache = self._cache, None  # what goes wrong with it must not come again
        keys = request.prompt.keys
        differ = (n for n, (a, b) in enumerate(zip(self._keys, keys, strict=False)) if a != b)
        alike = min(next(differ, len(self._keys)), len(keys) - 1)  # the last must be computed
        if cache is None or self._adapter != request.adapter or alike == 0:
            return fresh, 0
        cache.crop(alike - cache.get_seq_length())
        return cache, alike

    def keep(self, request: Request, cache: Any) -> None:
        """Remember a prompt that was computed."""
        from transformers.cache_utils import DynamicLayer

        plain = all(type(layer) is DynamicLayer for layer in cache.layers)
        if plain and self._may_keep(request):
            self._keys, self._adapter, self._cache = request.prompt.keys, request.adapter, cache

    def _may_keep(self, request: Request) -> bool:
        return request.reuse and not request.prompt.whole


class _Streamer(BaseStreamer):
    """Delivers the text of tokens as they come, and says when no more are wanted."""

    def __init__(self, request: Request, text: TextStream, stop_ids: frozenset[int]) -> None:
        self.request = request
        self.text = text
        self.stop_ids = stop_ids
        self.ended = False
        self._prompt_came = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt first, then one token at a time."""
        if not self._prompt_came:
            self._prompt_came = True
            return
        for token in value.flatten().tolist():
            if token in self.stop_ids:
                self.ended = True
            elif not self.text.stopped and (piece := self.text.push(token)):
                self.request.deliver(piece)

    def end(self) -> None:
        """Nothing is left to do: the text's rest is delivered by the engine."""

    def is_over(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Whether the reply was cancelled or met a stop sequence; one value per row."""
        over = self.request.cancelled or self.text.stopped
        return torch.full((input_ids.shape[0],), over, device=input_ids.device)


def _checked(event: ReplyEvent | BaseException) -> ReplyEvent:
    if isinstance(event, BaseException):
        raise event
    return event


def _deliver_to_loop(
    loop: asyncio.AbstractEventLoop,
    events: asyncio.Queue[ReplyEvent | BaseException],
    event: ReplyEvent | BaseException,
) -> None:
    if not loop.is_closed():  # else nobody listens any more
        loop.call_soon_threadsafe(events.put_nowait, event)


def _close_engines() -> None:
    """A thread inside a native library must not outlive the interpreter."""
    for engine in list(_engines):
        engine.close()
