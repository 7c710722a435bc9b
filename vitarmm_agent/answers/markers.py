r"""Markers of commitment: what a model writes before its final answer, in the languages of the larger benchmarks.

``\\boxed{…}``, ``#### N``, a line ``A: N``, ``<answer>…</answer>``, ``{"answer": …}``, "Answer: …", "the answer is …",
"Die Antwort ist …", "故选…", and their like. Of a choice also "Option B is right" and "I would choose B".
"""

from __future__ import annotations

import re
from itertools import chain
from typing import NamedTuple

from vitarmm_agent.answers import latex
from vitarmm_agent.numbers.reading import with_decimal_points

_MARK = r"[*_`\s]{0,6}"
_NOUN = r"(?:answer|option|choice|solution|result|(?:correct|right|best)\s+one)"
_QUOTED = r"[^.\n\"“]{0,40}[\"“][^\"”\n]{1,400}[\"”]"
"""A question that is told again before it is answered may hold an "is" of its own."""
_WITH_COMMA = (
    r"antwort|lösung|ergebnis|réponse|résultat|respuesta|resultado|solución|opción|resposta|opção|risposta|"
    r"risultato|soluzione|opzione|antwoord|odpowiedź|odpověď|ответ|cevap|svaret|svar|vastaus|válasz|jawaban|đáp án"
)
_WITH_POINT = (
    r"答案|选项|選項|答え|正解|回答|解答|정답|답|उत्तर|উত্তর|คำตอบ|תשובה|الإجابة|الاجابة|الجواب"
)
_IS = r"(?:ist|lautet|wäre|est|es|é|è|is|är|er|jest|to|je|это|adalah|là|—|–)"
_THIS = r"(?:应该是|应为|应是|是|为|は|은|는|है|হল|คือ|هي|هو)"
_A_LETTER = r"(?=[(（]?[A-Z](?![A-Za-z]))"
MARKERS = re.compile(
    rf"(?P<hash>(?:^|\n)[ \t]*####[ \t]*)"
    rf"|(?P<line>(?:^|\n)[ \t>*_#-]{{0,6}}A{_MARK}[:：]{_MARK})"
    rf"|(?P<tag><\s?(?:final[_ -]?)?answer\s?>\s{{0,6}})"
    rf"|(?P<json>[\"'](?:final[_ ]?)?(?:answer|choice|option)[\"']\s{{0,6}}:\s{{0,6}})"
    rf"|(?P<colon>\b(?:answer|option|choice)\b(?:\s*\([^()\n]{{0,40}}\))?{_MARK}[:：]{_MARK}"
    rf"|\banswer{_MARK}(?:[-–—](?=[ \t])|[-=]>|=|[→⇒]){_MARK})"
    rf"|(?P<is>\b(?:{_NOUN})(?:\s+(?:choice|option|letter))?(?:\s+(?:to|for|of)\s+(?:{_QUOTED}|[^.\n]{{1,80}}?))?"
    rf"\s+(?:is|are|must be|should be|would be|will be|was)\b\s*"
    rf"(?:therefore|thus|then|that)?\s*:?{_MARK})",
    re.IGNORECASE,
)
_FOREIGN = re.compile(
    rf"(?P<comma>\b(?:{_WITH_COMMA})\b(?:\s+[^\W\d_]{{3,12}})?(?:\s?[:：]|\s+{_IS}(?=\s)\s?:?){_MARK})"
    rf"|(?P<point>(?:{_WITH_POINT})(?:\s?{_THIS}\s?[:：]?|\s?[:：]){_MARK}|答案\s?{_A_LETTER})"
    rf"|(?P<chosen>选择?(?:为|是)?\s?[:：]?\s?{_A_LETTER})",
    re.IGNORECASE,
)
_FOREIGN_WORDS = (*_WITH_COMMA.split("|"), *_WITH_POINT.split("|"), "选")
MAY_BE_A_STEP = re.compile(
    r"(?:result|solution|lösung|ergebnis|résultat|solución|risultato|soluzione)", re.IGNORECASE
)
_BEHIND = re.compile(r"[^\n]{0,400}(?:\n(?!\s*\n)[^\n]{0,400})?")
_IN_TAG = re.compile(r"[^<]{0,400}")
_JSON_VALUE = re.compile(
    r"\"(?:[^\"\\\n]|\\.){0,400}|'[^'\n]{0,400}|\[[^\]\n]{0,400}\]|[^,}\n]{0,400}"
)

