"""The final answer that a response commits to.

Markers of commitment are looked for first (a box, ``#### N``, ``Answer: …``, "the answer is …"),
and the *last* one that holds an answer of the asked type wins. Only without any marker does the
conclusion count: the last sentence, or a response that is nothing but an answer. What commits to
nothing gives None.
"""

from __future__ import annotations

import re

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.amounts import called_out, gives_several, read_number, stated_number
from vitarmm_agent.answers.choices import choice_index, letter_index, letter_of
from vitarmm_agent.answers.denials import (
    ERROR,
    GIVEN_UP,
    UNDETERMINED,
    past_denial,
    says_nothing,
)
from vitarmm_agent.answers.markers import MAY_BE_A_STEP, Commitment, commitments
from vitarmm_agent.answers.named_choice import (
    ROUND_LETTER,
    named_alone,
    read_choice,
    single_mention,
)
from vitarmm_agent.answers.normalise import (
    SENTENCE,
    clean,
    first_sentence,
    list_items,
    plain,
    spoken,
    value_of,
    widths,
)
from vitarmm_agent.answers.structures import structure_of
from vitarmm_agent.numbers.reading import parse_number
from vitarmm_agent.problem import Problem

WINDOW = 20_000
"""Characters of a response that are read, from its end."""

MAX_PARTS = 20
"""Commitments, and parts in bold, that are read, from the end."""

_BARE_NUMBER = re.compile(r"\s*-?\d{1,18}\s*")
_A_LINE = re.compile(r"(?:^|\n)A: ?(-?\d{1,18})\s*$")
_A_LABEL = re.compile(r"A\s?:\s?(?=\w\w)")
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*(?!\s*:)")
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
_NOT = re.compile(r"\W{0,3}(?:not|nicht|pas|no es|não é|non è|не)\s", re.IGNORECASE)
"""Begins what is denied."""
_SIGNS = "".join(map(chr, (*range(0x2600, 0x27C0), *range(0x1F300, 0x1FB00), 0xFE0F)))
_MEANT = "✖✗✘❌❎➕➖➗"
"""Signs that say something: a cross takes back what it stands beside."""
_SIGN = f"[{''.join(sorted({*_SIGNS} - {*_MEANT}))}]"
_BESIDE = re.compile(
    rf"(?:(?<=[\n:])|^)[ \t]*+(?:{_SIGN}[ \t]*+)++"
    rf"|(?<![ \t])(?<!{_SIGN})[ \t]*+(?:{_SIGN}[ \t]*+)++(?=\n|$)"
)
"""Signs at an end of a line, or before an answer."""
_STATES = re.compile(
    r"(?:the|its|this|that|it|so)\b[^.\n]{0,80}?\s(?:is|are|was|equals)\s(.+)", re.IGNORECASE
)
_OPEN_END = re.compile(r"(?:\w|\d[.,/])\Z")
"""Ends what may go on, as ``7`` to ``70``."""


def extract_answer(problem: Problem, text: str) -> str | None:
    """The final answer ``text`` commits to, as it stands there; for a choice, its letter.

    Args:
        problem: its ``answer_type`` and ``choices`` say what an answer looks like; its reference
            is not looked at.
        text: a response of any size; its last 20,000 characters are read.

    Returns:
        The answer, or None when the response commits to none. What was thought aloud is not read.
    """
    text = spoken(text)
    if problem.answer_type != "choice":  # the two commonest forms, without further ado
        if _BARE_NUMBER.fullmatch(text):
            return text.strip()
        if match := _A_LINE.search(text[-40:]):
            return match[1]
    text = readable(problem, text)
    if not text:
        return None
    whole = _read(problem, text) if len(text) <= 200 and "\n" not in text else None
    if whole is not None and _is_only_answer(problem, text):
        return whole
    decided, answer = _behind_markers(problem, text, _commitments(problem, text))
    return answer if decided else conclusion(problem, text)


def committed_answer(problem: Problem, text: str, *, cut: bool = True) -> str | None:
    """The answer behind the last marker of commitment, and nothing else.

    For a reply that is no whole one: its last sentence is no conclusion, and the last number in it may
    be one on the way. "The result is 5" says the same of a step, so only a box, ``####``,
    ``Answer: …`` and "the answer is …" count; and of a text that was ``cut``, no number that ends with it.
    """
    text = spoken(text)
    goes_on = cut and problem.answer_type != "choice" and bool(_OPEN_END.search(text[-3:]))
    text = readable(problem, text)
    boxes = dict(latex.boxes(text))
    found = [
        one
        for one in _commitments(problem, text)
        if not MAY_BE_A_STEP.match(text, one.at)
        and not (one.at in boxes and text.endswith(one.content))  # the box itself is cut
    ]
    if goes_on and found and text.endswith(last := found[-1].content):
        answer = _read(problem, last, strong=found[-1].strong)
        if answer is not None and last.rstrip(".,/").endswith(answer):
            return None  # 7 of 70
    return _behind_markers(problem, text, found)[1]


