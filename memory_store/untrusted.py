"""Entry text is data that models and people wrote: made harmless for a prompt, and checked.

Neutralising breaks what a chat template or tokenizer could take for structure and leaves the words
readable. Checking finds text that talks to the model instead of about problems; such an entry is
written but waits for review.
"""

from __future__ import annotations

import re
import unicodedata

from vitarmm_agent.memory_store.schema import MemoryEntry

MAX_FIELD = 800
"""Characters of one field in a prompt."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_BREAKS = [
    (re.compile(r"<(?=[|/!?\w])"), "< "),  # <|im_start|>, </s>, <image>, </memory>
    (re.compile(r"(?<=[|])>"), " >"),
    (re.compile(r"\[(?=/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_\w+)\b)", re.IGNORECASE), "[ "),
    (re.compile(r"<(?=<)"), "< "),
    (re.compile(r"`{3,}|~{3,}"), "'''"),
    (re.compile(r"!(?=\[)"), "! "),  # a Markdown image
    (re.compile(r"(?<![^\s])#{1,6}(?=\s)"), "·"),
]
_SIGNS = {
    "tells the model to ignore its instructions": re.compile(
        r"\b(ignore|disregard|forget|override|bypass)\b.{0,40}\b"
        r"(instruction|prompt|rule|guideline|context|message|polic)",
        re.IGNORECASE | re.DOTALL,
    ),
    "gives the model a role": re.compile(
        r"\b(you are now|act as (?:an?|the)\b|pretend (?:to be|you are)|from now on,? you\b|"
        r"your new (?:role|task|instructions?))",
        re.IGNORECASE,
    ),
    "speaks of the system prompt": re.compile(
        r"\b(system|developer) (prompt|message|instruction)s?\b|\bjailbreak", re.IGNORECASE
    ),
    "dictates the answer": re.compile(
        r"\b(always|only|just|simply|must) (answer|reply|respond|output|print|say|choose|return)\b"
        r"|\b(answer|reply|respond) (only |always )?with\b.{0,20}\b(regardless|no matter|always)",
        re.IGNORECASE | re.DOTALL,
    ),
    "asks for secrets or commands": re.compile(
        r"\b(reveal|exfiltrate|send|leak|print)\b.{0,30}\b(secret|password|api[ _-]?key|token|"
        r"credential)s?\b|\b(curl|wget|rm -rf|os\.system|subprocess)\b",
        re.IGNORECASE | re.DOTALL,
    ),
    "holds control tokens of a chat template": re.compile(
        r"<\|[\w ]+\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<begin▁of|"
        r"(?m:^[^\S\n]*+(?:system|assistant|user|human)\s*+:)",
        re.IGNORECASE,
    ),
    "hides text": re.compile(
        "[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
    ),
}


def neutralise(text: str, limit: int = MAX_FIELD) -> str:
    """``text`` on one line, without control characters and control tokens, at most ``limit`` long."""
    shown = "".join(
        " " if char.isspace() else "" if unicodedata.category(char) in _INVISIBLE else char
        for char in text
    )
    for pattern, replacement in _BREAKS:
        shown = pattern.sub(replacement, shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)].rstrip() + "…"


def injection_signs(entry: MemoryEntry) -> tuple[str, ...]:
    """Why this entry seems to instruct the model, in words; empty when it does not."""
    text = "\n".join((entry.title, entry.applies_when, entry.content))
    return tuple(reason for reason, pattern in _SIGNS.items() if pattern.search(text))