_LETTER = r"[\[(\"'*]{0,4}([A-Z])[\])\"'*.:]{0,4}(?![\w'’])"
_LETTERS = re.compile(
    r"\b(?i:choose|select|pick|say|go with|going with|opt for|settle on|wähle|nehme|choisis|elijo|escolho|scelgo)\s+"
    rf"(?i:the\s+|die\s+|la\s+)?(?i:(?:option|choice|answer|letter|antwort|réponse|opción)\s+)?{_LETTER}"
    r"|(?:^|[.,;:!?\n]\s?|\b(?i:option|choice|answer|antwort|réponse|opción|so|thus|therefore|hence|that|is)\s)[\s*_]{0,4}"
    rf"{_LETTER}\s?(?:\([^()\n]{{1,80}}\)\s?)?(?i:is|ist|est|es|é|è)\s"
    r"(?i:the\s|la\s|die\s|definitely\s|clearly\s|therefore\s|most\s|likely\s){0,3}"
    r"(?i:correct|right|answer|best|richtig|korrekt|bonne|juste|exacte|corretta|correta|certa|correcta)"
    rf"|\b(?i:it['’]s|it is|must be|would be|(?:therefore|thus|so|hence|finally),?\s(?:option|choice|answer))\s{_LETTER}"
    r"\s?(?=[.!\n]|$)"
    r"|选项\s?([A-Z])\s?是?(?:正确|对)"
    rf"|(?:^|\n)[\s*_#]{{0,6}}(?i:(?:final|correct)\s)?(?i:answer)\s{_LETTER}\s*(?=$|\n)"
)
_JOINED_BOXES = re.compile(
    r"\s*+\}[\s$]*+(?:[,;、]|(?P<word>and|or|und|oder|et|ou|y|o|или|и|和|或)(?![^\W\d_]))\s?(?:(?:and|or)\s)?(?:\$?\s?[A-Za-z]\w{0,3}\s?=)?[\s$]*+"
)
_CONDITION = re.compile(r"\s(?:if|when|unless)\b", re.IGNORECASE)
_DENIED = re.compile(r"(?:\bnot|n['’]t|\bnever|\bcannot)\s(?:\w{1,12}\s)?$", re.IGNORECASE)


class Commitment(NamedTuple):
    """What stands behind a marker.

    Attributes:
        at: where the marker begins.
        content: what stands behind it, or in it.
        strong: the marker is used for nothing else: a box, ``####``, a line ``A: …``, a tag, JSON.
    """

    at: int
    content: str
    strong: bool


def commitments(text: str, *, letters: bool = False) -> list[Commitment]:
    """What a text commits to, in order.

    Args:
        text: a response.
        letters: a choice is asked for: "I would choose B" commits to one.
    """
    boxes = latex.boxes(text)
    found = _joined(text, boxes)
    inside = [(at, at + len(content)) for at, content in boxes]
    lowered = text.lower()
    foreign = any(word in lowered for word in _FOREIGN_WORDS)
    for match in chain(MARKERS.finditer(text), _FOREIGN.finditer(text) if foreign else ()):
        if not any(start <= match.start() <= end for start, end in inside):
            found.append(_behind(text, match))
    named = list(_LETTERS.finditer(text)) if letters else []
    depends = {m[m.lastindex or 0] for m in named if _CONDITION.match(text, m.end())}
    for match in named:
        if len(depends) > 1 and _CONDITION.match(text, match.end()):
            continue  # "choose A if …, choose B if …"
        if not _DENIED.search(text, max(0, match.start() - 24), match.start()):
            found.append(Commitment(match.start(), match[match.lastindex or 0], False))
    return sorted(found)


def _joined(text: str, boxes: list[tuple[int, str]]) -> list[Commitment]:
    r"""Boxes as commitments; those that a comma or a word joins are one: ``\boxed{7} or \boxed{8}``."""
    found: list[Commitment] = []
    behind = 0
    for at, content in boxes:
        gap = _JOINED_BOXES.fullmatch(text, behind, at) if found and at - behind < 40 else None
        if gap and "\n" not in gap[0]:
            word = " or " if gap["word"] in ("or", "oder", "ou", "o", "или", "或") else ", "
            found[-1] = Commitment(found[-1].at, f"{found[-1].content}{word}{content}", True)
        else:
            found.append(Commitment(at, content, True))
        behind = text.find(content, at) + len(content)
    return found


def _behind(text: str, match: re.Match[str]) -> Commitment:
    at, kind = match.start(), match.lastgroup
    if kind == "tag":
        return Commitment(at, _matched(_IN_TAG, text, match.end()).strip(), True)
    if kind == "json":
        value = _matched(_JSON_VALUE, text, match.end())
        if value[:1] in ("'", '"'):
            value = value[1:].replace("\\\\", "\\")
        return Commitment(at, value.strip(), True)
    content = _matched(_BEHIND, text, match.end())
    if kind == "comma":
        content = with_decimal_points(content)
    strong = kind in ("hash", "line")
    return Commitment(at, content.split("\n")[0] if strong else content, strong)


def _matched(pattern: re.Pattern[str], text: str, at: int) -> str:
    match = pattern.match(text, at)
    return match[0] if match else ""
