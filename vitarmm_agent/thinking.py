"""What a model thought aloud, told apart from what it said.

Thinking is no answer, no step and no equation: it is cut away before anything else is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = r"think|thinking|thoughts?|scratchpad|inner_monologue|seed:think"
_OPENED = rf"<\s?(?:{_NAMES})(?:\s[^<>]{{0,80}})?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>"
_CLOSED = rf"<\s?/\s?(?:{_NAMES})\s?>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
_CHANNEL = r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>"
_TAG = re.compile(
    rf"(?:(?<!`)|(?<=``))(?:(?P<opened>{_OPENED}|{_CHANNEL}(?:analysis|commentary)[^<]{{0,80}}<\|message\|>)"
    rf"|(?P<closed>{_CLOSED}|{_CHANNEL}final\s?<\|message\|>))(?!`(?!`))",
    re.IGNORECASE,
)
_END = re.compile(r"<\|(?:return|end)\|>")
_HINT = re.compile(r"think|thought|scratchpad|monologue|<\|channel", re.IGNORECASE)
_BEGINNINGS = "<[◁"
LONGEST_TAG = 160


def split_thinking(text: str) -> tuple[str, str]:
    """What was thought, and what was said.

    Thinking is what stands between tags such as ``<think>`` and ``</think>``, in any case; what
    stands before a closing tag that was never opened; and what stands behind an opening tag at the
    start of a line that is never closed, for the reply was cut off inside. Tags in backticks are text.
    """
    tags = list(_TAG.finditer(text)) if _HINT.search(text) else []
    last = max((tag.start() for tag in tags if tag["closed"]), default=-1)
    thought, said = list[str](), list[str]()
    thinking, at = False, 0
    for tag in tags:
        part = text[at : tag.start()]
        if tag["opened"] and tag.start() > last and not (thinking or _begins_line(part)):
            continue
        if tag["closed"] and not thinking:
            thought, said = [*thought, *said, part], []
        else:
            (thought if thinking else said).append(part)
        thinking, at = bool(tag["opened"]), tag.end()
    if not at:
        return "", text
    (thought if thinking else said).append(text[at:])
    return "".join(thought).strip(), _END.sub("", "".join(said)).strip()


def without_thinking(text: str) -> str:
    """What was said."""
    return split_thinking(text)[1]


class ThinkingStream:
    """The same for text that comes in pieces.

    What stands before a closing tag that was never opened is known to be thinking only when the tag
    comes: it was passed on as said. Channels may come through in part; servers give those apart.
    """

    def __init__(self) -> None:
        """Begin with a reply that is said."""
        self._thinking, self._held, self._line = False, "", ""

    def feed(self, text: str) -> Iterator[tuple[str, bool]]:
        """Pieces that hold no part of a tag, each with whether it is thinking."""
        text, at = self._held + text, 0
        for tag in _TAG.finditer(text):
            part = text[at : tag.start()]
            if tag["opened"] and not (self._thinking or _begins_line(self._line + part)):
                continue
            yield from self._passed(part)
            self._thinking, at = bool(tag["opened"]), tag.end()
        begun = max(text.rfind(sign, max(at, len(text) - LONGEST_TAG)) for sign in _BEGINNINGS)
        whole = begun < 0 or ">" in text[begun:].replace("|>", "")
        end = len(text) if whole else begun
        yield from self._passed(text[at:end])
        self._held = text[end:]

    def end(self) -> Iterator[tuple[str, bool]]:
        """What was held back because it might have become a tag."""
        held, self._held = self._held, ""
        yield from self._passed(held)

    def _passed(self, text: str) -> Iterator[tuple[str, bool]]:
        if text:
            self._line = (self._line + text).rpartition("\n")[2][-LONGEST_TAG:]
            yield text, self._thinking


def _begins_line(before: str) -> bool:
    return not before.rpartition("\n")[2].strip()
