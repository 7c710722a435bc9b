"""The adapter as llama.cpp takes it, and how far both give the same tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.llama.gguf_file import GgufFile
from vitarmm_agent.llama.process import Options
from vitarmm_agent.llama.server import LlamaServer
from vitarmm_agent.models.gguf_adapter import GGUF_FILE, write_adapter
from vitarmm_agent.training.base import Base

PROMPTS, TOKENS = 10, 24

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agreement:
    """Share of greedy tokens up to the first that differs, for each prompt.

    llama.cpp computes with the quantized weights, transformers with their bf16 copy: ``bare`` is what
    that alone explains.

    Attributes:
        adapted: with the adapter on both sides.
        bare: without it.
    """

    adapted: tuple[float, ...]
    bare: tuple[float, ...]

    def __str__(self) -> str:
        adapted, bare = (sum(shares) / len(shares) for shares in (self.adapted, self.bare))
        return (
            f"{adapted:.0%} with the adapter, {bare:.0%} of the base alone "
            f"({len(self.bare)} prompts, {TOKENS} tokens)"
        )


def write_copy(folder: Path, base: Base) -> Path | None:
    """Write ``adapter.gguf`` beside a peft adapter; None where llama.cpp cannot hold it."""
    config = base.model.config
    heads = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    weights = base.weights
    architecture = GgufFile.open(weights).architecture if weights.is_file() else config.model_type
    try:
        return write_adapter(folder, architecture, heads, folder / GGUF_FILE)
    except WeightsError as error:
        logger.warning("no %s was written: %s", GGUF_FILE, error)
        return None


def agreement(
    model: Any, base: Base, adapter: Path, prompts: Sequence[Sequence[int]]
) -> Agreement | None:
    """Let both continue the same prompts; None where the base is no GGUF file.

    Args:
        model: the peft model.
        base: what it adapts.
        adapter: its copy for llama.cpp.
        prompts: token ids.
    """
    if not base.weights.is_file():
        return None
    prompts = prompts[:PROMPTS]
    shares = []
    for copy, peft in ((adapter, nullcontext()), (None, model.disable_adapter())):
        longest = max(map(len, prompts)) + TOKENS
        server = LlamaServer(base.weights, Options(context=longest, slots=1, adapter=copy))
        try:
            with peft:
                shares.append(
                    tuple(
                        _alike(_by_llama(server, ids), _by_transformers(model, ids))
                        for ids in prompts
                    )
                )
        finally:
            server.close()
    return Agreement(*shares)


def _by_llama(server: LlamaServer, ids: Sequence[int]) -> list[int]:
    body = {"prompt": list(ids), "n_predict": TOKENS, "temperature": 0, "return_tokens": True}
    tokens: list[int] = server.post("/completion", body)["tokens"]
    return tokens


def _by_transformers(model: Any, ids: Sequence[int]) -> list[int]:
    import torch

    given = torch.tensor([list(ids)], device=model.device)
    with torch.inference_mode():
        out = model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=TOKENS,
            do_sample=False,
        )
    tokens: list[int] = out[0, len(ids) :].tolist()
    return tokens


def _alike(ours: Sequence[int], theirs: Sequence[int]) -> float:
    """Share of tokens before the first that differs; the token that ends a reply counts on one side."""
    pairs = zip(ours, theirs, strict=False)
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    longest = max(1, min(len(ours), len(theirs)))
    return same / longest
