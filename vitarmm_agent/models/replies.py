"""What a model's message holds: what it said, what it thought, and why it said nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vitarmm_agent.thinking import ThinkingStream, split_thinking

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

MAX_THOUGHT = 200_000
MAX_REASON = 300
_THOUGHTS = ("reasoning", "thinking", "reasoning_content", "thought")
"""Types of content blocks that hold thinking, and the fields in which their text stands."""
MAX_REFUSAL = 300
_REFUSES = re.compile(
    r"\W{0,3}(?:(?:i'?m |i am )?(?:so |very |really )?sorry\b[,.:; ]{0,3}(?:but )?|unfortunately,? |"
    r"as an? (?:ai|language model)\b[^,.\n]{0,40},? )?"
    r"(?:i (?:can'?t|cannot|can not|won'?t|will not|am unable to|am not able to)|i'm (?:unable|not able) to) "
    r"(?:help|assist|comply|answer|do|provide|fulfil|continue|support|complete|engage|discuss)\b[^\d:]*",
    re.IGNORECASE,
)
"""A reply that is nothing but a polite refusal: it holds no number, and no ``Answer:``."""
_FILTERS = frozenset(
    "content_filter content_filtered safety blocklist prohibited_content recitation spii "
    "guardrail_intervened".split()
)


def said_and_thought(message: BaseMessage) -> tuple[str, str]:
    """The text that a reply says, and what it thought: in tags, blocks or fields."""
    tagged, said = split_thinking(message.text)
    apart = _thought_apart(message).strip()
    return said, "\n".join(filter(None, (apart, tagged)))[:MAX_THOUGHT]


class ReplyStream:
    """The same for a reply that comes in chunks."""

    def __init__(self) -> None:
        """Begin with a reply that is said."""
        self._tags = ThinkingStream()

    def feed(self, chunk: BaseMessage) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it is thinking."""
        if apart := _thought_apart(chunk):
            yield apart, True
        yield from self._tags.feed(chunk.text)

    def end(self) -> Iterator[tuple[str, bool]]:
        """What was held back."""
        yield from self._tags.end()


def silent_because(message: BaseMessage, said: str, thought: str) -> str:
    """Why a reply holds no answer at all; nothing for one that says something."""
    if (refused := _refusal(message)) is not None:
        return f"the model refused: {refused[:MAX_REASON]}" if refused else "the model refused"
    if said.strip():
        text = said.strip().replace("’", "'")
        refuses = len(text) <= MAX_REFUSAL and _REFUSES.fullmatch(text)
        return f"the model refused: {said.strip()}" if refuses else ""
    if filtered(message):
        return "a content filter stopped the reply"
    if names := _tools_called(message):
        return f"the model called {names} in place of an answer"
    if cut_off(message):
        place = "inside its thinking" if thought else "before it said anything"
        return f"the reply was cut off {place}, at the limit of new tokens; raise max_tokens"
    return "the model thought, and said nothing" if thought else "the reply is empty"


def cut_off(message: BaseMessage) -> bool:
    """Whether a reply ended at the limit of new tokens, in any provider's words."""
    return any(end in ("length", "max_tokens") for end in _ends(message))


def filtered(message: BaseMessage) -> bool:
    """Whether a content filter ended the reply."""
    return any(end in _FILTERS for end in _ends(message))


def _ends(message: BaseMessage) -> list[str]:
    told = message.response_metadata
    return [str(told.get(name)).lower() for name in ("finish_reason", "stop_reason", "done_reason")]


def _thought_apart(message: BaseMessage) -> str:
    """Thinking that stands in blocks of its own, else in a field beside the content."""
    blocks = message.content if isinstance(message.content, list) else []
    thoughts = [block for block in blocks if isinstance(block, dict)]
    found = [_thought(block) for block in thoughts if block.get("type") in _THOUGHTS]
    return "".join(found) or _thought(message.additional_kwargs)


def _thought(fields: dict[str, Any]) -> str:
    summary = fields.get("summary")
    parts = [fields.get(name) for name in _THOUGHTS]
    parts += summary if isinstance(summary, list) else []
    return "\n".join(filter(None, map(_words, parts)))


def _words(value: Any) -> str:
    """Text, or the text of a block."""
    if isinstance(value, dict):
        value = value.get("text")
    return value if isinstance(value, str) else ""


def _refusal(message: BaseMessage) -> str | None:
    """The words of a refusal, which may be none; None where the model did not refuse."""
    blocks = message.content if isinstance(message.content, list) else []
    told = [
        message.additional_kwargs.get("refusal"),
        *(
            b.get("refusal", "")
            for b in blocks
            if isinstance(b, dict) and b.get("type") == "refusal"
        ),
    ]
    words = next((str(words) for words in told if words is not None), None)
    return words if words is not None or "refusal" not in _ends(message) else message.text


def _tools_called(message: BaseMessage) -> str:
    calls = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    names = [str(call.get("name") or "?") for call in calls]
    return f"tool {', '.join(map(repr, names))}"[:MAX_REASON] if names else ""
