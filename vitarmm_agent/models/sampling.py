"""How scores become a choice, as transformers' logits processors."""

from __future__ import annotations

import secrets

import torch
from transformers import LogitsProcessor, TopPLogitsWarper

from vitarmm_agent.models.decoding import Decoding


class KnownTokens(LogitsProcessor):
    """Takes out the rows of a model's head for which the tokenizer has no token.

    Args:
        count: how many ids the tokenizer knows.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape ``[rows, ids]``, with minus infinity for those unknown."""
        scores = scores.clone()
        scores[:, self.count :] = -torch.inf
        return scores


class Sampling(LogitsProcessor):
    """Draws a token from a generator of its own, so that torch's global one is left alone.

    Adding Gumbel noise to log-probabilities and taking the largest is drawing from them (Gumbel 1954).

    Args:
        decoding: temperature, ``top_p`` and seed.
    """

    def __init__(self, decoding: Decoding) -> None:
        self.temperature = decoding.temperature
        self.nucleus = TopPLogitsWarper(decoding.top_p) if decoding.top_p < 1 else None
        seed = secrets.randbits(63) if decoding.seed is None else decoding.seed
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of shape ``[rows, ids]`` of which the largest is the token drawn."""
        scores = scores.float() / self.temperature
        if self.nucleus is not None:
            scores = self.nucleus(input_ids, scores)
        uniform = torch.rand(scores.shape, generator=self._generator).to(scores.device)
        return scores - torch.log(-torch.log(uniform.clamp(min=1e-20)))
