"""The final answer that a response commits to.

Markers of commitment are looked for first (a box, ``#### N``, ``Answer: …``, "the answer is …"),
and the *last* one that holds an answer of the asked type wins. Only without any marker does the
conclusion count: the last sentence, or a response that is nothing but an answer. What commits to
nothing gives None.
"""

from __future__ import annotations

import re

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.choices import choice_index, letter_index, letter_of, mentioned
from vitarmm_agent.answers.normalise import clean, list_items, plain, value_of
from vitarmm_agent.numbers.reading import UNSIGNED, WORDS, fold_digits, parse_number
from vitarmm_agent.problem import Problem
from vitarmm_agent.thinking import without_thinking

WINDOW = 20_000
"""Characters of a response that are read, from its end."""

MAX_PARTS = 20
"""Commitments, and parts in bold, that are read, from the end."""

_BARE_NUMBER = re.compile(r"\s*-?\d{1,18}\s*")
_A_LINE = re.compile(r"(?:^|\n)A: ?(-?\d{1,18})\s*$")
_MARK = r"[*_`\s]{0,6}"
_NOUN = r"(?:answer|option|choice|solution|result)"
_MARKERS = re.compile(
    rf"(?P<hash>(?:^|\n)[ \t]*####[ \t]*)"
    rf"|(?P<line>(?:^|\n)[ \t>*_#-]{{0,6}}A{_MARK}[:：]{_MARK})"
    rf"|(?P<colon>\b(?:answer|option|choice)\b(?:\s*\([^()\n]{{0,40}}\))?{_MARK}[:：]{_MARK})"
    rf"|(?P<is>\b(?:{_NOUN})(?:\s+(?:choice|option|letter))?(?:\s+(?:to|for|of)\s+[^.\n]{{1,80}}?)?"
    rf"\s+(?:is|are|must be|should be|would be|will be|was)\b\s*"
    rf"(?:therefore|thus|then|that)?\s*:?{_MARK})"
    r"|(?P<zh>(?:答案|选项)(?:应该)?(?:是|为|：|:)\s*)",
    re.IGNORECASE,
)
_MAY_BE_A_STEP = re.compile(r"(?:result|solution)\b", re.IGNORECASE)
_BEHIND = re.compile(r"[^\n]{0,400}(?:\n(?!\s*\n)[^\n]{0,400})?")
_SENTENCE = re.compile(r"(?<=[.!?。])[\"')*\]]*\s+(?=\S)|\n+")
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*(?!\s*:)")
_STATING = re.compile(
    r"(?:=|≈|\bis|\bare|\bwas|\bwere|\bequals|\bbe)\s*+(?:about|approximately|exactly)?\s*+[^\w\s]?\s*+$"
)
STATING = 60
"""Characters before a number in which a word that states it is looked for."""
_THEREFORE = re.compile(
    r"[\W_]*(?:and\s+)?(?:therefore|thus|so|hence|in conclusion|consequently|finally|overall|"
    r"we (?:get|have|find) that|this means(?: that)?|because of this|accordingly|∴|⇒)\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"[\W_]*(?:i hope (?:this|that|it)|let me know|is there anything else|please let me know|"
    r"if you have any|feel free|hope this helps|note that|please note|would you like)",
    re.IGNORECASE,
)
_OPTION_LINE = re.compile(r"\W{0,3}\(?([A-Z])[).:]\s*")
_SEVERAL = re.compile(
    r"\W{0,3}[A-Z]\b\)?\s*+(?:,|and\b|or\b|&)\s*+(?:and\b|or\b)?\s*+\(?[A-Z](?:\)|\b(?!['’]))"
)
UNDETERMINED = re.compile(
    r"\b(?:cannot|can't|can not|could not|not possible to|impossible to|unable to|not clear)\b"
    r"[^.\n]{0,60}\b(?:determine|answer|provide|identify|tell|say|calculate|find|see|if|which|whether)",
    re.IGNORECASE,
)
"""A response that says it has no answer."""
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ROUND_LETTER = re.compile(r"\(\s*([A-Za-z])\s*\)")
_AMOUNT = re.compile(
    rf"(?<![\w.])(?P<sign>-\s?)?(?:[$€£¥]\s?)?(?P<sign2>-)?"
    rf"(?P<amount>(?:\d+\s+)?\d+\s*/\s*\d+|{UNSIGNED}(?:\s*(?:\*|×|x)\s*10\s*\^\s*\(?-?\d+\)?)?)"
    r"(?P<tail>\s*(?:%|(?:hundred|thousand|million|billion|trillion)s?\b))?"
)


def extract_answer(problem: Problem, text: str) -> str | None:
    """The final answer ``text`` commits to, as it stands there; for a choice, its letter.

    Args:
        problem: its ``answer_type`` and ``choices`` say what an answer looks like; its reference
            is not looked at.
        text: a response of any size; its last 20,000 characters are read.

    Returns:
        The answer, or None when the response commits to none.
    """
    if problem.answer_type != "choice":  # the two commonest forms, without further ado
        if _BARE_NUMBER.fullmatch(text):
            return text.strip()
        if match := _A_LINE.search(text[-40:]):
            return match[1]
    text = widths(clean(text[-WINDOW:])).strip()
    if not text:
        return None
    whole = _read(problem, text) if len(text) <= 200 and "\n" not in text else None
    if whole is not None and _is_only_answer(problem, text):
        return whole
    decided, answer = _behind_markers(problem, text, commitments(text))
    return answer if decided else conclusion(problem, text)


def committed_answer(problem: Problem, text: str) -> str | None:
    """The answer behind the last marker of commitment, and nothing else.

    For a reply that was cut off: its last sentence is no conclusion, and the last number in it may
    be one on the way. "The result is 5" says the same of a step, so only a box, ``####``,
    ``Answer: …`` and "the answer is …" count.
    """
    text = widths(clean(text[-WINDOW:])).strip()
    boxes = dict(latex.boxes(text))
    found = [
        (at, content, strong)
        for at, content, strong in commitments(text)
        if not _MAY_BE_A_STEP.match(text, at)
        and not (at in boxes and text.endswith(content))  # the box itself is cut
    ]
    return _behind_markers(problem, text, found)[1]


def read_answer(problem: Problem, text: str, *, cut: bool) -> str | None:
    """:func:`extract_answer`, or :func:`committed_answer` of a reply that was cut off.

    What was thought aloud is not read.
    """
    said = without_thinking(text)
    return committed_answer(problem, said) if cut else extract_answer(problem, said)


def _behind_markers(
    problem: Problem, text: str, found: list[tuple[int, str, bool]]
) -> tuple[bool, str | None]:
    """Whether the markers decide what the answer is, and the answer."""
    found = found[-MAX_PARTS:]
    if found and _gives_up(problem, text, found[-1][0]):
        return True, None
    for _, content, strong in reversed(found):
        answer = _read(problem, content)
        if answer is not None:
            return True, answer
        if strong and content.strip(" .*$\n"):
            return True, None  # it commits to what is no answer of the type asked for
    return False, None


def widths(text: str) -> str:
    """Full-width letters, digits and brackets as their usual forms."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def commitments(text: str) -> list[tuple[int, str, bool]]:
    """What stands behind each marker of commitment: ``(position, content, strong)`` in order.

    Strong is a marker that is used for nothing else: a box, ``####``, a line ``A: …``.
    """
    found = [(at, content, True) for at, content in latex.boxes(text)]
    inside = [(at, at + len(content)) for at, content, _ in found]
    for match in _MARKERS.finditer(text):
        if any(start <= match.start() <= end for start, end in inside):
            continue
        strong = match.lastgroup in ("hash", "line")
        behind = _BEHIND.match(text, match.end())
        content = behind[0] if behind else ""
        found.append((match.start(), content.split("\n")[0] if strong else content, strong))
    return sorted(found)


def _gives_up(problem: Problem, text: str, committed_at: int) -> bool:
    """Whether the last commitment is conditional, and the last sentence says there is no answer."""
    before = re.split(r"[.!?\n]", text[max(0, committed_at - 300) : committed_at])[-1]
    if not re.match(r"\W*(?:if|otherwise|unless)\b", before, re.IGNORECASE):
        return False
    last = (sentences_of(problem, text) or [""])[-1]
    return text.rfind(last) > committed_at and bool(UNDETERMINED.search(last))


def _is_only_answer(problem: Problem, text: str) -> bool:
    if problem.answer_type == "choice":
        return choice_index(problem.choices, text) is not None
    if problem.answer_type == "list":
        return text[:1] in "[({"
    return value_of(text) is not None


def _read(problem: Problem, content: str) -> str | None:
    """The answer of the asked type at the head of ``content``, or None."""
    if problem.answer_type == "choice":
        return _read_choice(problem, content)
    if problem.answer_type in ("integer", "float"):
        return _read_number(content)
    if problem.answer_type == "list":
        return _read_list(content)
    return _read_text(content)


def _read_choice(problem: Problem, content: str) -> str | None:
    choices = problem.choices
    if _SEVERAL.match(plain(content)) and choice_index(choices, content) is None:
        return None  # it names more than one
    for candidate in (content, content.split("\n")[0], _first_sentence(content)):
        index = choice_index(choices, candidate)
        if index is not None:
            return letter_of(index)
    boxed = latex.boxes(content)
    bare = plain(boxed[-1][1] if boxed else content)
    head = re.match(
        r"(?:(?:option|choice|answer|letter|is|the|correct)\s++)*[\[({]?\s*+(?P<letter>[A-Z])\s*+(?:[\])}.,:;]|$|(?<=\s)-)",
        bare,
    ) or re.match(r"[\[({]\s*+(?P<letter>[A-Za-z])\s*+[\])}]", bare)
    if head and (index := letter_index(head["letter"], len(choices))) is not None:
        return letter_of(index)
    return _single_mention(choices, content)


def _single_mention(choices: tuple[str, ...], content: str) -> str | None:
    """The one choice named in ``content`` by bracketed letter or by text."""
    letters = {letter_index(m, len(choices)) for m in _ROUND_LETTER.findall(content)} - {None}
    if len(letters) == 1:
        return letter_of(letters.pop() or 0)
    named = mentioned(choices, content)
    if len({index for _, index in named}) == 1:
        return letter_of(named[0][1])
    return None


def _first_sentence(content: str) -> str:
    return _SENTENCE.split(content.strip(), maxsplit=1)[0]


def _read_number(content: str) -> str | None:
    if boxed := latex.boxes(content):
        content = boxed[-1][1]
    line = content.strip().split("\n")[0] or content.strip()
    bare = plain(line)
    if parse_number(line) is not None:
        return bare
    if "=" in bare and value_of(tail := bare.rsplit("=", 1)[1].strip()) is not None:
        return tail
    if value_of(line) is not None:
        return bare
    for match in _AMOUNT.finditer(fold_digits(bare)):
        return _amount_text(match)
    words = re.match(r"[A-Za-z-]+(?:\s+[A-Za-z-]+){0,3}", bare)
    if words:
        for count in range(4, 0, -1):
            part = " ".join(words[0].split()[:count])
            if parse_number(part) is not None:
                return part
    return None


def _amount_text(match: re.Match[str]) -> str:
    sign = "-" if match["sign"] or match["sign2"] else ""
    return f"{sign}{match['amount']}{match['tail'] or ''}".strip()


def _read_list(content: str) -> str | None:
    if boxed := latex.boxes(content):
        content = boxed[-1][1]
    match = re.search(r"[\[{(][^\[\](){}\n]*[\])}]", latex.to_plain(content[:2000]))
    if match:
        return match[0]
    line = _first_sentence(content)
    return line.strip(" .*") if len(list_items(line)) > 1 else None


def _read_text(content: str) -> str | None:
    if boxed := latex.boxes(content):
        content = boxed[-1][1]
    line = content.strip().split("\n")[0]
    sentence = _first_sentence(line)
    return plain(sentence) and sentence.strip().strip("*_` ").rstrip(".").strip() or None


def conclusion(problem: Problem, text: str) -> str | None:
    """The answer of the conclusion, when the response has no marker of commitment.

    Looked at are, in this order: what is set in bold; the last sentence that draws a
    conclusion ("Therefore, …"); the last two sentences. Polite closings are left out.
    """
    sentences = sentences_of(problem, text)
    if not sentences:
        return None
    if problem.answer_type == "choice":
        return _concluded_choice(problem, text, sentences)
    if problem.answer_type in ("integer", "float"):
        return _concluded_number(sentences)
    if problem.answer_type == "list":
        return next((item for s in reversed(sentences) if (item := _read_list(s))), None)
    return _concluded_text(text, sentences)


def sentences_of(problem: Problem, text: str) -> list[str]:
    """Sentences of a response without polite closings and without the choices listed once more."""
    found = [s for s in _SENTENCE.split(text) if s and s.strip(" *_-`#") and not _CLOSING.match(s)]
    listed = [i for i, s in enumerate(found) if _OPTION_LINE.match(s) and _restates(problem, s)]
    if len(listed) < min(3, len(problem.choices)):
        return found
    return [s for i, s in enumerate(found) if i not in listed]


def _restates(problem: Problem, line: str) -> bool:
    match = _OPTION_LINE.match(line)
    index = letter_index(match[1], len(problem.choices)) if match else None
    return index is not None and line[match.end() :].strip() == problem.choices[index].strip()  # type: ignore[union-attr]


def _drawn(sentences: list[str]) -> list[str]:
    """Sentences that draw a conclusion, the last first."""
    return [s for s in reversed(sentences) if _THEREFORE.match(s)]


def _bold(sentences: list[str]) -> list[str]:
    """What is set in bold and is no heading, the last first."""
    bold = [b for s in sentences for b in _BOLD.findall(s) if b[-1] != ":"]
    return bold[: -MAX_PARTS - 1 : -1]


def _concluded_choice(problem: Problem, text: str, sentences: list[str]) -> str | None:
    drawn = _drawn(sentences)[:1]
    for part in [*_bold(sentences), *drawn, *reversed(sentences[-2:])]:
        if (letter := _read_choice(problem, part)) is not None:
            return letter
        number = stated_number(part)
        if number is not None and all(value_of(choice) is not None for choice in problem.choices):
            index = choice_index(problem.choices, number)
            if index is not None:
                return letter_of(index)
            if part in drawn:
                return None
    text = "\n".join(sentences)
    letters = {letter_index(m, len(problem.choices)) for m in _ROUND_LETTER.findall(text)} - {None}
    if len(letters) == 1:
        return letter_of(letters.pop() or 0)
    named = mentioned(problem.choices, text)
    return letter_of(named[-1][1]) if len({index for _, index in named}) == 1 else None


def _concluded_number(sentences: list[str]) -> str | None:
    for part in [*_bold(sentences), *_drawn(sentences)[:1], *reversed(sentences[-2:])]:
        bold = _bold([part])
        for stated in [*bold, part]:
            if (answer := stated_number(stated)) is not None:
                return answer
    return None


def stated_number(sentence: str) -> str | None:
    """The number a sentence states: behind "is", "are", "=" or "equals", else its last one."""
    bare = plain(sentence)
    folded = fold_digits(bare)
    matches = list(_AMOUNT.finditer(folded))
    stated = [m for m in matches if _STATING.search(folded, max(0, m.start() - STATING), m.start())]
    if stated:
        return _amount_text(stated[-1])
    word = re.search(
        rf"\b(?:is|are|was|were|=|has|have)\s+({'|'.join(WORDS)})\b", bare, re.IGNORECASE
    )
    if word:
        return word[1]
    if matches:
        return _amount_text(matches[-1])
    return bare if parse_number(bare) is not None else None


def _concluded_text(text: str, sentences: list[str]) -> str | None:
    last = sentences[-1]
    if bold := _bold([last]):
        return bold[0].strip()
    math = re.findall(r"\$([^$\n]{1,200})\$", last)
    tail = (math[-1] if math else last).rsplit("=", 1)
    if len(tail) == 2 and plain(tail[1]):
        return tail[1].strip(" .$*")
    if len(text) <= 80 and len(sentences) == 1:
        return plain(text) or None
    return stated_number(last)
