"""Token ids become text as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\ufffd"


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
