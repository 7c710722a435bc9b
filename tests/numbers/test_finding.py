"""Numbers of running texts, each worked by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from vitarmm_agent.numbers.finding import numbers_in, replace_numbers


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("15 or 0.5 of x5, the 5th of 1,200", ["15", "1/2", "1200"]),
        ("twelve hundred and five, then twenty-five", ["1205", "25"]),
        ("two and five", ["2", "5"]),
        ("5 million and a thousand", ["5000000", "1000"]),
        ("3/4 of it, 2 1/2 hours, 1/0", ["3/4", "5/2", "1", "0"]),
        ("three quarters, one third, two and a half", ["3/4", "1/3", "2"]),
        ("½ or 2½", ["1/2", "5/2"]),
        ("is -3, x-3, -$5, 40 -15", ["-3", "3", "-5", "40", "15"]),
        ("1/2/3", ["1", "2", "3"]),
        (r"2{,}500 and 3\,200 and 1,\!000{,}000", ["2500", "3200", "1000000"]),
        ("2’500 or 2'500 or 2\u2009500", ["2500", "2500", "2500"]),
        ("5'10 and {3}, 400 and 6', 120", ["5", "10", "3", "400", "6", "120"]),
        ("一共72个，还有３个", ["72", "3"]),
        ("٤٢ و १२", ["42", "12"]),
        ("fifteen seats, sixteen seats", ["15", "16"]),
        ("no number here, only someone", []),
    ],
)
def test_values(text: str, values: list[str]) -> None:
    assert [str(found.value) for found in numbers_in(text)] == values


def test_where_they_stand_and_what_is_behind_them() -> None:
    text = "costs −$1,200 (50% or fifty percent) of 3/4"
    found = list(numbers_in(text))
    assert [text[one.start : one.end] for one in found] == ["1,200", "50", "fifty", "3/4"]
    assert [one.percent for one in found] == [False, True, True, False]
    assert [one.spelled for one in found] == [False, False, True, False]
    assert found[0].value == -1200 and found[3].parts == (Fraction(3), Fraction(4))


def test_words_that_hold_a_number_are_read_loosely_only() -> None:
    text = "half a dozen, twice"
    assert list(numbers_in(text)) == []
    assert [str(found.value) for found in numbers_in(text, loose=True)] == ["1/2", "12", "2"]
    assert list(numbers_in("twelve", words=False)) == []


def test_replacing_them() -> None:
    text = "5 of 12 are ½, not x5"
    assert replace_numbers(text, lambda found: "N") == "N of N are N, not x5"
    assert replace_numbers(text, lambda found: None) == text


@pytest.mark.parametrize("text", ["合計5個", "합계5개", "山﨑5個", "\uf90a5枚"])
def test_letters_of_scripts_that_touch_numbers_are_no_variables(text: str) -> None:
    assert [found.value for found in numbers_in(text)] == [5]
