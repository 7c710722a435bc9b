"""Replies that are decoded together: one forward pass yields the next token of each.

Prompts are computed one at a time (see :mod:`.prefix_cache`); their keys and values then join the
batch, padded on the left. Rows may join and leave at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch

from vitarmm_agent.models.decoding import Decoding, Sampler, TextStream
from vitarmm_agent.models.prefix_cache import Layers, PrefixCache, cuts, plain_layers
from vitarmm_agent.models.row_cache import RowCache

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Prompt:
    """What a chat model hands to the engine.

    Attributes:
        keys: one hashable per position. Two prompts with equal keys up to a position must have
            equal inputs up to it.
        inputs: model inputs (``input_ids`` or ``inputs_embeds``, batch of 1, on any device) of the
            positions from ``start`` to ``end``. Called on the engine's thread, only for positions
            that are computed: an image whose positions are reused need not be encoded.
        whole: the inputs must be computed in one pass and alone (a model with its own positions,
            such as M-RoPE); no reuse, no batching. Then ``inputs`` is called once, for everything.
        metadata: added to the reply's ``response_metadata``.
    """

    keys: tuple[Hashable, ...]
    inputs: Callable[[int, int], dict[str, Any]]
    whole: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Completion:
    """How a reply ended; the last event of every generation.

    Attributes:
        reused: positions of the prompt whose keys and values came from the prefix cache.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    reused: int
    output_tokens: int
    ids: tuple[int, ...]


Event = str | Completion | BaseException
"""A piece of text; the end; or what went wrong."""


@dataclass(eq=False)
class Request:
    """One reply to be made, and where its events go."""

    prompt: Prompt
    decoding: Decoding
    adapter: str | None
    reuse: bool
    deliver: Callable[[Event], None]
    cancelled: bool = False


@dataclass(eq=False)
class Row:
    """A request that is being answered."""

    request: Request
    sampler: Sampler
    text: TextStream
    stop_ids: frozenset[int]
    reused: int
    length: int  # positions in the cache
    finish_reason: FinishReason | None = None

    @property
    def remaining(self) -> int:
        """Tokens it may still be given."""
        return self.request.decoding.max_tokens - len(self.text.ids)

    def accept(self, logits: torch.Tensor) -> None:
        """Pick the next token, deliver its text, and note whether the reply is over."""
        token = self.sampler.pick(logits)
        if token in self.stop_ids:
            return self._finish("stop")
        if text := self.text.push(token):
            self.request.deliver(text)
        if self.text.stopped or self.sampler.done:
            self._finish("stop")
        elif self.remaining <= 0:
            self._finish("length")

    def _finish(self, reason: FinishReason) -> None:
        if rest := self.text.finish():
            self.request.deliver(rest)
        self.finish_reason = reason
        self.request.deliver(
            Completion(
                finish_reason=reason,
                prompt_tokens=len(self.request.prompt.keys),
                reused=self.reused,
                output_tokens=len(self.text.ids),
                ids=tuple(self.text.ids),
            )
        )


