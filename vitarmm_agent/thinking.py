"""What a model thought aloud, told apart from what it said.

Thinking is no answer, no step and no equation: it is cut away before anything else is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = r"(?:[a-z]{1,12}[:_])?think(?:ing)?|thoughts?|reasoning|analysis|reflection|scratchpad|inner_monologue"
_OPENED = (
    rf"(?:<|&lt;)\s?(?:{_NAMES})(?:\s[^<>]{{0,80}})?(?:>|&gt;)|\[THINK\]|◁think▷|<\|begin_of_thought\|>|"
    r"<\|START_THINKING\|>|<\|inner_prefix\|>|<\|think\|>|<unused94>(?:thought)?|<\|channel>thought\b|"
    r"<details\s[^<>]{0,40}type=\"reasoning\"[^<>]{0,80}>|```think(?:ing)?\b|<\|im_start\|>think\b|"
    r"here is my thought process:"
)
_CLOSED = (
    rf"(?:<|&lt;)\s?/\s?(?:{_NAMES})\s?(?:>|&gt;)|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|"
    r"<\|END_THINKING\|>|<\|inner_suffix\|>|<\|/think\|>|<unused95>|<channel\|>|"
    r"here is my response:"
)
_ENDS = r"</details>|```|<\|im_end\|>|<\|end\|>"
"""What ends much else as well: it closes only thinking that was opened."""
_CHANNEL = r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>"
_FINAL = rf"{_CHANNEL}final\s?<\|message\|>"
_TAG = re.compile(
    rf"(?:(?<!`)|(?<=``))(?:(?P<opened>{_OPENED}|{_CHANNEL}(?:analysis|commentary)[^<]{{0,80}}<\|message\|>)"
    rf"|(?P<closed>{_CLOSED}|{_FINAL})|(?P<ends>{_ENDS}))(?!`(?!`))",
    re.IGNORECASE,
)
_BARE_CHANNELS = re.compile(
    r"analysis(?=[A-Z])(?P<thought>.+?)assistantfinal(?P<said>.*)", re.DOTALL
)
"""gpt-oss where its special tokens were taken out."""
_SPECIAL = re.compile(r"<\|/?[A-Za-z_]{1,30}\|>|</s>|<(?:end_of_turn|eos|bos)>")
"""Tokens of chat templates that came through: they mean nothing."""
_HINT = re.compile(
    r"think|thought|scratchpad|monologue|reasoning|analysis|reflection|<\|channel|inner_prefix|<unused94>",
    re.IGNORECASE,
)
_PARTIAL = re.compile(r"(?:<\|?/?[a-z_]{0,24}\|?>?[a-z]{0,12}\s?){1,5}\Z", re.I)
_FIXED = ("[think]", "[/think]", "◁think▷", "◁/think▷")
"""Tags that are written in one way only."""
LONGEST_TAG = 160


def split_thinking(text: str) -> tuple[str, str]:
    """What was thought, and what was said.

    Thinking is what stands between tags such as ``<think>`` and ``</think>``, in any case; what
    stands before a closing tag that was never opened; and what stands behind an opening tag at the
    start of a line that is never closed, for the reply was cut off inside. Tags in backticks are text.
    """
    if not _HINT.search(text):
        return "", _SPECIAL.sub("", text)
    if bare := _BARE_CHANNELS.fullmatch(text.strip()):
        return bare["thought"].strip(), bare["said"].strip()
    tags = list(_TAG.finditer(text))
    last = max((tag.start() for tag in tags if tag["closed"]), default=-1)
    thought, said = list[str](), list[str]()
    thinking, at = "", 0
    for tag in tags:
        part = text[at : tag.start()]
        if tag["opened"] and tag.start() > last and not (thinking or _begins_line(part)):
            continue
        if tag["ends"] and not _ends(tag[0], thinking):
            continue
        if tag["closed"] and not thinking:
            thought, said = [*thought, *said, part], []
        else:
            (thought if thinking else said).append(part)
        thinking, at = tag["opened"] or "", tag.end()
    if not at:
        return "", _SPECIAL.sub("", text)
    (thought if thinking else said).append(text[at:])
    return "".join(thought).strip(), _SPECIAL.sub("", "".join(said)).strip()


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
        self._thinking, self._held, self._line = "", "", ""

    def feed(self, text: str) -> Iterator[tuple[str, bool]]:
        """Pieces that hold no part of a tag, each with whether it is thinking."""
        text, at = self._held + text, 0
        for tag in _TAG.finditer(text):
            part = text[at : tag.start()]
            if tag["opened"] and not (self._thinking or _begins_line(self._line + part)):
                continue
            if tag["ends"] and not _ends(tag[0], self._thinking):
                continue
            yield from self._passed(part)
            self._thinking, at = tag["opened"] or "", tag.end()
        end = self._certain(text, at)
        yield from self._passed(text[at:end])
        self._held = text[end:]

    def _certain(self, text: str, at: int) -> int:
        """Where the text ends that can be no part of a tag."""
        start = max(at, len(text) - LONGEST_TAG)
        if partial := _PARTIAL.search(text, start):
            return partial.start()
        begun = text.rfind("<", start)
        fixed = range(max(start, len(text) - len(_FIXED[-1])), len(text))
        places = [n for n in fixed if any(tag.startswith(text[n:].lower()) for tag in _FIXED)]
        return min([begun] * (begun >= 0 and ">" not in text[begun:]) + places, default=len(text))

    def end(self) -> Iterator[tuple[str, bool]]:
        """What was held back because it might have become a tag."""
        held, self._held = self._held, ""
        yield from self._passed(held)

    def _passed(self, text: str) -> Iterator[tuple[str, bool]]:
        if text:
            self._line = (self._line + text).rpartition("\n")[2][-LONGEST_TAG:]
            yield text, bool(self._thinking)


def _ends(closing: str, opening: str) -> bool:
    """Whether what ends other things as well ends this thinking."""
    pairs = {
        "</details>": "<details",
        "```": "```",
        "<|im_end|>": "<|im_start",
        "<|end|>": "<|think",
    }
    return opening.lower().startswith(pairs[closing.lower()])


def _begins_line(before: str) -> bool:
    return not before.rpartition("\n")[2].strip()