def readable(problem: Problem, text: str) -> str:
    """The end of what was ``spoken``, as it is read: usual widths, and no signs such as ✅ beside an answer.

    Signs stay where they may be the answer.
    """
    text = widths(clean(text[-WINDOW:])).strip()
    adorned = not text.isascii() and problem.answer_type in ("choice", "integer", "float")
    if not adorned or re.search(_SIGN, f"{problem.text} {problem.choices}"):
        return text
    return _BESIDE.sub(" ", text).strip()


def read_answer(problem: Problem, text: str, *, cut: bool, unfinished: bool = False) -> str | None:
    """:func:`extract_answer`, or :func:`committed_answer` of a reply that was cut off or goes on elsewhere."""
    if cut or unfinished:
        return committed_answer(problem, text, cut=cut)
    return extract_answer(problem, text)


def _commitments(problem: Problem, text: str) -> list[Commitment]:
    return commitments(text, letters=problem.answer_type == "choice")


def _behind_markers(
    problem: Problem, text: str, found: list[Commitment]
) -> tuple[bool, str | None]:
    """Whether the markers decide what the answer is, and the answer."""
    found = found[-MAX_PARTS:]
    if found and _gives_up(problem, text, found[-1].at):
        return True, None
    decided = False
    if found and _is_blank(text, found[-1]):
        found, decided = found[:-1], True
    for _, content, strong in reversed(found):
        answer = _read(problem, content, strong=strong)
        if answer is not None:
            return True, answer
        if strong and content.strip(" .*$\n"):
            decided = True  # it commits to what is no answer of the type asked for
            if not _is_working(problem, content):
                break
        elif _is_no_answer(problem, sentence := first_sentence(content)) or (
            plain(sentence) and says_nothing(sentence, asked=problem.text)
        ):
            decided = True
            break
    return decided, None


def _is_blank(text: str, last: Commitment) -> bool:
    """Whether the last marker stands before nothing: ``Answer:``, ``{"answer": ""}``."""
    box = text.startswith(("\\boxed", "\\fbox"), last.at)
    nothing = not last.content.strip(" .*$\n`'\"")
    return nothing and not box and (last.strong or not text[last.at :].count("\n"))


def _is_working(problem: Problem, content: str) -> bool:
    """Whether a box holds a formula where a choice is asked for: the letter may stand before it."""
    bare = plain(content)
    return (
        problem.answer_type == "choice"
        and bool(re.search(r"[\\=<>^_≤≥≈]", bare))
        and not re.search(r"[^\W\d_]{3,}", re.sub(r"\\[a-zA-Z]+", "", bare))
        and not _is_no_answer(problem, content)
    )


def _is_no_answer(problem: Problem, part: str) -> bool:
    """Whether several numbers are given for one, or one that is none of the choices, all of them numbers."""
    if problem.answer_type in ("integer", "float"):
        return gives_several(plain(part))
    if problem.answer_type != "choice" or (number := stated_number(part)) is None:
        return False
    numbers = all(parse_number(plain(choice)) is not None for choice in problem.choices)
    return numbers and choice_index(problem.choices, number) is None


def _gives_up(problem: Problem, text: str, committed_at: int) -> bool:
    """Whether the last commitment is conditional, and the last sentence says there is no answer."""
    before = re.split(r"[.!?\n]", text[max(0, committed_at - 300) : committed_at])[-1]
    if not re.match(r"\W*(?:if|otherwise|unless)\b", before, re.IGNORECASE):
        return False
    last = (sentences_of(problem, text) or [""])[-1]
    return text.rfind(last) > committed_at and bool(UNDETERMINED.search(last))


def _is_only_answer(problem: Problem, text: str) -> bool:
    if problem.answer_type == "choice":
        labelled = _A_LABEL.match(text)  # "A: no" where (A) is yes
        other = labelled and choice_index(problem.choices, text[labelled.end() :])
        return not other and choice_index(problem.choices, text) is not None
    if problem.answer_type == "list":
        return text[:1] in "[({" and not commitments(text)
    return value_of(text) is not None


