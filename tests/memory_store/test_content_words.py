"""When two texts consist of the same content words."""

from __future__ import annotations

import pytest

from vitarmm_agent.memory_store.content_words import language_of, parts, word_form, wording


def same(one: str, other: str) -> bool:
    language = language_of(f"{one} {other}")
    return not wording(one, language).isdisjoint(wording(other, language))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("To get the area, square the side.", "Square the side to get the area."),
        ("When x is odd, add 1, then halve it.", "Add 1, then halve it when x is odd."),
        ("Don't forget the sign!", "Do not forget the sign"),
        ("A remainder is always smaller.", "The remainder is smaller."),
        ("It takes twelve hours, 50 percent.", "It takes 12 hours, 50%."),
        ("Give it in meters.", "Give it in m."),
        ("The **angles** are added.", "The angles are added"),
        ("Use $x^2$ and `floor`.", "Use x² and floor."),
        ("Um die Seite zu finden, teile durch vier.", "Teile durch 4, um die Seite zu finden."),
        ("S'il y a un reste, ajoutez-en sept.", "Ajoutez-en 7 s'il y a un reste."),
        ("Divide la suma entre dos.", "Dividir la suma entre 2."),
        ("把两个数相加，就得到答案。", "两个数相加得到答案"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Divide the area by the width.", "Divide the width by the area."),
        ("When buying add, when selling subtract.", "When buying subtract, when selling add."),
        ("The value is a - b.", "The value is -b."),
        ("Solve for A.", "Solve for a."),
        ("The number is n!.", "The number is n."),
        ("x != 3", "x = 3"),
        ("f'(x) is zero", "f(x) is zero"),
        ("It is not always even.", "It is not even."),
        ("Not all roots are real.", "No roots are real."),
        ("It costs $5.", "It costs 5."),
        ("He gives 3 apples.", "He gets 3 apples."),
        ("Le prix augmente de 5 euros.", "Le prix augmente à 5 euros."),
        ("Isolez le côté c.", "Isolez le côté d."),
        ("El resto es 3.", "La resta es 3."),
        ("Nimm den Zähler.", "Nimm die Zahl."),
        ("甲减乙。", "乙减甲。"),
        ("यह सम है", "यह विषम है"),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert not same(one, other)


@pytest.mark.parametrize(
    ("language", "forms", "others"),
    [
        ("english", "square squares squared squaring", "squarely"),
        ("english", "probability probabilities", "probable"),
        ("english", "stop stops stopped stopping", "stopper"),
        ("english", "position positions", "positive"),
        ("english", "divide divides dividing", "divisor"),
        ("english", "mean means", "meaning"),
        ("german", "seite seiten", "seitlich"),
        ("german", "teile teilen", "teiler"),
        ("french", "divise divisez diviser", "diviseur"),
        ("french", "équation équations", "équateur"),
        ("spanish", "fracción fracciones", "fraccionario"),
        ("spanish", "resta restar restas", "resto"),
    ],
)
def test_inflection_is_put_aside_and_derivation_is_not(
    language: str, forms: str, others: str
) -> None:
    known = {word_form(word, language) for word in forms.split()}
    assert len(known) == 1
    assert known.isdisjoint(word_form(word, language) for word in others.split())


def test_parts_may_stand_in_any_order() -> None:
    one = "A week has seven days and a year has twelve months."
    assert parts(one, "english") == parts("A year has 12 months, and a week has 7 days.", "english")
    assert parts(one, "english") != parts("A year has 7 months, and a week 12 days.", "english")


def test_odd_texts() -> None:
    for text in ("", " \n", "!", "'", "\ud800", "ꙮ" * 5_000, "s" * 5_000, "a, " * 1_000):
        assert same(text, text)
    assert not same("", "word")


def test_spaces_part_korean_words_and_no_chinese_ones() -> None:
    assert wording("求 面积", "english") == wording("求面积", "english")
    assert wording("山﨑 の解", "english") == wording("山﨑の解", "english")
    enters = wording("아버지가 방에 들어가신다", "english")
    assert enters != wording("아버지 가방에 들어가신다", "english")  # father enters the bag
