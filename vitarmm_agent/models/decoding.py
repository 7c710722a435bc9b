"""How a reply is decoded: settings, picking tokens, turning them into text, stopping."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vitarmm_agent.errors import InputError

REPLACEMENT = "\ufffd"


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
        if self.temperature < 0:
            raise InputError(f"temperature must be 0 or more, got {self.temperature!r}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be above 0 and at most 1, got {self.top_p!r}")
        if any(not text for text in self.stop):
            raise InputError("a stop sequence is empty")

    def describe(self) -> dict[str, Any]:
        """What a trace should say of it."""
        shown: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        if self.temperature > 0:
            shown |= {"top_p": self.top_p, "seed": self.seed}
        if self.schema is not None:
            shown["constrained"] = True
        return shown


class Sampler:
    """Picks the tokens of one reply, under a grammar when there is one.

    Args:
        decoding: the settings.
        vocabulary: how many ids the tokenizer knows; the model's head may have more rows.
        matcher: state of the compiled grammar, an ``xgrammar.GrammarMatcher``.
    """

    def __init__(self, decoding: Decoding, vocabulary: int, matcher: Any = None) -> None:
        self.decoding = decoding
        self.vocabulary = vocabulary
        self.matcher = matcher
        self._bitmask: torch.Tensor | None = None
        self._scores: torch.Tensor | None = None
        seed = secrets.randbits(63) if decoding.seed is None else decoding.seed
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def done(self) -> bool:
        """Whether the grammar is fulfilled."""
        return self.matcher is not None and bool(self.matcher.is_terminated())

    def pick(self, logits: torch.Tensor) -> int:
        """Id of the next token, from logits of shape ``[rows of the head]``."""
        scores = self._on_cpu(logits)
        if self.matcher is not None:
            self._constrain(scores)
        if self.decoding.temperature == 0:
            token = int(scores.numpy().argmax())  # torch's own is a hundred times slower on a CPU
        else:
            token = self._draw(scores)
        if self.matcher is not None:
            self.matcher.accept_token(token)
        return token

    def _on_cpu(self, logits: torch.Tensor) -> torch.Tensor:
        """The scores in fp32, in memory that every token uses again."""
        if self._scores is None:
            self._scores = torch.empty(logits.shape[0], dtype=torch.float32)
        self._scores.copy_(logits)
        self._scores[self.vocabulary :] = -torch.inf
        return self._scores

    def _constrain(self, scores: torch.Tensor) -> None:
        import xgrammar

        if self._bitmask is None:
            self._bitmask = xgrammar.allocate_token_bitmask(1, scores.shape[0])
        self.matcher.fill_next_token_bitmask(self._bitmask)
        xgrammar.apply_token_bitmask_inplace(scores.unsqueeze(0), self._bitmask)

    def _draw(self, scores: torch.Tensor) -> int:
        probabilities = torch.softmax(scores / self.decoding.temperature, dim=-1)
        if self.decoding.top_p < 1:
            ordered, ids = probabilities.sort(descending=True)
            beyond = ordered.cumsum(-1) - ordered >= self.decoding.top_p
            probabilities[ids[beyond]] = 0
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


class TextStream:
    """Turns token ids into text as they come, and ends at a stop sequence.

    Text that may still become part of a character or of a stop sequence is held back.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stop = tuple(stop)
        self.stopped = False
        self.ids: list[int] = []
        self._start = 0  # ids before it are decoded for good
        self._read = 0  # ids before it are in the text already
        self._held = ""

    def push(self, token: int) -> str:
        """Take one token; return the text that is now certain."""
        self.ids.append(token)
        before = self._decode(self._start, self._read)
        now = self._decode(self._start, len(self.ids))
        if now.endswith(REPLACEMENT):  # in the middle of a character
            return ""
        self._start, self._read = self._read, len(self.ids)
        return self._release(now[len(before) :])

    def finish(self) -> str:
        """Return what was held back, when no more tokens come."""
        if self.stopped:
            return ""
        before = self._decode(self._start, self._read)
        rest = self._decode(self._start, len(self.ids))[len(before) :]
        self._read = len(self.ids)
        text = self._release(rest)
        held, self._held = self._held, ""
        return text + held

    def _decode(self, start: int, end: int) -> str:
        text: str = self.tokenizer.decode(
            self.ids[start:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _release(self, text: str) -> str:
        text = self._held + text
        found = [at for stop in self.stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self.stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
