"""One loaded model, its thread, and the requests that share it.

Every chat model over the same weights holds the same engine. Calls from any number of threads and
event loops become requests; one worker thread answers them in batches, and ends when idle.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import queue
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vitarmm_agent.errors import InputError, InternalError, WeightsError
from vitarmm_agent.models.adapters import check_fit
from vitarmm_agent.models.batch import Batch, Completion, Event, Prompt, Request, Row
from vitarmm_agent.models.decoding import Decoding, Sampler, TextStream
from vitarmm_agent.models.prefix_cache import PrefixCache

MAX_BATCH = 64
IDLE_SECONDS = 2.0
PREFIX_BYTES = 512 * 1024 * 1024
BLOCKS = {"cpu": 128}
DEFAULT_BLOCK = 512
CACHE_BYTES = {"cpu": 1024**3}
DEFAULT_CACHE_BYTES = 16 * 1024**3
GRAMMAR_BYTES = 256 * 1024 * 1024
"""Of compiled schemas that are kept; one takes 10 to 20 MiB with a vocabulary of 150,000."""

logger = logging.getLogger(__name__)
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


@dataclass(frozen=True)
class Figures:
    """What an engine has done since it was made; ends of replies count as output tokens."""

    requests: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    output_tokens: int = 0
    steps: int = 0


class Engine:
    """Batched generation over one model.

    Args:
        model: transformers model whose ``forward`` takes ``input_ids`` or ``inputs_embeds``,
            ``position_ids``, ``attention_mask``, ``past_key_values``, ``logits_to_keep``.
        tokenizer: its tokenizer.
        name: shown in errors and metadata.
        stop_ids: ids that end a reply.
        context: positions the model can hold, or None when unlimited.
        processor: what prepares images for the model; carried for the chat models that share it.
        prefix_bytes: memory of the prefix cache; 0 turns reuse off.
        block: positions computed per pass of a prompt at most; by device when None.
        max_batch: replies decoded together at most.
        cache_bytes: memory for the keys and values of all replies decoded together, which further
            replies wait for; one alone may take more. By device when None.
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
        prefix_bytes: int = PREFIX_BYTES,
        block: int | None = None,
        max_batch: int = MAX_BATCH,
        cache_bytes: int | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name
        self.stop_ids = stop_ids
        self.context = context
        self.processor = processor
        self.max_batch = max_batch
        self.tokenizer_lock = threading.Lock()
        device = model.device.type
        self.cache_bytes = cache_bytes or CACHE_BYTES.get(device, DEFAULT_CACHE_BYTES)
        block = block or BLOCKS.get(device, DEFAULT_BLOCK)
        self.prefix = PrefixCache(block, prefix_bytes)
        self.figures = Figures()
        self._waiting: deque[Request] = deque()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._adapter: str | None = None
        self._adapters: dict[str, str] = {}
        self._compiler: Any = None
        _engines.add(self)

    def generate(
        self,
        prompt: Prompt,
        decoding: Decoding,
        *,
        adapter: str | None = None,
        reuse: bool = True,
    ) -> Iterator[str | Completion]:
        """Yield text as it is decoded, then one :class:`Completion`.

        Closing the iterator early cancels the reply.

        Args:
            prompt: what to answer.
            decoding: how.
            adapter: folder of a peft adapter, loaded when first used; None is the bare model.
            reuse: take and keep prompt beginnings in the prefix cache.

        Raises:
            InputError: prompt and ``max_tokens`` together exceed the context.
        """
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        request = Request(prompt, decoding, adapter, reuse, events.put)
        self._submit(request)
        try:
            while True:
                event = _checked(events.get())
                yield event
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
    ) -> AsyncIterator[str | Completion]:
        """:meth:`generate` on an event loop, which is never blocked."""
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        deliver = partial(_deliver_to_loop, loop, events)
        request = Request(prompt, decoding, adapter, reuse, deliver)
        self._submit(request)
        try:
            while True:
                event = _checked(await events.get())
                yield event
                if isinstance(event, Completion):
                    return
        finally:
            request.cancelled = True

    def close(self, timeout: float = 10.0) -> None:
        """Cancel what runs and end the thread; later requests are refused."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _submit(self, request: Request) -> None:
        self._check_room(len(request.prompt.keys), request.decoding.max_tokens)
        with self._condition:
            if self._closed:
                raise InternalError(f"model {self.name!r} is closed")
            self._waiting.append(request)
            self._condition.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=f"engine-{self.name}", daemon=True
                )
                self._thread.start()

    def _check_room(self, prompt: int, wanted: int) -> None:
        if prompt == 0:
            raise InputError(f"the prompt for {self.name!r} is empty")
        if self.context is None or prompt + wanted <= self.context:
            return
        room = self.context - prompt
        remedy = (
            f"lower max_tokens to {room:,} or shorten the prompt"
            if room > 0
            else f"shorten the prompt by at least {wanted - room:,} tokens"
        )
        raise InputError(
            f"the prompt has {prompt:,} tokens and max_tokens is {wanted:,}, but {self.name!r} "
            f"holds {self.context:,} in all; {remedy}: nothing is cut silently"
        )

    def _work(self) -> None:
        batch = Batch(self.model, self.prefix, self.cache_bytes)
        try:
            with torch.inference_mode():
                while self._admit(batch):
                    batch.drop(lambda row: row.request.cancelled)
                    if batch.rows:
                        self._step(batch)
        except BaseException as error:  # whoever waits must hear of it
            with self._condition:
                self._thread = None
                self._fail(batch, error)
            raise

    def _admit(self, batch: Batch) -> bool:
        """Let waiting requests in; False when the thread should end."""
        with self._condition:
            if not batch.rows:
                self._condition.wait_for(lambda: self._waiting or self._closed, IDLE_SECONDS)
            if self._closed or not (batch.rows or self._waiting):
                self._thread = None
                self._fail(batch, InternalError(f"model {self.name!r} was closed"))
                return False
        while request := self._next(batch):
            self._start(batch, request)
        return True

    def _fail(self, batch: Batch, error: BaseException) -> None:
        """Tell everyone who waits."""
        for request in [*self._waiting, *(row.request for row in batch.rows)]:
            request.deliver(error)
        self._waiting.clear()

    def _next(self, batch: Batch) -> Request | None:
        """The first waiting request, if it may join the batch now."""
        with self._condition:
            while self._waiting and self._waiting[0].cancelled:
                self._waiting.popleft()
            if not self._waiting or self._closed:
                return None
            head = self._waiting[0]
            if batch.rows and (
                batch.alone
                or head.prompt.whole
                or head.adapter != self._adapter
                or len(batch.rows) >= self.max_batch
                or batch.size_with(head) > self.cache_bytes
            ):
                return None
            return self._waiting.popleft()

    def _start(self, batch: Batch, request: Request) -> None:
        """Compute a prompt and its first token. What goes wrong is this request's alone."""
        try:
            self._use_adapter(request.adapter)
            matcher = self._matcher(request.decoding.schema)
            logits, cache, reused = batch.prefill(request)
            row = Row(
                request=request,
                sampler=Sampler(request.decoding, len(self.tokenizer), matcher),
                text=TextStream(self.tokenizer, request.decoding.stop),
                stop_ids=self.stop_ids,
                reused=reused,
                length=len(request.prompt.keys),
            )
            self._count(
                requests=1,
                prompt_tokens=row.length,
                computed_tokens=row.length - reused,
                output_tokens=1,
            )
            row.accept(logits)
            if row.finish_reason is None:
                batch.add(row, cache)
        except BaseException as error:
            request.deliver(error)

    def _step(self, batch: Batch) -> None:
        rows = list(batch.rows)
        self._count(output_tokens=len(rows), steps=1)
        try:
            batch.step()
        except BaseException as error:
            batch.drop(lambda row: True)
            for row in rows:
                row.request.deliver(error)

    def _count(self, **more: int) -> None:
        """Add to the figures; called before what is counted is delivered."""
        self.figures = replace(
            self.figures, **{name: getattr(self.figures, name) + n for name, n in more.items()}
        )

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
        name = f"adapter{len(self._adapters)}"
        check_fit(Path(path), self.model, self.name)
        try:
            loaded = self.model.load_adapter(path, adapter_name=name)
            missing = {key for key in loaded.missing_keys if f".{name}." in key}
            if strangers := sorted(loaded.unexpected_keys | missing):
                self.model.delete_adapter(name)
                raise ValueError(f"its layers are not the model's, such as {strangers[0]}")
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            raise WeightsError(
                f"adapter {path!r} does not fit {self.name!r}: {error}; "
                "it must be a peft adapter trained on these weights"
            ) from error
        self.model.eval()
        self._adapters[path] = name

    def _matcher(self, schema: str | None) -> Any:
        if schema is None:
            return None
        import xgrammar

        if self._compiler is None:
            rows = self.model.get_output_embeddings().weight.shape[0]
            info = xgrammar.TokenizerInfo.from_huggingface(
                self.tokenizer, vocab_size=rows, stop_token_ids=sorted(self.stop_ids)
            )
            self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=GRAMMAR_BYTES)
        try:
            grammar = self._compiler.compile_json_schema(schema, any_whitespace=False)
        except (RuntimeError, ValueError) as error:
            title = json.loads(schema).get("title", "the schema")
            raise InputError(f"{title} cannot constrain decoding: {error}") from error
        return xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)


def _checked(event: Event) -> str | Completion:
    if isinstance(event, BaseException):
        raise event
    return event


def _deliver_to_loop(
    loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Event], event: Event
) -> None:
    try:
        loop.call_soon_threadsafe(events.put_nowait, event)
    except RuntimeError:  # the loop is closed: nobody listens any more
        logger.debug("dropped an event of a reply whose event loop has ended")


@atexit.register
def _close_engines() -> None:
    """A thread inside a native library must not outlive the interpreter."""
    for engine in list(_engines):
        engine.close()