class Batch:
    """Rows that share one forward pass per token.

    Args:
        model: a transformers model with a language-model head.
        prefix: the prefix cache; its block size is how prompts are cut for computing.
        limit: bytes of keys and values to reserve at most; one row alone may take more.
    """

    def __init__(self, model: Any, prefix: PrefixCache, limit: int) -> None:
        self.model = model
        self.prefix = prefix
        self.limit = limit
        self.rows: list[Row] = []
        self.alone = False
        self._cache: Any = None
        self._own_positions = [m for m in model.modules() if hasattr(m, "rope_deltas")]

    def prefill(self, request: Request) -> tuple[torch.Tensor, Any, int]:
        """Compute a prompt: logits of the next token, its cache, and positions reused."""
        from transformers import DynamicCache

        prompt, cache = request.prompt, DynamicCache(config=self.model.config)
        if prompt.whole:
            for module in self._own_positions:  # what the last image left must not shift this one
                module.rope_deltas = None
            inputs = self._on_device(prompt.inputs(0, len(prompt.keys)))
            return self._forward(cache, **inputs)[0], cache, 0
        reused = 0
        if request.reuse and (known := self.prefix.find(prompt.keys, request.adapter)):
            reused = known[0][0].shape[-2]
            _fill(cache, known)
        for start, end in pairwise([0, *cuts(len(prompt.keys), self.prefix.block)]):
            if start >= reused:
                inputs = self._on_device(prompt.inputs(start, end))
                positions = torch.arange(start, end, device=self.model.device).unsqueeze(0)
                logits = self._forward(cache, position_ids=positions, **inputs)
        layers = plain_layers(cache)
        if request.reuse and layers is not None:
            self.prefix.store(prompt.keys, layers, request.adapter)
        return logits[0], cache, reused

    def size_with(self, request: Request) -> int:
        """Bytes of keys and values that all rows and this one may grow to."""
        longest = max(request.decoding.max_tokens, *(row.remaining for row in self.rows))
        width = max(self._width, len(request.prompt.keys)) + longest
        size: int = (len(self.rows) + 1) * width * self._cache.position_bytes
        return size

    def add(self, row: Row, cache: Any) -> None:
        """Let a prefilled row join. Its ``cache`` is copied, or kept if the row must go alone."""
        self.rows.append(row)
        layers = None if row.request.prompt.whole else plain_layers(cache)
        if layers is None:
            self.alone, self._cache = True, cache
            return
        if self._cache is None:
            self._cache = RowCache(layers, self.limit)
        self._cache.join(layers, self._longest)

    def step(self) -> None:
        """Give each row its next token, and let those leave that are over."""
        device = self.model.device
        last = torch.tensor([[row.text.ids[-1]] for row in self.rows], device=device)
        inputs: dict[str, Any] = {"input_ids": last}
        if not self.alone:
            self._cache.make_room(self._longest)
            lengths = torch.tensor([[row.length] for row in self.rows], device=device)
            inputs["position_ids"] = lengths
            if bool((lengths < self._width).any()):
                inputs["attention_mask"] = self._mask(lengths)
        logits = self._forward(self._cache, **inputs)
        for row, scores in zip(self.rows, logits, strict=True):
            row.length += 1
            row.accept(scores)
        self.drop(lambda row: row.finish_reason is not None)

    def drop(self, leaves: Callable[[Row], bool]) -> None:
        """Take out the rows of which ``leaves`` is true, and the padding only they needed."""
        stay = [not leaves(row) for row in self.rows]
        count = sum(stay)
        if count == len(stay):
            return
        if not count:
            self.rows, self._cache, self.alone = [], None, False
            return
        free = [place for place in range(count) if not stay[place]]
        later = [place for place in range(count, len(stay)) if stay[place]]
        for place, old in zip(free, later, strict=True):
            self.rows[place] = self.rows[old]
        del self.rows[count:]
        self._cache.keep(dict(zip(free, later, strict=True)), count, self._width)

    @property
    def _width(self) -> int:
        """Positions of every row, padding included."""
        return max(row.length for row in self.rows)

    @property
    def _longest(self) -> int:
        """Positions, padding included, that a row may come to."""
        return self._width + max(row.remaining for row in self.rows)

    def _mask(self, lengths: torch.Tensor) -> torch.Tensor:
        """1 where a row has a position, 0 where it is padding; [rows, width + 1]."""
        columns = torch.arange(self._width + 1, device=lengths.device)
        return (columns >= self._width - lengths).long()

    def _forward(self, cache: Any, **inputs: Any) -> torch.Tensor:
        """Logits of the last position of each row; [rows, rows of the head]."""
        output = self.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        device = self.model.device
        return {k: v.to(device) if torch.is_tensor(v) else v for k, v in inputs.items()}


def _fill(cache: Any, layers: Layers) -> None:
    for index, (keys, values) in enumerate(layers):
        cache.layers[index].update(keys, values)
