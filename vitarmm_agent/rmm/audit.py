"""Whether an entry gives away the problem it was learned on.

*Numbers* are compared as whole numbers, by value: ``5`` is neither in ``15`` nor in ``0.5``;
``1,200``, ``1200.0`` and ``twelve hundred`` are one number; a sign belongs to its number; ordinals
("the 5th") are none. Small numbers and those that any lesson may hold (:data:`EVERYDAY`: "2 steps",
"60 minutes", "100 percent") count only where the text *states* them as an outcome: behind ``=``,
"equals" or "the answer is" (not in a conversion such as "1 hour = 60 minutes"), or behind a verb when
the sentence ends there ("she gets 7.", "she has 7 left"). So "she gets 7 apples" passes, and so does
"a week has 7 days": a lesson of the second kind is common, and must not be dropped.

*Texts* (a choice, a word, a formula) count wherever they stand as whole words; a single word of fewer
than :data:`LONG_WORD` letters ("yes", "red") only where it is stated. A choice's letter counts where
the text calls it the answer.

*Words of the problem* count as copied from :data:`COPIED_WORDS` consecutive ones on, whatever their
case and punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from vitarmm_agent.answers.choices import choice_index, letter_of
from vitarmm_agent.answers.latex import to_plain
from vitarmm_agent.answers.normalise import value_of
from vitarmm_agent.numbers.finding import numbers_in
from vitarmm_agent.numbers.reading import fold_digits, without_thousands_marks
from vitarmm_agent.problem import Problem

Leak = Literal["answer", "verbatim"]
COPIED_WORDS = 8
LONG_WORD = 5
EVERYDAY = frozenset(
    Fraction(n) for n in (*range(13), 24, 30, 50, 52, 60, 90, 100, 180, 360, 365, 1000)
)

_MARK = r"[\"'“(\[*_`\\{]*+[$€£¥]?\s*+-?\s*+$"
_SAID = re.compile(
    r"(?:(?<![<>!])=|≈|→|\bequals?(?:\s++to)?|####|\bresult(?:s|ing)?\s++in\b"
    r"|\b(?:answer|result|total)\s++of\b"
    r"|\b(?:answer|result|solution|total|sum|value|output|choice|option)\b"
    r"(?:\s++(?:to|of|for)\s++[^.;:=\n]{1,60}?)?\s*+"
    r"(?:(?:would|should|must|will)\s++be|is|are|was|be|comes\s++to|[:=])"
    r"(?:\s++(?:then|thus|therefore))?)"
    rf"\s*+(?:exactly|about|just|only|simply|equal\s++to|the)?\s*+{_MARK}",
    re.IGNORECASE,
)
_CONVERSION = re.compile(rf"\b(?:1|one|an?|per|each)\s++[^\W\d_]++\s*+=\s*+{_MARK}", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|gets?|got|gives?|gave|given|leaves?|left\s++with|makes?|made|yields?|"
    r"reach|reaches|comes?\s++to|amounts?\s++to|totals?|has|have|had|earns?|costs?|pays?|needs?|"
    rf"obtains?|finds?|found)\s*+(?:exactly|about|just|only|a\s++total\s++of)?\s*+{_MARK}",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"[\"'”)\]*_`}%°]*\s*(?:$|[.;!?\n](?!\d)"
    r"|(?:[a-z]+\s+){0,2}(?:left|remaining|in\s+total|in\s+all|altogether)\b)",
    re.IGNORECASE,
)
_OPERATES = re.compile(r"[\"')\]]*\s*(?:[-+*/×÷^]\s*\(?[\d$a-z(]|x\s*\d|times\b|-)", re.IGNORECASE)
_LETTER = (
    r"\b(?:answer|choice|option|letter)\b\s*+(?:is|was|:|=)?\s*+(?:option|choice|letter)?"
    r"\s*+[\"'“(\[*]*+{letter}(?![\w'])"
)


def leak_of(entry_text: str, problem: Problem) -> Leak | None:
    """Why ``entry_text`` gives ``problem`` away, or None.

    Args:
        entry_text: all that the entry shows: title, condition and content.
        problem: with its reference; without one only copied words are found. Where the question is
            in the image, ``metadata["question"]``, ``["options"]`` and ``["answer_text"]`` hold it.

    Returns:
        ``answer``: it states the gold answer; ``verbatim``: it repeats eight or more consecutive
        words of the problem.
    """
    text = folded(entry_text)
    if any(_states(text, gold) for gold in _golds(problem)) or _names_letter(text, problem):
        return "answer"
    return "verbatim" if _copies(text, problem) else None


def folded(text: str) -> str:
    """Full-width and other compatible characters, digits of any script and apostrophes as usual ones."""
    return fold_digits(unicodedata.normalize("NFKC", text)).replace("’", "'")


def _copies(text: str, problem: Problem) -> bool:
    here = set(_runs(text))
    return bool(here) and any(
        not here.isdisjoint(_runs(folded(part))) for part in own_texts(problem)
    )


def own_texts(problem: Problem) -> list[str]:
    """The problem's own texts: without a benchmark's fixed instruction, where that is known."""
    question = problem.metadata.get("question")
    options = problem.metadata.get("options")
    choices = [str(option) for option in options] if isinstance(options, list) else problem.choices
    return [question if isinstance(question, str) else problem.text, *choices]


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    return (tuple(words[i : i + COPIED_WORDS]) for i in range(len(words) - COPIED_WORDS + 1))


def _words(text: str) -> list[str]:
    text = without_thousands_marks(text.casefold())
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)*", text)


def _golds(problem: Problem) -> list[str]:
    """The gold answer as text: of a choice its text, not its letter."""
    gold = problem.reference
    known = problem.metadata.get("answer_text")
    if gold is None or not gold.strip():
        return []
    if isinstance(known, str) and known.strip():
        return [known]
    if problem.answer_type != "choice":
        return [gold]
    index = choice_index(problem.choices, gold)
    gold = gold if index is None else problem.choices[index]
    only_a_letter = len(gold.strip()) == 1 and gold.strip().isalpha()
    return [] if only_a_letter else [gold]


def _states(text: str, gold: str) -> bool:
    value = value_of(gold)
    if value is None:
        return _states_text(text, gold)
    in_words = len(re.findall(r"[^\W\d_]{3,}", gold)) > 1
    return _states_number(text, value) or in_words and _states_text(text, gold)


def _states_number(text: str, value: Fraction) -> bool:
    text = folded(to_plain(text))
    everyday = abs(value) in EVERYDAY
    return any(
        _stated(text, found.start, found.end) if everyday else value in (found.value, *found.parts)
        for found in numbers_in(text)
        if not everyday or found.value == value
    )


def _stated(text: str, start: int, end: int) -> bool:
    """Whether what stands from ``start`` to ``end`` is put as an outcome."""
    before, behind = text[max(0, start - 120) : start], text[end : end + 60]
    if _OPERATES.match(behind) or _CONVERSION.search(before):
        return False
    return bool(_SAID.search(before) or _VERB.search(before) and _ENDS.match(behind))


def _states_text(text: str, gold: str) -> bool:
    wanted = _words(folded(gold))
    if not wanted or re.search(r"[\\^_=]", gold):
        return _states_formula(text, gold)
    pattern = r"\W+".join(re.escape(word) for word in wanted)
    text = without_thousands_marks(text.casefold())
    telling = len(wanted) > 1 or len(wanted[0]) >= LONG_WORD
    found = re.finditer(rf"(?<!\w){pattern}(?!\w)", text)
    return any(telling or _stated(text, *match.span()) for match in found)


def _states_formula(text: str, gold: str) -> bool:
    """Formulas are compared without spaces, dollar signs and LaTeX's spelling."""
    wanted = _bare(gold)
    if wanted.startswith("(") and wanted.endswith(")") and r"\frac" in gold:
        wanted = wanted[1:-1]  # a fraction alone needs no brackets
    return len(wanted) > 1 and wanted in _bare(text)


def _bare(text: str) -> str:
    plain = re.sub(r"[\s$]+", "", to_plain(text)).casefold()
    return re.sub(r"\((\w+)\)", r"\1", plain)


def _names_letter(text: str, problem: Problem) -> bool:
    """Whether the text calls the gold choice's letter the answer."""
    if problem.answer_type != "choice" or problem.reference is None:
        return False
    index = choice_index(problem.choices, problem.reference)
    if index is None:
        return False
    letter = letter_of(index)
    shown = f"(?-i:{letter})" if letter in ("A", "I") else letter
    return bool(re.search(_LETTER.replace("{letter}", shown), text, re.IGNORECASE))