def _read(problem: Problem, content: str, *, strong: bool = True) -> str | None:
    """The answer of the asked type at the head of ``content``, or None."""
    if problem.answer_type == "choice" and choice_index(problem.choices, content) is not None:
        return read_choice(problem.choices, content)  # it may begin with "not"
    if _NOT.match(content):
        if not (at := past_denial(content)) and problem.answer_type != "text":
            return None
        content = content[at:]
    if problem.answer_type == "choice":
        return read_choice(problem.choices, content)
    if problem.answer_type in ("integer", "float"):
        return read_number(content, strong=strong)
    if problem.answer_type == "list":
        answer = _read_list(content)
    else:
        answer = _read_text(content)
    return None if answer is None or says_nothing(answer, asked=problem.text) else answer


def _read_list(content: str) -> str | None:
    if boxed := latex.boxes(content):
        content = boxed[-1][1]
    line = first_sentence(content)
    structure = structure_of(line)
    if structure is not None and structure.bracketed:
        return line.strip(" .*$")
    match = re.search(r"[\[{(][^\[\](){}\n]*[\])}]", latex.to_plain(content[:2000]))
    if match:
        return match[0]
    return line.strip(" .*") if len(list_items(line)) > 1 else None


def _read_text(content: str) -> str | None:
    if boxed := latex.boxes(content):
        content = boxed[-1][1]
    line = content.strip().split("\n")[0]
    sentence = first_sentence(line)
    bare = sentence.rstrip(f"{_SIGNS} \t\n")
    sentence = bare if sentence[len(bare) :][:1].isspace() else sentence
    if sentence.strip(" $.") == "{}":
        return "{}"
    said = sentence.strip().strip("*_` ")
    said = said if re.search(r"\.\d{1,400}\.{3}$", said) else said.rstrip(".")
    return plain(sentence) and said.strip() or None


def conclusion(problem: Problem, text: str) -> str | None:
    """The answer of the conclusion, when the response has no marker of commitment.

    It is in bold, else in the last "Therefore, …", else in the last two sentences but polite closings.
    """
    sentences = sentences_of(problem, text)
    if not sentences or ERROR.match(text) and len(sentences) == 1:
        return None
    if problem.answer_type == "choice":
        return _concluded_choice(problem, text, sentences)
    if problem.answer_type in ("integer", "float"):
        return _concluded_number(sentences)
    if problem.answer_type == "list":
        concluded = next((item for s in reversed(sentences) if (item := _read_list(s))), None)
    else:
        concluded = _concluded_text(text, sentences)
    return None if concluded is None or says_nothing(concluded, asked=problem.text) else concluded


def sentences_of(problem: Problem, text: str) -> list[str]:
    """Sentences of a response without polite closings and without the choices listed once more."""
    found = [s for s in SENTENCE.split(text) if s and s.strip(" *_-`#") and not _CLOSING.match(s)]
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
    alone = named_alone(sentences)
    for part in [*_bold(sentences), *drawn, *alone, *reversed(sentences[-2:])]:
        ends = part in drawn or part is sentences[-1]
        if ends and not ROUND_LETTER.search(part) and _is_no_answer(problem, part):
            return None
        said = part[drawing.end() :].lstrip(" ,:") if (drawing := _THEREFORE.match(part)) else part
        said = said[past_denial(said) :]
        for read in (part, said):
            if (letter := read_choice(problem.choices, read)) is not None:
                return letter
        number = stated_number(part)
        if number is not None and all(value_of(choice) is not None for choice in problem.choices):
            index = choice_index(problem.choices, number)
            if index is not None:
                return letter_of(index)
    return single_mention(problem.choices, "\n".join(sentences))


def _concluded_number(sentences: list[str]) -> str | None:
    if not _drawn(sentences) and any(map(GIVEN_UP.search, sentences[-3:])):
        return None
    for part in [*_bold(sentences), *_drawn(sentences)[:1], *reversed(sentences[-2:])]:
        for stated in [*_bold([part]), called_out(part)]:
            if (answer := stated_number(stated)) is not None:
                return answer
        if gives_several(plain(part)):
            return None
    return None


def _concluded_text(text: str, sentences: list[str]) -> str | None:
    last = sentences[-1]
    if bold := _bold([last]):
        return bold[0].strip()
    math = re.findall(r"\$([^$\n]{1,200})\$", last)
    tail = (math[-1] if math else last).rsplit("=", 1)
    if len(tail) == 2 and plain(tail[1]):
        return tail[1].strip(" .$*")
    if len(text) <= 80 and len(sentences) == 1:
        said = text[drawing.end() :].lstrip(" ,:") if (drawing := _THEREFORE.match(text)) else text
        states = _STATES.fullmatch(said)
        for value in ((states[1] if states else said).split("≈")[0].strip(" ."), said.strip(" .")):
            if value_of(value) is not None:
                return value
        return plain(text) or (text if text == "{}" else None)
    return stated_number(last)
