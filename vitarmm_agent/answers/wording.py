"""The words in which a reply names its choice, and the letter and the text of a choice in them."""

from __future__ import annotations

import re

from vitarmm_agent.answers.choices import letter_index, with_value
from vitarmm_agent.answers.extract import MAX_PARTS, extract_answer, readable
from vitarmm_agent.answers.markers import commitments
from vitarmm_agent.answers.normalise import fold, plain, spoken
from vitarmm_agent.problem import Problem

MAX_WORDING = 500
_PAIR = re.compile(
    r"(?i:(?:the\s)?(?:option|choice|answer|letter)\s)?[(\[]?"
    r"(?P<letter>[A-Z]|[a-z](?=[)\]]))(?P<mark>[)\]]?\s?[.:,=]|[)\]]|\s[-–—](?=\s)|\s(?=[-–−]\d)|\s?(?=\())\s?(?P<text>.+)"
)
_BEHIND = re.compile(r"(?P<text>.+?)\s?[(\[](?P<letter>[A-Z])[)\]]")
_LEADING = re.compile(r"\A[\W_]*+(?:so|therefore|thus|hence)\b[\s,:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?;]\s|\s(?:is|are)\s(?:the\s)?(?:correct|right|best)\b")


def letter_and_text(problem: Problem, wording: str) -> tuple[int, int] | None:
    """The choice whose letter is named, and another whose text stands beside it: ``B) dog`` or ``dog (B)`` where B is owl.

    None where the two agree, or where nothing else than a letter and a choice's text is said.
    """
    bare = plain(wording.strip()[:MAX_WORDING].split("\n")[0])
    match = _PAIR.match(bare) or _BEHIND.fullmatch(bare)
    if not match:
        return None
    named = letter_index(match["letter"], len(problem.choices))
    if named is None:
        return None
    for text in (match["text"], _SENTENCE_END.split(match["text"])[0]):
        found = _with_text(problem, text)
        if named in found:
            return None
        if found:
            return named, found[0]
    return None


def _with_text(problem: Problem, text: str) -> list[int]:
    """Choices with this text, or else with this value. A letter is none."""
    key = fold(text)
    if len(key) == 1 and key.isalpha():
        return []
    same = [i for i, choice in enumerate(problem.choices) if key and fold(choice) == key]
    return same or with_value(problem.choices, text)


def wording_of(problem: Problem, text: str, answer: str, *, cut: bool) -> str | None:
    """What a reply says where it commits to its choice: behind its last marker, else its last line.

    Args:
        problem: with choices.
        text: the reply.
        answer: the letter that was read from it; what says another is passed over.
        cut: the reply was cut off: its last line is no conclusion.
    """
    text = readable(problem, spoken(text))
    found = commitments(text, letters=True)[-MAX_PARTS:]
    for at, content, _ in reversed(found):
        said = _with_line(text, at, content)
        if letter_and_text(problem, said) or extract_answer(problem, content) == answer:
            return said
    return None if cut or found else _LEADING.sub("", text.rpartition("\n")[2], count=1)


def _with_line(text: str, at: int, content: str) -> str:
    """What a marker commits to; of a letter alone, what stands behind it on its line too."""
    start = text.find(content, at)
    if start < 0 or len(plain(content)) > 1:
        return content
    line = text[start : start + MAX_WORDING].split("\n")[0]
    return re.sub(r"[*}$\"]+", "", line)
