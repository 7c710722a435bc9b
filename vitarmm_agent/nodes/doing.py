"""What goes on in a node, for whoever watches a run: in words, and as the models say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vitarmm_agent.models.replies import ReplyStream

LOADING = "loading the models"
DOING = {
    "recall": "searching the memory",
    "reason": "the reasoner is at work",
    "feedback": "checking the attempt",
    "remember": "deciding what is worth keeping",
    "teach": "asking the teacher",
    "judge": "counting the verdict, and learning from it",
}


class Heard:
    """What models say in one node, as ``stream_mode="messages"`` brings it.

    Of several that speak at once, the one that began last is heard.
    """

    def __init__(self) -> None:
        """Begin with nobody speaking."""
        self._reply = ReplyStream()
        self._speakers: list[str | None] = []

    def feed(self, message: Any) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it is thinking."""
        if message.type != "AIMessageChunk":
            return
        if message.id not in self._speakers:
            if self._speakers:
                yield from self._reply.end()
                yield "\n\n", False
            self._speakers.append(message.id)
            self._reply = ReplyStream()
        if message.id == self._speakers[-1]:
            yield from self._reply.feed(message)

    def end(self) -> Iterator[tuple[str, bool]]:
        """What was held back."""
        yield from self._reply.end()
