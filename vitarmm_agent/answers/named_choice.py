"""The choice that a reply names where it commits to one: by letter, by ordinal or by text."""

from __future__ import annotations

import re

from vitarmm_agent.answers import latex
from vitarmm_agent.answers.choices import choice_index, letter_index, letter_of, mentioned
from vitarmm_agent.answers.denials import DENIED, DENIED_BEHIND, FOLLOWED
from vitarmm_agent.answers.normalise import first_sentence, plain
from vitarmm_agent.numbers.units import TOUCHING

_SEVERAL = re.compile(
    r"\W{0,3}[A-Z]\b\)?\s*+(?:,|and\b|or\b|&)\s*+(?:and\b|or\b)?\s*+\(?[A-Z](?:\)|\b(?!['’]))"
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = re.compile(
    rf"\W*(?:the\s)?(?P<word>{'|'.join(_ORDINALS)})\s(?:option|choice|answer|one)(?:\sis\s(?:correct|right))?\W*",
    re.IGNORECASE,
)
_NOT_THAT = re.compile(r",\s(?:and\s)?not\s")
_TAKEN_BACK = (
    r"(?i:or|and|oder|und|ou|et|y|no|wrong|incorrect|false|falsch|faux|maybe|perhaps|actually)\b(?! the\b| other\b)"
    r"|[A-Za-z]\s?[)\]]"
)
_CLAUSE = (
    rf"(?:(?<=\s)[(\[]|\((?=[^\W\d_]{{2,}}\s))\s?(?!{_TAKEN_BACK})"
    r"[^()\[\]]*(?:\([^()]*\)[^()\[\]]*)?(?:[)\]](?!\s(?!is\s|because\s|since\s|as\s|and\s|so\s)[a-z])|$)"
)
"""A bracket behind a letter that says more of the choice, as ``(Venus is smaller)``."""
_HEAD = re.compile(
    r"(?:(?:(?i:maybe|perhaps|probably|likely|option|choice|answer|letter|the|correct|lettre|letra|lettera|opción|opção|opzione|antwort|"
    r"réponse|respuesta)|is|die|der|la|le|el|il|a|o)\s++|(?:选项?|選項|是|为)\s*+)*"
    rf"[\[({{<]?\s*+(?P<letter>[A-Z]){FOLLOWED}\s*+(?:[\])}}>.,:;]|$|(?<=\s)[-–—]|{_CLAUSE}"
    r"|(?<=\s)(?=(?:because|since|as|due|weil|da|car|porque|perché)\s)"
    rf"|[{TOUCHING}](?<![错误不]))"
)
ROUND_LETTER = re.compile(r"(?<!\bnot )\(\s*([A-Za-z])\s*\)")
_ALONE = re.compile(r"\W*[A-Z]\W*")
_RECONSIDERED = re.compile(
    r"(?<!\w)(?:[B-Z](?![\w'’])|A[).:,]|(?i:actually|wait|no|but|however|instead|rather|correction|sorry)\b)"
)
"""Names another letter, or may take one back."""


def read_choice(choices: tuple[str, ...], content: str) -> str | None:
    """The letter of the choice at the head of ``content``, what a reply commits to, or None."""
    if _SEVERAL.match(plain(content)) and choice_index(choices, content) is None:
        return None  # it names more than one
    sentence = first_sentence(content)
    for candidate in (content, content.split("\n")[0], sentence, _NOT_THAT.split(sentence)[0]):
        index = choice_index(choices, candidate)
        if index is not None:
            return letter_of(index)
    if (ordinal := _ORDINAL.fullmatch(sentence)) and len(choices) > 1:
        index = _ORDINALS.index(ordinal["word"].lower())
        return letter_of(index) if index < len(choices) else None
    boxed = latex.boxes(content)
    before = content[: boxed[0][0]] if boxed else content
    if boxed and not _HEAD.match(plain(before)):
        before = boxed[-1][1]
    bare = plain(before)
    head = _HEAD.match(bare) or re.match(r"[\[({]\s*+(?P<letter>[A-Za-z])\s*+[\])}]", bare)
    if head and (index := letter_index(head["letter"], len(choices))) is not None:
        return letter_of(index)
    return single_mention(choices, content)


def named_alone(sentences: list[str]) -> list[str]:
    """The one sentence that is a letter and nothing else, unless a later one may take it back."""
    alone = [at for at, sentence in enumerate(sentences) if _ALONE.fullmatch(sentence)]
    if len(alone) != 1 or any(map(_RECONSIDERED.search, sentences[alone[0] + 1 :])):
        return []
    return [sentences[alone[0]]]


def single_mention(choices: tuple[str, ...], content: str) -> str | None:
    """The one choice named in ``content`` by bracketed letter or by text."""
    letters = {letter_index(m, len(choices)) for m in ROUND_LETTER.findall(content)} - {None}
    if len(letters) == 1:
        return letter_of(letters.pop() or 0)
    lowered = content.casefold()
    named = [
        (at, index)
        for at, index in mentioned(choices, content)
        if not DENIED.search(lowered, max(0, at - 24), at)
        and not DENIED_BEHIND.match(lowered, at + len(choices[index].strip().rstrip(".")))
    ]
    if len({index for _, index in named}) == 1:
        return letter_of(named[0][1])
    return None
