"""An attempt as numbered steps."""

from __future__ import annotations

import re

from vitarmm_agent.answers.normalise import clean, spoken
from vitarmm_agent.problem import Attempt, Step

MAX_STEPS = 200
MAX_STEP_TEXT = 4_000
MAX_TEXT = 200_000

_NUMBERED = re.compile(
    r"^[ \t>*_#-]{0,6}(?:step\s*)?\(?(?P<number>\d{1,3})(?:[.):](?!\d)|\s+-(?!\s*+[\d$€£(\\]))[*_]*\s+"
    r"|^[ \t>*_#-]{0,6}step\s*(?P<step>\d{1,3})\b[.:)*_ -]*",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•‣▪]|–)\s+")


def parse_steps(text: str) -> tuple[Step, ...]:
    """A response as numbered steps.

    Numbered lines (``1.``, ``2)``, ``Step 3:``, ``<step>``) open a step, and the lines below belong to
    it, up to a line that states the final answer. Without numbered lines, bullets do the same;
    without those each non-empty line is a step. A step has the number that was written, where those
    rise, and else its place in the order. What stands before the first numbered step is none; an
    equation there belongs to the first. The line that states the final answer is kept, as a step of its
    own. Thinking and tags are left out. At most 200 steps of 4,000 characters of the first 200,000
    characters.
    """
    lines = clean(spoken(text[:MAX_TEXT])).split("\n")
    opener = next(
        (p for p in (_NUMBERED, _BULLET) if sum(bool(p.match(x)) for x in lines) >= 2), None
    )
    if opener is None and sum(bool(_NUMBERED.match(x)) for x in lines) == 1:
        opener = _NUMBERED
    blocks = _lines(lines) if opener is None else _blocks(lines, opener)
    kept = [(written, words) for written, words in blocks if words][:MAX_STEPS]
    return tuple(
        Step(number=number, text=words[:MAX_STEP_TEXT])
        for number, (_, words) in zip(_numbers([w for w, _ in kept]), kept, strict=True)
    )


def _numbers(written: list[int | None]) -> list[int]:
    """The numbers as written, each rising above the one before; else those of the order."""
    numbers: list[int] = []
    for number in written:
        before = numbers[-1] if numbers else 0
        numbers.append(before + 1 if number is None else number)
        if not before < numbers[-1] <= MAX_STEPS:
            return list(range(1, len(written) + 1))
    return numbers


_ANSWER_IN_OTHER_WORDS = (
    r"(?:antwort|réponse|respuesta|resposta|risposta|antwoord|odpowiedź|odpověď|ответ|cevap|svaret|svar|"
    r"vastaus|válasz|jawaban|đáp án|答案|答え|回答|정답|답)\s*[:：]"
)
_FINAL = re.compile(
    r"^[ \t>*_#]*(?:(?:the\s+)?(?:final\s+|correct\s+)?answer\b|A\s*:|####|\$*\\boxed"
    rf"|{_ANSWER_IN_OTHER_WORDS})",
    re.IGNORECASE,
)
_ENDS_IN_ANSWER = re.compile(
    rf"(?<=\S)\s++(?:(?:the\s+)?(?:final\s+)?answer\s*[:：]|{_ANSWER_IN_OTHER_WORDS})[^\n]{{1,300}}\Z",
    re.IGNORECASE,
)


def is_numbered(text: str) -> bool:
    """Whether a text begins with a numbered step."""
    return bool(_NUMBERED.match(text))


def is_final_line(line: str) -> bool:
    """Whether a line does nothing but state the final answer."""
    return len(line) <= 300 and bool(_FINAL.match(line))


def without_answer(step: str) -> str:
    """A step without the answer that its line goes on to state: ``4 * 5 = 20. Answer: 20``."""
    return _ENDS_IN_ANSWER.sub("", step)


def incomplete(solution: Attempt) -> str:
    """Why a solution shows nobody how to solve its problem; nothing where it does: it has steps and answer."""
    end = solution.text.rstrip().rpartition("\n")[2]
    if solution.cut or (solution.answer is None and not is_final_line(end)):
        return (
            "a solution must end in its answer; write a last line 'Answer: …'"
            f", got {solution.text[-200:]!r}"
        )
    if solution.answer is None:
        return f"a solution must end in an answer of the kind that is asked for, got {end[-200:]!r}"
    if all(is_final_line(step.text) for step in solution.steps):
        return f"a solution must have steps, got only {solution.text[:200]!r}"
    if too_long(solution):
        return (
            f"a solution has fewer than {MAX_STEPS} steps of less than {MAX_STEP_TEXT:,} characters"
        )
    return ""


def too_long(solution: Attempt) -> bool:
    """Whether a solution has as many steps, or one as long, as are read at most."""
    steps = solution.steps
    return len(steps) >= MAX_STEPS or any(len(step.text) >= MAX_STEP_TEXT for step in steps)


Block = tuple[int | None, str]
"""The number that was written, and the words."""


def _lines(lines: list[str]) -> list[Block]:
    return [(None, line.strip()) for line in lines if line.strip(" \t*_#-=")]


def _blocks(lines: list[str], opener: re.Pattern[str]) -> list[Block]:
    blocks: list[Block] = []
    before: list[str] = []
    for line in lines:
        stripped = line.strip()
        match = opener.match(line)
        if match:
            rest = line[match.end() :].strip()
            words = rest.strip("*_ ") if not rest.strip("*_ ") else rest
            blocks.append((_written(match), "\n".join([*before, words]).strip()))
            before = []
        elif stripped and is_final_line(stripped):
            blocks.append((None, stripped))
        elif stripped and blocks:
            number, words = blocks[-1]
            blocks[-1] = (number, f"{words}\n{stripped}".strip())
        elif "=" in stripped:
            before.append(stripped)
    return blocks


def _written(match: re.Match[str]) -> int | None:
    if match.re is not _NUMBERED:
        return None
    return int(match["number"] or match["step"])
