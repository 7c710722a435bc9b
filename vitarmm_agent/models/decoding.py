"""How a reply is decoded, whatever decodes it, and how one ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from vitarmm_agent.data import whole
from vitarmm_agent.errors import InputError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Decoding:
    """Decoding settings of one reply; nothing else is taken from a checkpoint.

    Attributes:
        max_tokens: new tokens at most.
        temperature: 0 is greedy.
        top_p: smallest set of tokens whose probabilities reach this sum.
        seed: seed of sampling; None draws a fresh one.
        stop: the reply ends before the first of these texts.
        schema: JSON schema, as JSON text, that the reply must obey.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        if self.max_tokens < 1:
            raise InputError(f"max_tokens must be at least 1, got {self.max_tokens!r}")
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise InputError(f"temperature must be 0 or more, got {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, got {self.top_p!r}")
        if any(not text for text in self.stop):
            raise InputError("a stop sequence is empty")
        if any(whole(text) != text for text in self.stop):
            raise InputError(f"a stop sequence holds half a surrogate pair: {self.stop!r}")

    def describe(self) -> dict[str, Any]:
        """What a trace should say of it."""
        shown: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        if self.temperature > 0:
            shown |= {"top_p": self.top_p, "seed": self.seed}
        if self.schema is not None:
            shown["constrained"] = True
        return shown


@dataclass(frozen=True)
class Completion:
    """How a reply ended; the last event of every reply.

    Attributes:
        reused: tokens of the prompt that were in the prefix cache.
        metadata: what else is worth telling, for ``response_metadata``.
    """

    finish_reason: FinishReason
    prompt_tokens: int
    reused: int
    output_tokens: int
    metadata: dict[str, Any] = field(default_factory=dict)


ReplyEvent = str | Completion
"""A piece of text, or the end."""


def check_room(name: str, prompt: int, wanted: int, context: int | None) -> None:
    """Refuse a prompt that leaves no room for its reply.

    Args:
        name: of the model.
        prompt: tokens of the prompt.
        wanted: tokens that the reply may have.
        context: tokens that the model holds, or None when unlimited.

    Raises:
        InputError: it does not fit.
    """
    if prompt == 0:
        raise InputError(f"the prompt for {name!r} is empty")
    if context is None or prompt + wanted <= context:
        return
    room = context - prompt
    remedy = (
        f"lower max_tokens to {room:,} or shorten the prompt"
        if room > 0
        else f"shorten the prompt by at least {wanted - room:,} tokens"
    )
    raise InputError(
        f"the prompt has {prompt:,} tokens and max_tokens is {wanted:,}, but {name!r} "
        f"holds {context:,} in all; {remedy}: nothing is cut silently"
    )
