"""An attempt as numbered steps."""

from __future__ import annotations

import re

from vitarmm_agent.answers.normalise import clean
from vitarmm_agent.problem import Step

MAX_STEPS = 200
MAX_STEP_TEXT = 4_000
MAX_TEXT = 200_000

_NUMBERED = re.compile(
    r"^[ \t>*_#]{0,6}(?:step\s*)?\(?\d{1,3}(?:[.):](?!\d)|\s+-(?!\s*+[\d$€£(\\]))[*_]*\s+|^[ \t>*_#]{0,6}step\s*\d{1,3}\b[.:)*_ -]*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•‣▪]|–)\s+")
_INDENT = re.compile(r"^\s{2,}\S")


def parse_steps(text: str) -> tuple[Step, ...]:
    """A response as steps, numbered from 1 in order of appearance.

    Numbered lines (``1.``, ``2)``, ``Step 3:``) open a step, and the lines below belong to it, up
    to a line that states the final answer. Without numbered lines, bullets do the
    same; without those each non-empty line is a step. The line that states the final answer is
    kept, as a step of its own. At most 200 steps of 4,000 characters of the first 200,000
    characters.
    """
    lines = clean(text[:MAX_TEXT]).split("\n")
    opener = next(
        (p for p in (_NUMBERED, _BULLET) if sum(bool(p.match(x)) for x in lines) >= 2), None
    )
    if opener is None and sum(bool(_NUMBERED.match(x)) for x in lines) == 1:
        opener = _NUMBERED
    blocks = _lines(lines) if opener is None else _blocks(lines, opener)
    return tuple(
        Step(number=number, text=block[:MAX_STEP_TEXT])
        for number, block in enumerate(blocks[:MAX_STEPS], start=1)
    )


_FINAL = re.compile(
    r"^[ \t>*_#]*(?:(?:the\s+)?(?:final\s+|correct\s+)?answer\b|A\s*:|####|\$*\\boxed)",
    re.IGNORECASE,
)


def is_numbered(text: str) -> bool:
    """Whether a text begins with a numbered step."""
    return bool(_NUMBERED.match(text))


def is_final_line(line: str) -> bool:
    """Whether a line does nothing but state the final answer."""
    return len(line) <= 300 and bool(_FINAL.match(line))


def _lines(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip(" \t*_#-=")]


def _blocks(lines: list[str], opener: re.Pattern[str]) -> list[str]:
    blocks: list[str] = []
    for line in lines:
        stripped = line.strip()
        if not stripped:
            continue
        match = opener.match(line)
        if match:
            rest = line[match.end() :].strip()
            blocks.append(rest.strip("*_ ") if not rest.strip("*_ ") else rest)
        elif is_final_line(stripped) or not blocks:
            blocks.append(stripped)
        else:
            blocks[-1] = f"{blocks[-1]}\n{stripped}".strip()
    return [block for block in blocks if block]
