"""Tags of XML and HTML that a model puts round its steps and answers."""

from __future__ import annotations

import re

from vitarmm_agent.thinking import without_thinking

_ATTRIBUTE = r"""\s+[\w:-]{1,30}\s?=\s?(?:"[^"<>\n]{0,100}"|'[^'<>\n]{0,100}'|[\w.-]{1,30})"""
_TAG = re.compile(
    rf"<(?P<end>/)?(?P<name>[A-Za-z][A-Za-z_:-]{{1,30}}|[biups]|h[1-6])[_ -]?(?P<number>\d{{1,3}})?"
    rf"(?P<attributes>(?:{_ATTRIBUTE}){{0,6}})\s?/?>"
)
_BRACKETS = re.compile(r"\[(/?)ANSWER\]")
_INLINE = frozenset("b i u s em strong code span mark small font sub a".split())


def spoken(text: str) -> str:
    """``text`` without what was thought aloud and without tags.

    Tags that part it become line breaks, others go: ``<step n="2">`` becomes ``Step 2:``, ``<answer>``
    becomes ``Answer:``, and ``5<sup>2</sup>`` 5^(2).
    """
    text = without_thinking(text)
    text = (
        _BRACKETS.sub(lambda tag: "\n" if tag[1] else "\nAnswer: ", text) if "]" in text else text
    )
    return _TAG.sub(_replacement, text) if "<" in text else text


def _replacement(tag: re.Match[str]) -> str:
    name, ends = tag["name"].lower(), bool(tag["end"])
    if name == "sup":
        return ")" if ends else "^("
    if name in _INLINE:
        return ""
    if ends or name not in ("step", "answer"):
        return "\n"
    if name == "answer":
        return "\nAnswer: "
    number = tag["number"] or "".join(re.findall(r"\d{1,3}", tag["attributes"])[:1])
    return f"\nStep {number}: " if number else "\n"
