"""What a text says, word by word: its content words in order, apart from inflection. Pure.

Left out are words that only hold a sentence together (articles, auxiliaries, pronouns, "to get", …),
case, punctuation and ornament. All others stay, in order: negations, prepositions such as "by" and
"without", numbers by value, signs of formulas. A clause that opens a sentence ("To get the area, …",
"Wenn …, …") may as well follow. Scripts without spaces are taken character by character. A language
that is not listed is read as the nearest one: what is not known there stays, so that two texts are
rather taken for different than for the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from vitarmm_agent.numbers.finding import numbers_in
from vitarmm_agent.numbers.reading import NUMERALS, fold_digits
from vitarmm_agent.numbers.units import UNSPACED, unit_name

Sentence = tuple[str, ...]
Wording = frozenset[tuple[str, ...]]
"""The orders in which the content words of a text may stand without saying anything else."""

_HOLDING = {
    "english": "a an the is are was were be been being am do does did doing has have had will would "
    "shall should must of to for in into on at as and then so thus hence therefore which that who "
    "whose this these those there it its they them their we you your our us if when where because "
    "since while with also just please find finding get getting obtain obtaining compute computing "
    "calculate calculating determine determining",
    "german": "der die das den dem des ein eine einen einem einer eines ist sind war waren sei wird "
    "werden wurde hat haben und dann so also dass es er sie ihn ihm ihr ihre ihren ihrem ihrer "
    "sein seine seinen seinem seiner man du wir dich sich dir uns dein deine zu zum zur im in am an "
    "bei beim mit von vom für als wenn falls weil da denn dabei dazu dieser diese dieses diesem diesen "
    "soll sollte sollen muss musst müssen bitte erhalten bekommen berechnen berechne finden finde "
    "bestimmen bestimme",
    "french": "le la les un une des du de est sont être ont et puis donc alors ainsi que qu qui il elle "
    "ils elles on nous vous se ce cet cette ces son sa ses leur leurs votre vos pour en dans avec si "
    "quand lorsque car comme faut doit doivent devez bien trouver trouvez obtenir obtenez calculer "
    "calculez déterminer déterminez",
    "spanish": "el la los las lo un una unos unas de del es son era está están ser hay ha han y luego "
    "entonces así que se te le les nos su sus tu tus este esta estos estas ese esa esos esas para con "
    "en si cuando porque pues como debe deben debes obtener obtén hallar halla calcular calcula "
    "encontrar encuentra determinar",
}
_KEPT = {
    "english": "by from not no than or without before after",
    "german": "auf aus durch nicht ohne oder um",
    "french": "à au aux et ne ou par pas sans sur y",
    "spanish": "a al no o por sin sobre y",
}
_HOLDS = {language: frozenset(words.split()) for language, words in _HOLDING.items()}
_TYPICAL = {
    language: (words | {*_KEPT[language].split(), *NUMERALS.get(language, ())}) - {"a"}
    for language, words in _HOLDS.items()
}
"""Words that tell which language a text is in."""
_HOLDS_CHINESE = re.compile(
    "然后|那么|应该|应当|需要|必须|得到|得出|[的了吗呢吧啊就把将也便即则要是]"
)
_OPENING = frozenset(
    "to in for if when because since before after while where once um für wenn falls weil da bevor "
    "nachdem bei beim pour si quand lorsque car avant après para cuando porque antes después 如 若 当 因".split()
)
_INFLECTED = {
    "english": "ies>y ied>y es> s> ed> ing> e>",
    "german": "en> es> n> s> e> t> st> te> ten>",
    "french": "ez>e r> s> x>",
    "spanish": "iones>ión ones>ón es> s> n> r> ir>e er>e",
}
"""Endings and what stands in their place. One is put aside only where Snowball gives the same stem; it
also takes away what makes another word of it (position, positive), which is not wanted here."""
_ENDINGS = {
    language: [tuple(ending.split(">")) for ending in endings.split()]
    for language, endings in _INFLECTED.items()
}
LONGEST = 40
"""Letters of the longest word that is looked at for an ending."""
_JOINING = frozenset("and und et y".split())
_NO_FORM = frozenset("meaning meanings evening evenings united".split())
_SAME = {
    "cannot": "can not", "every": "each", "au": "à", "aux": "à", "al": "a",
    "percent": "%", "prozent": "%", "grad": "°", "degree": "°", "degrees": "°", "degré": "°",
    "degrés": "°", "grado": "°", "grados": "°",
}  # fmt: skip

_WORD = r"[^\W\d_]"
_TOKEN = re.compile(
    rf"(?P<word>[^\W\d_{UNSPACED}]+)|(?P<pause>[,;:、])|(?P<stop>[.?](?=\s|$)|[。\n])"
    r"|(?P<sign>\S)"
)
_NO_VARIABLE = re.compile(rf"{_WORD}{{2,}}|[^\x00-\x7f]")
_SUPERSCRIPTS = {ord(c): f"^{unicodedata.digit(c)}" for c in "⁰¹²³⁴⁵⁶⁷⁸⁹"}
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")
_ALL = "all|always|alle|immer|tous|toutes|toujours|todos|todas|siempre"
_TIDY = [
    (re.compile(r"\*\*|__|[`\"“”„«»¿¡\\]|^[ \t]*+[-*•](?=[ \t])", re.MULTILINE), " "),
    (re.compile(r"(?<![\w)])\*(?=\w)|(?<=\w)\*(?![\w(])"), " "),  # no product
    (re.compile(rf"(?<={_WORD}{_WORD})-(?={_WORD}{_WORD})"), " "),  # right-angled
    (re.compile(rf"(?<={_WORD}{_WORD}) - (?={_WORD}{_WORD})"), ", "),  # a dash
    (re.compile(rf"(?<![\d)])(?<!\b{_WORD})!(?!=)"), ". "),  # no factorial
    (re.compile(r"\$(?=\S)([^$\n]{0,200})(?<=\S)\$(?!\d)"), r" \1 "),  # a formula
    (re.compile(r"\bcan't\b"), "can not"),
    (re.compile(rf"(?<={_WORD})n't\b"), " not"),
    (re.compile(rf"(?<={_WORD})'(?:s|re|ll|ve|m)\b"), " "),
    (re.compile(rf"(?<!not\s)(?<!nicht\s)(?<!pas\s)(?<!no\s)\b(?:{_ALL})\b"), " "),
    (re.compile(r"\bs'(?=il)", re.IGNORECASE), "si "),
    (re.compile(r"\bn'(?=\w)", re.IGNORECASE), "ne "),
    (re.compile(rf"\b(?:[ldcsjmt]|qu)'(?={_WORD})", re.IGNORECASE), " "),  # l'aire
    (re.compile(r"\bin order to\b"), "to"),
    (re.compile(rf"'(?={_WORD})|(?<={_WORD}{_WORD})'"), " "),  # quotes; f' stays
]


def language_of(text: str) -> str:
    """The listed language that has most of its small words in ``text``; English if none has any."""
    words = re.findall(rf"{_WORD}+", text.casefold())
    counts = {name: sum(word in known for word in words) for name, known in _TYPICAL.items()}
    return max(counts, key=lambda name: counts[name])


def fold_case(text: str) -> str:
    """``text`` without differences of case, width and composition; single letters keep their case."""
    return _NO_VARIABLE.sub(lambda found: found[0].casefold(), unicodedata.normalize("NFKC", text))


def wording(text: str, language: str) -> Wording:
    """Content words, numbers and signs of a text, in the orders that say the same."""
    last, next_to = list[str](), list[str]()
    for sentence in _sentences(text, language):
        opening, rest = _opened(sentence)
        after = rest.index(",") if "," in rest else len(rest)
        last += [*rest, *opening]
        next_to += [*rest[:after], *opening, *rest[after:]]
    return frozenset(_content(words, language) for words in (last, next_to))


def parts(text: str, language: str) -> Counter[tuple[str, ...]]:
    """Content words of each part of a text: of what pauses and "and" join, in whatever order."""
    found, part = Counter[tuple[str, ...]](), list[str]()
    for sentence in _sentences(text, language):
        for word in (*sentence, ","):
            if word != "," and word not in _JOINING:
                part.append(word)
            elif part:
                found[_content(part, language)] += 1
                part = []
    return found


def _opened(sentence: Sentence) -> tuple[Sentence, Sentence]:
    """The clause that opens a sentence, and the rest of it."""
    opens = "," in sentence and sentence[0].casefold() in _OPENING
    end = sentence.index(",") if opens else -1
    return sentence[: end + 1], sentence[end + 1 :]


def _content(words: Sequence[str], language: str) -> tuple[str, ...]:
    """Without what holds together; a lone "a" that no word follows is a variable."""
    said = [word for word in words if word != ","]
    return tuple(
        word_form(word, language)
        for word, following in zip(said, [*said[1:], ""], strict=False)
        if word.casefold() not in _HOLDS[language] or (word in ("A", "a") and len(following) < 2)
    )


@lru_cache(maxsize=256)
def _sentences(text: str, language: str) -> tuple[Sentence, ...]:
    """The sentences of a text; it is compared with one entry after another, and read once."""
    sentences = [list[str]()]
    for token in _tokens(_tidied(text), language):
        if token != ".":
            sentences[-1].append(token)
        else:
            sentences.append([])
    return tuple(tuple(sentence) for sentence in sentences if sentence)


def _tidied(text: str) -> str:
    text = fold_digits(text.translate(_SUPERSCRIPTS).translate(_APOSTROPHES))
    text = fold_case(text)
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return _HOLDS_CHINESE.sub("", text)


def _tokens(text: str, language: str) -> Iterator[str]:
    """Words, signs, ``#value`` for numbers, a comma for a pause and a full stop for an end."""
    english = language == "english"
    numerals = {} if english else NUMERALS[language]
    numbers = {found.start: found for found in numbers_in(text, words=english, loose=english)}
    at = 0
    while at < len(text):
        if found := numbers.get(at):
            yield f"#{abs(found.value)}"
            at = found.end
        elif match := _TOKEN.match(text, at):
            marks = {"pause": ",", "stop": "."}
            word = match[0]
            if word in numerals:
                word = f"#{numerals[word]}"
            yield from _SAME.get(word, marks.get(match.lastgroup or "", word)).split()
            at = match.end()
        else:
            at += 1


@lru_cache(maxsize=4_096)
def word_form(word: str, language: str) -> str:
    """A folded word without its inflectional ending, a unit by its one name."""
    if language == "english" and len(word) > 1 and (unit := unit_name(word)):
        return unit
    if not 2 < len(word) <= LONGEST or word in _NO_FORM:
        return word
    import snowballstemmer  # type: ignore[import-untyped]

    stemmer = snowballstemmer.stemmer(language)
    stem = stemmer.stemWord(word)
    for ending, instead in _ENDINGS[language]:
        if word.endswith(ending):
            base = word[: -len(ending)] + instead
            bare = base[:-1] if base[-2:-1] == base[-1:] and ending in ("ed", "ing") else base
            for form in (base, bare, f"{base}e"):
                if form != word and stemmer.stemWord(form) == stem:
                    return word_form(form, language)
    return word
