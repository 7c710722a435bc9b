"""What a reply denies, leaves open or does not know, in the languages whose markers of an answer are read."""

from __future__ import annotations

import re

_NO = r"(?:\bnot\b|n['’]t\b|\bnicht\b|\bkein\w{0,3}\b|\bpas\b|\bno es\b|\bnão é\b|\bnon è\b|\bне\b|\bniet\b|不是|并非|並非)"
_BUT = r"(?:\b(?:but|rather|it is|it['’]s|so|thus|hence|therefore|sondern|mais|sino|mas|bensì|ma|maar)\b|\bа\b|而是|[，,]是)"
_NOT_BUT = re.compile(
    rf"[^.\n。]{{0,60}}?{_NO}[^.\n。]{{1,60}}?{_BUT}\s?(?:rather\s)?", re.IGNORECASE
)
"""A denial, up to what is affirmed in its place."""
DENIED = re.compile(
    rf"(?:{_NO}|\binstead of|\brather than|\bnever)\s?(?:be\s|a\s|the\s|exactly\s)?[$€£]?$",
    re.IGNORECASE,
)
"""Ends before what is denied."""
DENIED_BEHIND = re.compile(
    r"\s?(?:one\s)?(?:(?:is|was|are|would be)(?:n['’]t|\s(?:not\b|wrong|incorrect|false))"
    r"|(?:ist|est|es|è|é)\s(?:nicht|falsch|fausse?|incorrect|errat|sbagliat|errad))"
    r"|\s?(?:では|じゃ|でも)(?:な|あり)|\s?(?:이|가|은|는)\s?아니|\s?(?:是|は|が)?(?:错|错误|不对|不正确|間違|誤り)",
    re.IGNORECASE,
)
"""Begins behind what is denied."""
_BOUND = (
    r"\bat (?:least|most)|\b(?:more|less|fewer|greater|larger|smaller|higher|lower|better|worse) than|\bup to"
    r"|(?:^|[:：]\s?|\b(?:is|are|be|was|were)\s)(?:over|under|above|below|beyond)|\bexceed(?:s|ing)?|\b(?:a )?(?:minimum|maximum) of"
    r"|\bmindestens|\bhöchstens|\b(?:mehr|weniger|größer|kleiner) als|\bau (?:moins|plus)|\b(?:plus|moins) de|\bjusqu['’]à"
    r"|\b(?:al|por lo|pelo|no) (?:menos|máximo|mínimo)|\bcomo (?:máximo|mínimo)|\b(?:más|menos|mais) (?:de|que)"
    r"|\b(?:almeno|al massimo|più di|meno di|minimaal|maximaal)|\b(?:не менее|не более|больше|меньше)"
    r"|至少|至多|最多|最少|超过|超過|大于|小于|少于|多于|不超过|不到"
)
_FUNCTION = (
    r"\b(?:log|ln|lg|exp|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sqrt|mod|modulo)\s?\(?"
    r"|\b(?:root|logarithm|half|square|cube|factorial|multiples?|divisors?|powers?|reciprocal) of|\b(?:twice|double|triple|thrice)"
)
_LABELLED = r"\b(?:step|error|http|(?:status|error|exit) code:?)|\d\s(?:r|rem\.?|remainder)"
OPEN = re.compile(rf"(?:{_BOUND}|{_FUNCTION}|{_LABELLED})\s?[$€£#]?$", re.IGNORECASE)
"""Ends before a number that is a bound, the argument of a function or a label."""
OPEN_BEHIND = re.compile(
    r"\.\d|[-/]\d{1,2}(?:[-/]\d)|\s?(?:以上|以下|以内|이상|이하)|\s(?:r|rem\.?|remainder)\s?\d|\s?\+(?!\s?\d)|\s(?:or|oder|ou|o|или)\s(?:more|less|fewer|greater|higher|lower|mehr|weniger|plus|moins|más|menos|mais|più|meno|больше|меньше)\b",
    re.IGNORECASE,
)
"""Begins behind a number that is a bound, a part of a date or of a version, or has a remainder."""
CORRECTED = re.compile(
    r"[^\d\n]{0,40}?\b(?:actually|wait|correction|i mean(?:t)?|make that|scratch that)\b[^\d\n]{0,40}",
    re.IGNORECASE,
)
"""What stands between a number and the one that replaces it."""
GIVEN_UP = re.compile(
    r"\b(?:not enough|insufficient|no|missing) (?:information|data|details|context)\b"
    r"|\b(?:can['’]?t|cannot|can not|could not|unable to|not able to)\s(?:\w+\s)?(?:be )?(?:help|assist|determine|answer|solve|provide)"
    r"|\bi (?:do not|don['’]t) know\b|\bimpossible to (?:determine|answer|tell|say)",
    re.IGNORECASE,
)
"""A sentence that says there is no answer."""
UNDETERMINED = re.compile(
    r"\b(?:cannot|can't|can not|could not|not possible to|impossible to|unable to|not clear)\b"
    r"[^.\n]{0,60}\b(?:determine|answer|provide|identify|tell|say|calculate|find|see|if|which|whether)",
    re.IGNORECASE,
)
"""A response that says it has no answer."""
ERROR = re.compile(
    r"\W{0,4}(?:error|http|exception|traceback|status(?: code)?)\b\s?[:/\d(\[]", re.IGNORECASE
)
"""How the message of a failed service begins."""
_NOTHING = re.compile(
    r"|(?:the )?(?:final )?answer(?: is)?|boxed|null|none|nil|n/?a|unknown|unclear|not (?:sure|known|available|applicable)|idk"
    r"|i(?: really)? (?:do not|don['’]?t) know.{0,80}|i(?: am|['’]m) (?:not sure|unsure|unable).{0,80}"
    r"|i (?:can['’]?t|cannot|could not) (?:answer|determine|solve|tell|say|provide|help|assist).{0,80}",
    re.IGNORECASE | re.DOTALL,
)
FOLLOWED = rf"(?!{DENIED_BEHIND.pattern})"
"""Behind a letter that is not denied, as a pattern."""
_EDGES = " \t\n.:;!?,*_`'\"“”‘’$。…\\[](){}<>#|-"
_EMPTY = ("∅", "[]", "{}")


def past_denial(text: str) -> int:
    """Where a text goes on that denies one thing to affirm another: "not 5 but 6"; 0 for others."""
    found = _NOT_BUT.match(text)
    return found.end() if found else 0


def says_nothing(text: str, *, asked: str) -> bool:
    """Whether an answer in words is none: nothing at all, ``null``, ``N/A``, "unknown", "I don't know".

    Args:
        text: the answer.
        asked: the problem's text; where it uses the same words, they are an answer.
    """
    bare = text.strip(_EDGES).casefold()
    if not _NOTHING.fullmatch(bare):
        return False
    if not bare:
        return not any(empty in asked for empty in _EMPTY) or not re.search(r"[\[{]", text)
    return not re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", asked.casefold())
