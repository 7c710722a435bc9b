"""What a model's message holds: what it said, what it thought, and why it said nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vitarmm_agent.thinking import ThinkingStream, split_thinking

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

MAX_THOUGHT = 200_000
MAX_REASON = 300
_THOUGHTS = ("reasoning", "thinking", "reasoning_content", "thought")
"""Types of content blocks that hold thinking."""
_FIELDS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details")
"""Where its text stands in a block, or beside the content."""
MAX_DEPTH = 4
MAX_REFUSAL = 300
_REFUSES = re.compile(
    r"\W{0,3}(?:(?:i'?m |i am )?(?:so |very |really )?sorry\b[,.:; ]{0,3}(?:but )?|unfortunately,? |"
    r"as an? (?:ai|language model)\b[^,.\n]{0,40},? )?"
    r"(?:i (?:can'?t|cannot|can not|won'?t|will not|am unable to|am not able to)|i'm (?:unable|not able) to) "
    r"(?:help|assist|comply|answer|do|provide|fulfil|continue|support|complete|engage|discuss|see|view|"
    r"access|open|process|browse)\b[^\d:]*"
    r"|(?:es )?tut mir leid\b[^\d:]{0,60}kann ich[^\d:]*|(?:je suis )?désolée?\b[^\d:]{0,60}ne peux pas[^\d:]*"
    r"|lo siento\b[^\d:]{0,60}no puedo[^\d:]*|(?:抱歉|对不起|很抱歉)[^\d:]{0,20}(?:无法|不能)[^\d:]*"
    r"|申し訳[^\d:]{0,40}(?:できません|できない)[^\d:]*",
    re.IGNORECASE,
)
"""A reply that is nothing but a polite refusal: it holds no number, and no ``Answer:``."""
_TOOLS = re.compile(
    r"\s*(?:<｜tool▁calls?▁begin｜>|\[TOOL_CALLS\]|<\|python_tag\|>|<tool_calls?>|<function[=_]|"
    r"\{\s*\"name\"\s*:\s*\"[^\"\n]{1,80}\"\s*,\s*\"(?:parameters|arguments)\")"
)
_PAGES = re.compile(
    r"\s*(?:<!doctype\b|<html\b|(?:error|http)\b[^\n]{0,60}\b(?:rate limit|time-?out|bad gateway|overloaded|"
    r"unauthori[sz]ed|forbidden|internal server|service unavailable|quota))",
    re.IGNORECASE,
)
FILTERED = "a content filter stopped the reply"
_CUT = frozenset("length max_tokens model_length max_output_tokens incomplete".split())
_FILTERS = frozenset(
    "content_filter content_filtered safety blocklist prohibited_content recitation spii "
    "guardrail_intervened error_toxic".split()
)
_BROKEN = frozenset("error failed abort aborted cancelled insufficient_system_resource".split())


def said_and_thought(message: BaseMessage) -> tuple[str, str]:
    """The text that a reply says, and what it thought: in tags, blocks or fields."""
    tagged, said = split_thinking(_text(message))
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
        yield from self._tags.feed(_text(chunk))

    def end(self) -> Iterator[tuple[str, bool]]:
        """What was held back."""
        yield from self._tags.end()


def silent_because(message: BaseMessage, said: str, thought: str) -> str:
    """Why a reply holds no answer at all; nothing for one that says something."""
    if (refused := _refusal(message)) is not None:
        return f"the model refused: {refused[:MAX_REASON]}" if refused else "the model refused"
    if filtered(message):
        return FILTERED
    if broken := next((end for end in _ends(message) if end in _BROKEN), None):
        return f"the reply ended with {broken!r}"
    if said.strip():
        return _no_answer_in(message.text, said.strip())
    if names := _tools_called(message):
        return f"the model called {names} in place of an answer"
    if cut_off(message):
        place = "inside its thinking" if thought else "before it said anything"
        return f"the reply was cut off {place}, at the limit of new tokens; raise max_tokens"
    return "the model thought, and said nothing" if thought else "the reply is empty"


def refuses(text: str) -> bool:
    """Whether a text is nothing but a polite refusal."""
    return len(text) <= MAX_REFUSAL and bool(_REFUSES.fullmatch(text.strip().replace("’", "'")))


def _no_answer_in(text: str, said: str) -> str:
    """Why what is said is no answer, where that is certain."""
    if refuses(said):
        return f"the model refused: {said}"
    if _TOOLS.match(text) or _TOOLS.match(said):
        return "the model called a tool in place of an answer"
    if _PAGES.match(said):
        return f"the reply is an error message: {' '.join(said.split())[:80]}"
    return "" if any(map(str.isalnum, said)) else "the reply is empty"


def cut_off(message: BaseMessage) -> bool:
    """Whether a reply ended at the limit of new tokens, in any provider's words."""
    return any(end in _CUT for end in _ends(message))


def unfinished(message: BaseMessage) -> bool:
    """Whether a reply is no whole one: it was cut off, stopped, or goes on with a tool."""
    return cut_off(message) or filtered(message) or bool(_tools_called(message))


def filtered(message: BaseMessage) -> bool:
    """Whether a content filter ended the reply."""
    return any(end in _FILTERS for end in _ends(message))


def _ends(message: BaseMessage) -> list[str]:
    """How the reply ended, in any provider's words."""
    told = message.response_metadata
    details = told.get("incomplete_details")
    names = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")
    ends = [told.get(name) for name in names]
    ends.append(details.get("reason") if isinstance(details, dict) else None)
    return [str(end).lower() for end in ends if end is not None]


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = message.content if isinstance(message.content, list) else []
    return [block for block in content if isinstance(block, dict)]


def _is_thought(block: dict[str, Any]) -> bool:
    return block.get("type") in _THOUGHTS or block.get("thought") is True


def _text(message: BaseMessage) -> str:
    """The text of a message; Gemini marks text blocks that are thoughts."""
    blocks = _blocks(message)
    if not any(block.get("thought") is True for block in blocks):
        return message.text
    return "".join(str(b.get("text", "")) for b in blocks if not _is_thought(b))


def _thought_apart(message: BaseMessage) -> str:
    """Thinking that stands in blocks of its own, else in a field beside the content."""
    found = [_words(block) for block in _blocks(message) if _is_thought(block)]
    return "".join(found) or thought_in(message.additional_kwargs)


def thought_in(fields: Mapping[str, Any]) -> str:
    """Thinking in fields beside a reply's content; several may say the same, and the first counts."""
    return next(filter(None, (_words(fields.get(name)) for name in _FIELDS)), "")


def _words(value: Any, depth: int = 0) -> str:
    """The text of thinking, however it is wrapped: in a block, a summary, a list of parts."""
    if isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, Mapping):
        held = (value.get(name) for name in (*_FIELDS, "text", "summary"))
        value = [part for part in held if part and part is not True][:1]
    if not isinstance(value, list):
        return ""
    return "".join(_words(part, depth + 1) for part in value)


def _refusal(message: BaseMessage) -> str | None:
    """The words of a refusal, which may be none; None where the model did not refuse."""
    told = [
        message.additional_kwargs.get("refusal"),
        *(b.get("refusal", "") for b in _blocks(message) if b.get("type") == "refusal"),
    ]
    words = next((str(words) for words in told if words is not None), None)
    return words if words is not None or "refusal" not in _ends(message) else message.text


def _tools_called(message: BaseMessage) -> str:
    calls = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    calls += filter(None, [message.additional_kwargs.get("function_call")])
    names = [str(call.get("name") or "?") for call in calls]
    return f"tool {', '.join(map(repr, names))}"[:MAX_REASON] if names else ""
