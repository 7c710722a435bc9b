"""Answers that people and models write in different ways, and others that only look alike.

Each line is a kind that graders elsewhere were reported to read wrong; the values are worked by hand.
"""

from __future__ import annotations

import pytest

from tests.answers.tables import rows
from vitarmm_agent.answers import answers_equal
from vitarmm_agent.answers.structures import structure_of
from vitarmm_agent.problem import Problem

TEXT = Problem(text="?")
NUMBER = Problem(text="?", answer_type="integer")
LIST = Problem(text="?", answer_type="list")

SAME: dict[str, list[tuple[str, str]]] = {
    "leading point": [
        (".5", "0.5"), ("-.25", "-1/4"), ("$.50", "$0.50"), (".5%", "0.5%"), (r".5\pi", r"\frac{\pi}{2}"),
    ],
    "factorial": [
        ("5!", "120"), ("0!", "1"), ("3!+1", "7"), (r"\frac{4!}{2!}", "12"), ("Paris!", "Paris"),
    ],
    "units": [
        ("5 km", "5000 m"), ("2 hours", "120 minutes"), ("50 cents", "$0.50"), ("9 am", "9 a.m."),
        ("1 ft", "12 inches"), ("36 km/h", "10 m/s"), ("5 square metres", r"5\text{ m}^2"), ("3 weeks", "21 days"),
        ("60°", "60 degrees"), ("5 apples", "5 red apples"), ("5 km", "5"), ("500 m²", "0.0005 km²"),
    ],
    "mixed numbers": [
        (r"3\frac{3}{4}", "3.75"), (r"-1\frac{3}{4}", "-7/4"), (r"1\tfrac{1}{2}", "3/2"), (r"2 \dfrac12", "2 1/2"),
        (r"1\frac12\pi", r"\frac{3\pi}{2}"), (r"5\frac{1}{3}\text{ cm}", "16/3 cm"),
    ],
    "repeating decimals": [
        ("0.(3)", "1/3"), (r"0.1\overline{6}", "1/6"), (r"0.\dot{1}4285\dot{7}", "1/7"), ("0.3̅", "1/3"),
        (r"0.\overline{9}", "1"), (r"2.\bar{45}", "27/11"),
    ],
    "raised figures": [
        ("10³", "1000"), ("x²", "x^2"), ("2⁻¹", "0.5"), ("3 × 10⁻² m", "0.03 m"), ("6×10²³", "6e23"), ("2⁵", "32"),
    ],
    "other marks": [
        ("3,5 kg", "3.5 kg"), ("1.234,56", "1234.56"), ("1.234.567", "1234567"), ("0,75", "3/4"), ("1,00,000", "100000"),
        ("1 234,5", "1234.5"), (r"1{,}000{,}000", "1000000"), (r"1,\!000,\!000", "1,000,000"), (r"\$10,\!080", "$10080"),
    ],
    "bases": [
        ("101_2", "5"), ("FF_{16}", "255"), ("(101)_2", "101₂"), (r"101_{\text{two}}", "101 base 2"), ("77_{10}", "77"),
    ],
    "ordinals": [("21st", "21"), ("3rd", "3"), ("2^{nd}", "2"), (r"1^{\text{st}}", "1st")],
    "negative words": [
        ("negative 5", "-5"), ("minus five", "-5"), ("minus 1/2", "-0.5"), ("5 degrees below zero", "-5 degrees"),
    ],
    "matrices": [
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
        (r"\begin{pmatrix} 1 & \frac12 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&0.5\\3&4\end{pmatrix}"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "[[1, 2], [3, 4]]"),
        (r"\left(\begin{array}{cc} 1 & 2 \end{array}\right)", r"\begin{pmatrix}1&2\end{pmatrix}"),
    ],
    "sets and order": [
        (r"\left\{1,2\right\}", r"\{2, 1\}"), ("{1,2,3}", "{3,1,2}"), (r"x=2 \text{ or } x=3", r"\{2,3\}"),
        (r"\{(1,2),(3,4)\}", r"\{(3,4),(1,2)\}"), (r"\{\frac12, 2\}", r"\{2, 0.5\}"), (r"\{5\}", "5"),
        (r"\{a,b\}", r"\{b,a\}"), (r"\{x+1, 2\}", r"\{2, 1+x\}"), (r"x \in \{1,2\}", r"\{2,1\}"), ("(2,3)", "(2, 3.0)"), (r"\langle 1,2\rangle", r"\langle 1, 2 \rangle"),
    ],
    "intervals": [
        ("[0,1)", r"\left[0, 1.0\right)"), ("]0,1[", "(0,1)"), (r"x \in [0,1)", "[0,1)"),
        (r"(-\infty,1) \cup (2,3]", r"(2,3] \cup (-\infty,1)"),
    ],
    "tiny and series": [
        (r"1, 2, \dots, n", r"1, 2, \ldots, n"), ("1:2:3", "1 : 2 : 3"), (r"\mathrm{e}^2", "e^2"),
    ],
}  # fmt: skip
DIFFERENT: dict[str, list[tuple[str, str]]] = {
    "leading point": [(".5", "5"), ("-.25", "-25"), (".05", ".5"), (".5x", "5x")],
    "letters": [
        ("2e", "2"), ("5n", "5"), ("3a", "3b"), (r"2\sqrt{3}", "2"), ("2 sin x", "2"), (r"3\theta", "3"), ("-4x", "-4"),
        ("10k", "10"), ("5m", "5"), ("6 x", "6"), ("3^x", "3"), ("n!", "n"), ("6i", "6j"), ("4πr", "4π"), ("2 ln 3", "2"),
        ("f'(x)", "f(x)"), ("8 xyz", "8"),
    ],
    "units": [
        ("5 km", "5 kg"), ("2 hours", "2 minutes"), ("$5", "€5"), ("9 am", "9"), ("5 May", "5"), ("5 dozen", "5"),
        ("20 °C", "20 °F"), ("60 km/h", "60 mph"), ("5 m^2", "5 m"), ("5 apples", "5 oranges"), ("12 pm", "12 am"),
        ("3 months", "3 years"), ("5%", "5 km"),
    ],
    "mixed numbers": [(r"3\frac{3}{4}", r"\frac{9}{4}"), (r"1\frac{1}{2}", "0.5"), (r"x^2\frac{1}{2}", "x+2.5")],
    "repeating decimals": [(r"0.\overline{6}", "0.6"), ("0.(3)", "0.3"), (r"0.\overline{3}", r"0.\overline{6}")],
    "raised figures": [("x²", "x^3"), ("x²", "x"), ("3×10⁸", "3×10⁹"), ("2⁵", "25"), ("5 m²", "5 m³")],
    "other marks": [("1,234", "1.234"), ("3,5", "35"), (r"10,\!080", "10")],
    "bases": [("101_2", "101"), ("12_3", "12_4"), ("FF_{16}", "FF"), ("a_1", "a_2"), ("19_8", "19")],
    "ordinals": [("12th", "13"), ("x^{th}", "x")],
    "negative words": [("negative 5", "5"), ("minus five", "five")],
    "matrices": [
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
        (r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1,2)"),
    ],
    "sets and order": [
        (r"\{1,2,3\}", r"\{1,2\}"), (r"\{1,2\}", "(1,2)"), ("1, 2", "2, 1"), ("red, green", "green, red"),
        (r"\{(1,2)\}", r"\{(2,1)\}"), (r"\{1, 1\}", r"\{1, 2\}"), ("2 or 3", "2"), ("20, 30", "20"),
    ],
    "intervals": [
        ("(0,1]", "[0,1)"), (r"(-\infty, 2]", r"(-\infty, 2)"), ("[0,1)", "0, 1"),
        (r"(-\infty,1) \cup (2,3]", r"(-\infty,1) \cup (2,3)"),
    ],
    "tiny and series": [
        (r"\frac{1}{1000!}", r"\frac{1}{1001!}"), ("10^{-20}", "10^{-21}"), (r"x^2+10^{-20}", "x^2"),
        ("1+2+...+n", "1+3+...+n"), ("2, 4, 6, …", "2, 4, 8, …"), ("1:2:3", "1:2:4"),
        (r"\frac{x}{\mathrm{e}}+1", r"\frac{x}{\mathrm{e}}-1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("a", "b"), rows(SAME))
def test_the_same_in_other_writing(a: str, b: str) -> None:
    assert answers_equal(TEXT, a, b) and answers_equal(TEXT, b, a)


@pytest.mark.parametrize(("a", "b"), rows(DIFFERENT))
def test_what_only_looks_the_same(a: str, b: str) -> None:
    assert not answers_equal(TEXT, a, b) and not answers_equal(TEXT, b, a)


@pytest.mark.parametrize(
    ("unit", "answer", "reference", "same"),
    [
        ("cm", "5 m", "5", False),
        ("cm", "0.05 m", "5", True),
        ("hours", "90 minutes", "1.5", True),
        ("dollars", "500 cents", "5", True),
        (None, "9 am", "9", True),
        (None, "5 pears", "5 apples", True),
        (None, "5 cents", "$5", False),
    ],
)
def test_where_a_number_is_asked_for_its_unit_counts_when_it_changes_the_value(
    unit: str | None, answer: str, reference: str, same: bool
) -> None:
    problem = NUMBER.model_copy(update={"unit": unit})
    assert answers_equal(problem, answer, reference) is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("[1, 2, 3]", "(1, 2, 3)", True),
        ("[1, 2, 3]", r"\{1, 2, 3\}", True),
        ("{1; 2; 3}", "3, 2, 1", True),
        ("[5]", "5", True),
        ("(1, 3]", "(1, 3)", False),
        ("[1, 2]", "(1, 2)", False),
        ("[[1, 2], [3, 4]]", "[[1, 2], [4, 3]]", False),
    ],
)
def test_lists_and_their_brackets(a: str, b: str, same: bool) -> None:
    assert answers_equal(LIST, a, b) is answers_equal(LIST, b, a) is same


def test_items_nested_without_end_are_not_read() -> None:
    assert structure_of("(1," * 500 + "2" + ")" * 500) is None
    nested = "{" * 6 + "1, 2" + "}, 3" * 6
    assert not answers_equal(LIST, nested, nested.replace("3", "4"))
