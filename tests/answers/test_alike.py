"""Pairs of answers that a number or a fold would take for the same, and pairs that it would part.

The readings are those of docs/answers.md; the values are worked by hand.
"""

from __future__ import annotations

import itertools

import pytest

from tests.answers.tables import rows
from vitarmm_agent.answers import answers_equal
from vitarmm_agent.problem import AnswerType, Problem

TEXT = Problem(text="?")
NUMBER = Problem(text="?", answer_type="integer")
FLOAT = Problem(text="?", answer_type="float")

MONEY = (
    ("$5", "US$5", "5 dollars", "5 USD", "USD 5"),
    ("€5", "5 euros", "5 EUR", "5 €"),
    ("£5", "5 GBP"),
    ("¥5", "5 yen", "5円", "5 JPY"),
    ("5元", "5 yuan", "5 CNY"),
    ("₹5", "5 rupees", "Rs. 5", "5 INR"),
    ("₩5", "5 won", "5원"),
    ("₽5", "5 rubles"),
    ("CHF 5", "5 CHF"),
    ("CA$5", "5 CAD"),
    ("₪5",),
)
"""Each line one currency."""

SAME: dict[str, list[tuple[str, str]]] = {
    "pounds": [("£5", "5 pounds"), ("5 lb", "5 pounds"), ("-£5", "£-5")],
    "scales": [("7 dozen", "84"), ("7 lakh", "700000"), ("7万", "70,000"), ("1.5 crore", "15000000"), ("3亿元", "300,000,000元")],
    "residues": [(r"x \equiv 1 \pmod{3}", "x ≡ 1 (mod 3)"), (r"1 \bmod 3", "1 mod 3")],
    "labels": [("x=3", "x = 3.0"), ("x=3", "3"), ("x=3", "3=x"), (r"x=\sqrt{2}", "√2"), (r"y=2x+1", "2x-y+1=0")],
    "decimal commas": [("2,5 kg", "2.5 kg"), ("3,75%", "3.75%"), ("0,75", "0.75"), ("1.234,5", "1234.5"), ("1,5", "1, 5"), ("1,5", "(1,5)")],
    "percent": [("50%", "0.5"), ("50%", "50"), ("0.5%", "0.005"), ("1%", "1")],
    "dots": [("0.1666...", "1/6"), ("0.9999...", "1"), (r"0.333\ldots", "1/3"), ("0.1212…", "12/99"), ("0.12...", "0.12…")],
    "letter case": [("5 KM", "5 km"), ("5 L", "5 l"), ("5 MB", "5 MB"), ("Paris", "PARIS")],
    "hedges": [("about 5", "5"), ("≈5", "5"), ("5 (approximately)", "5"), ("five (5)", "5"), ("5 (five)", "five"), ("not 5 but 6", "6"), ("5, not 6", "5")],
    "words": [
        ("half", "1/2"), ("two thirds", "2/3"), ("three-quarters", "0.75"), ("a third", "1/3"), ("a dozen", "12"), ("half a dozen", "6"),
        ("one and a half", "1.5"), ("negative one half", "-1/2"), ("a hundred", "100"), ("two hundred", "200"),
    ],
    "clock": [("21:00", "9 pm"), ("9 a.m.", "9:00 AM"), ("3:30 pm", "15:30"), ("noon", "12 pm"), ("midnight", "12:00 am"), ("9:05 p.m.", "21:05")],
    "several units": [("90 min", "1 h 30 min"), ("1 hour and 30 minutes", "1.5 hours"), ("5 ft 3 in", "63 inches"), ("2 kg 500 g", "2.5 kg"), ("$2 and 50 cents", "$2.50")],
    "sets": [("{1,1,2}", "{1,2}"), ("{}", "∅"), (r"\emptyset", r"\{\}"), ("infinity", "∞"), (r"(-\infty, 2]", "(-infinity, 2]"), (r"\langle 1,2,3\rangle", "(1, 2, 3)")],
    "functions": [
        (r"\log_2 8", "3"), ("log_2 8", "3"), (r"\ln e", "1"), (r"\binom52", "10"), (r"\binom{5}{2}", "10"), (r"\sqrt[3]8", "2"),
        (r"\sqrt[3]{8}", "2"), (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "-2"), ("|-3|", "3"), ("sin x", r"\sin(x)"), ("±√2", r"\pm\sqrt{2}"),
    ],
    "products": [("xy", "yx"), ("2xyz", "2zyx")],
}  # fmt: skip
DIFFERENT: dict[str, list[tuple[str, str]]] = {
    "pounds": [("£5", "5 lb"), ("£5", "5 kg"), ("£5", "5 pence")],
    "scales": [("7 dozen", "7"), ("7 lakh", "7"), ("7万", "7"), ("7 crore", "7 lakh"), ("7万", "7亿")],
    "residues": [("x≡1 (mod 3)", "x≡1 (mod 4)"), (r"x \equiv 1 \pmod{3}", r"x \equiv 2 \pmod{3}"), (r"x\equiv 1 \pmod 3", "1"), ("2 mod 5", "2 mod 7")],
    "dates": [("2020-05-01", "2014"), ("2020-05-01", "2020"), ("1/5/2020", "1/10100"), ("2020/05/01", "404")],
    "labels": [("x=3", "y=3"), ("f(x)=3", "g(x)=3"), ("AB = 5", "CD = 5"), (r"x=\sqrt{2}", r"y=\sqrt{2}"), ("A = {1,2}", "B = {1,2}"), (r"\alpha = 30°", r"\beta = 30°")],
    "decimal commas": [("1,5", "1.5"), ("3,14", "3.14"), ("1,5", "15"), ("-2,1", "-2.1")],
    "spaces": [("5 7", "57"), ("12 3", "123"), ("1 2", "12")],
    "percent": [("0.5%", "0.5"), ("0.5%", "50%"), ("0.25%", "1/4")],
    "dots": [("0.12...", "0.12"), ("1.414...", "1.414"), ("0.1666...", "0.1666"), ("0.12...", "0.13...")],
    "marks in front": [("!5", "5"), ("!5", "120")],
    "comparisons": [("5 less", "5"), ("5 fewer", "5"), ("5 below", "5"), ("5 more", "5 fewer")],
    "letter case": [("5 MB", "5 Mb"), ("5 mb", "5 MB"), ("5 mW", "5 MW"), ("5 g", "5 G"), ("5 A", "5 a"), ("3 Pa", "3 pA")],
    "rounded to nothing": [("0.004", "0.00"), ("0.00001", "0.00"), ("0.0001", "0.000")],
    "hedges": [("not 5 but 6", "5"), ("5 (or 6)", "5"), ("five (6)", "5"), ("at least 5", "5"), ("≈5", "6")],
    "words": [("third", "3"), ("third", "1/3"), ("two thirds", "2"), ("half", "2"), ("one and a half", "1")],
    "clock": [("9:00", "9 pm"), ("21:00", "9 am"), ("12 am", "12 pm"), ("8:05", "8:50"), ("25:00", "1 am"), ("noon", "12 am")],
    "several units": [("1 h 30 min", "130 min"), ("5 ft 3 in", "53 in"), ("5 boys and 3 girls", "8"), ("30 min 1 h", "1 h 31 min")],
    "sets": [("{1,1,2}", "{1,3}"), ("(1,1,2)", "(1,2)"), ("{}", "{0}"), (r"\langle 1,2\rangle", "(1,2)"), ("infinity", "-∞")],
    "functions": [(r"\log_2 9", "3"), (r"\sqrt[3]{9}", "2"), (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "2"), ("log_2 8", "log_3 8"), ("sin x", "cos x")],
    "products": [("xy", "xz"), ("on", "no"), ("AB", "BA"), ("tea", "eat")],
}  # fmt: skip


