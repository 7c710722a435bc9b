from __future__ import annotations

from fractions import Fraction

import pytest

from vitarmm_agent.answers.arithmetic import MAX_BITS, NotArithmeticError, evaluate
from vitarmm_agent.answers.closed_form import closed_form
from vitarmm_agent.answers.latex import boxes, to_plain
from vitarmm_agent.numbers.reading import fold_digits, parse_number, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("-3", -3),
        ("1,234,567.5", Fraction("1234567.5")),
        ("12 000", 12_000),
        ("$1,200.50", Fraction("1200.5")),
        ("-$5", -5),
        ("$-5", -5),
        ("15%", 15),
        ("3/4", Fraction(3, 4)),
        ("2 1/2", Fraction(5, 2)),
        ("½", Fraction(1, 2)),
        ("2½", Fraction(5, 2)),
        ("6.02e23", 602 * 10**21),
        ("2 × 10^3", 2000),
        ("1.5 million dollars", 1_500_000),
        ("twenty-three", 23),
        ("one hundred and five", 105),
        ("12 km/h", 12),
        ("٤٢", 42),
        ("４２", 42),
        ("−7", -7),
        ("18.", 18),
        ("**18**", 18),
    ],
)
def test_numbers_as_people_write_them(text: str, value: Fraction | int) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "apples", "NaN", "inf", "-Infinity", "1/0", "3 and 4", "1e99999", "9" * 500, "1.2.3", "x"],
)
def test_what_is_no_number(text: str) -> None:
    assert parse_number(text) is None


def test_digits_of_other_scripts_become_ascii() -> None:
    assert fold_digits("१२३ ٤٥ ６−1") == "123 45 6-1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1,200 - 3 × 4) ÷ 2", 594),
        ("3 ∗ 4", 12),
        ("6 ∶ 3", 2),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("(2)(3)", 6),
        ("50% * 10", 5),
        ("3 million / 2", 1_500_000),
        ("2 x 3", 6),
        ("0.1 + 0.2", Fraction(3, 10)),
    ],
)
def test_arithmetic_is_exact(text: str, value: Fraction | int) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "9^9^9^9",
        "(" * 500 + "1" + ")" * 500,
        "1/0",
        "0^-1",
        "2^0.5",
        "(1 + 2",
        "1 +",
        "x + 1",
        "__import__('os')",
        "+".join(["1"] * 1000),
        "2^" + "9" * 300,
    ],
)
def test_arithmetic_refuses_what_it_cannot_bound(text: str) -> None:
    with pytest.raises(NotArithmeticError):
        evaluate(text)


def test_values_stay_within_the_bound() -> None:
    with pytest.raises(NotArithmeticError):
        evaluate("*".join(["9" * 300] * 10))
    assert evaluate("2^2000").numerator.bit_length() <= MAX_BITS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{\sqrt{3}}{2}", 3**0.5 / 2),
        (r"5\sqrt{5}-10", 5 * 5**0.5 - 10),
        ("3√2", 3 * 2**0.5),
        (r"2(\sqrt2-1)", 2 * (2**0.5 - 1)),
        (r"\pi-2", 3.141592653589793 - 2),
        ("45^2", 2025),
        (r"\frac12", 0.5),
        (r"90^\circ", 90),
    ],
)
def test_closed_forms(text: str, value: float) -> None:
    assert closed_form(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["x+1", "9^9^9^9", r"\sqrt{-1}", "1/0", "(3,4)", "", "a" * 500])
def test_what_has_no_closed_form(text: str) -> None:
    assert closed_form(text) is None


def test_boxes_may_be_nested_and_unclosed() -> None:
    assert [c for _, c in boxes(r"a \boxed{\frac{1}{2}} b \boxed{x_{1}}")] == [
        r"\frac{1}{2}",
        "x_{1}",
    ]
    assert [c for _, c in boxes(r"\boxed{\boxed{3}}")] == [r"\boxed{3}"]
    assert [c for _, c in boxes("so \\boxed{42\nand more")] == ["42"]


def test_latex_in_plain_characters() -> None:
    assert to_plain(r"\frac{3}{4}\text{ cm} \times 2") == "((3)/(4)) cm  *  2"
    assert to_plain("no latex (at all)") == "no latex (at all)"


def test_show_is_short() -> None:
    assert [show(Fraction(v)) for v in ("3", "2.50", "1/3", "-0.1")] == [
        "3",
        "2.5",
        "0.333333",
        "-0.1",
    ]
    assert "10^" in show(Fraction(10) ** 4000)