@pytest.mark.parametrize(("a", "b"), rows(SAME))
def test_the_same(a: str, b: str) -> None:
    assert answers_equal(TEXT, a, b) and answers_equal(TEXT, b, a)


@pytest.mark.parametrize(("a", "b"), rows(DIFFERENT))
def test_not_the_same(a: str, b: str) -> None:
    assert not answers_equal(TEXT, a, b) and not answers_equal(TEXT, b, a)


@pytest.mark.parametrize("answer_type", ["text", "integer", "float"])
def test_every_currency_is_its_own(answer_type: AnswerType) -> None:
    problem = Problem(text="?", answer_type=answer_type)
    for one, other in itertools.combinations(range(len(MONEY)), 2):
        for a, b in itertools.product(MONEY[one], MONEY[other]):
            assert not answers_equal(problem, a, b), (a, b)
    for line in MONEY:
        for a, b in itertools.permutations(line, 2):
            assert answers_equal(problem, a, b), (a, b)
        assert all(answers_equal(problem, a, "5") for a in line)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("3,5", "3.5", True),
        ("x=3", "y=3", False),
        ("5 7", "57", False),
        ("7 dozen", "7", False),
        ("7 lakh", "7", False),
        ("7 dozen", "84", True),
        ("2020-05-01", "2014", False),
        ("0.5%", "0.5", False),
        ("50%", "0.5", True),
        ("0.004", "0.00", False),
        ("5 Mb", "5 MB", False),
    ],
)
def test_where_a_number_is_asked_for(a: str, b: str, same: bool) -> None:
    assert answers_equal(FLOAT, a, b) is answers_equal(FLOAT, b, a) is same
    assert answers_equal(NUMBER, a, b) is same


def test_what_the_problem_says_decides() -> None:
    dozens = Problem(text="How many dozens of eggs are there?", answer_type="integer")
    assert answers_equal(dozens, "7 dozen", "7") and not answers_equal(dozens, "7 lakh", "7")
    rate = Problem(text="?", answer_type="float", unit="%")
    assert answers_equal(rate, "0.5%", "0.5") and not answers_equal(rate, "50%", "0.5")
    assert answers_equal(FLOAT.model_copy(update={"precision": 2}), "0.004", "0.00")
