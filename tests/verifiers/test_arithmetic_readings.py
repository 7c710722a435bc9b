"""Equations of the arithmetic verifier that have more than one reading, and those it used to pass over."""

from __future__ import annotations

import pytest

from tests.verifiers.helpers import attempt
from vitarmm_agent.effects import run
from vitarmm_agent.problem import Problem
from vitarmm_agent.verifiers.arithmetic import Arithmetic


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        # each result of a chain is compared with what was computed
        ("12 - 5 = 7 = 8", "fail"),
        ("3 * 4 = 12 = 12.5", "fail"),
        ("12 - 5 = 7 apples = 8 apples", "fail"),
        ("12 - 5 = 7 = 7.0", "pass"),
        ("1/4 = 0.25 = 25%", "pass"),
        ("10 / 3 = 3.33 = 3", "pass"),
        ("90 / 60 = 1.5 hours = 90 minutes", "pass"),
        ("24 * 60 = 1440 = 1 day", "pass"),
        ("5 * 20 = 100 cents = $1", "pass"),
        ("3 + 4 = 7 * 2 = 14", "pass"),
        # so many things, and what they come to: the number is a factor there
        ("6 pens = 1.50 * 6", "abstain"),
        ("6 pens = (1.50 * 6) = 9", "pass"),
        ("6 pens = 150 cents * 6 = 900 cents", "pass"),
        ("6 dozen = 12 * 6 = 72", "pass"),
        ("6 pens = 150 cents * 6 = 90 cents", "fail"),
        ("6 pens = 1.50 * 7", "fail"),
        ("6 pens = 5 + 6", "fail"),
        ("6 = 1.50 * 6", "fail"),
        ("$6 = 1.50 * 6", "fail"),
        # points and commas
        ("1.000 + 500 = 1.500", "abstain"),
        ("Ein Auto kostet 1.000 Euro.\n1. 1.000 + 500 = 1.500\nAntwort: 1.500", "abstain"),
        ("1.000 + 500 = 1.600", "abstain"),
        ("2,5 + 2,5 = 5", "abstain"),
        ("12,50 € - 2,50 € = 10,00 €", "abstain"),
        ("1.234,50 + 0,50 = 1.235", "abstain"),
        ("1,000 + 500 = 1,500", "pass"),
        ("1,000 + 500 = 1,600", "fail"),
        ("0.125 * 8 = 2", "fail"),
        ("1.125 * 8 = 9", "pass"),
        # quoted lines
        ("> 12 - 5 = 8", "fail"),
        ("> > 12 - 5 = 8", "fail"),
        ("> 12 - 5 = 7", "pass"),
        ("x > 12 - 5 = 8", "abstain"),
        # groups: which numbers count dozens is not said
        ("5 dozen - 10 = 50 eggs", "abstain"),
        ("2 * 3 dozen = 72 eggs", "abstain"),
        ("60 - 2 dozen = 36", "abstain"),
        ("7 pairs + 1 = 15 shoes", "abstain"),
        ("3 couples + 1 = 7 people", "abstain"),
        ("3 tens + 4 ones = 34", "abstain"),
        ("2 thirds + 1 third = 1", "abstain"),
        ("72 / 12 = 6 dozen", "pass"),
        # times of day
        ("10 + 5 = 3 pm", "abstain"),
        ("22 + 5 = 3 am", "abstain"),
        ("10 + 5 = 3 o'clock", "abstain"),
        ("7 + 8 = 3 in the afternoon", "abstain"),
        ("3 + 4 = 8 eggs in the morning", "fail"),
        ("0900 - 0130 = 0730 hours", "abstain"),
        # ranges, both ends counted or passed
        ("Pages 30-45 = 16 pages", "abstain"),
        ("12 - 15 March = 4 days", "abstain"),
        ("1990-2000 = 10 years", "abstain"),
        ("9-17 = 8 hours", "abstain"),
        ("9 - 5 = 8 hours", "abstain"),
        ("Subtract weeks 3-4 from weeks 1-2 = 96 - 70", "abstain"),
        ("He has 45 - 30 = 16 pages", "fail"),
        ("He has 20 - 35 = 15 left", "fail"),
        # units that are not said, or part each other
        ("2 hours - 30 = 90", "abstain"),
        ("2 + 3 hours = 6 hours", "fail"),
        ("4 pounds - 6 ounces = 58 ounces", "abstain"),
        ("(2/5) * 500cm³ = 200cm³", "pass"),
        ("500cm³ + 100cm³ = 700cm³", "fail"),
        # fractions
        ("25 / 1/3 = 75", "abstain"),
        ("7/12 / 1/12 = 7", "abstain"),
        ("25 / 1/3 = 74", "fail"),
        ("2/3 of the tank equals 16 gallons", "abstain"),
        ("7 adults + Shonda (1) + 2 kids + 10 friends = 20", "abstain"),
        ("17 000/5 = 3 400", "pass"),
        ("2 1/2 + 1 = 3.5", "pass"),
        # scales
        ("2 lakh + 3 lakh = 6 lakh", "fail"),
    ],
)  # fmt: skip
def test_readings(text: str, verdict: str) -> None:
    problem = Problem(text="?")
    feedback = run(Arithmetic().check(problem, attempt(text, problem)))
    assert feedback.verdict == verdict
    assert verdict == "fail" or not feedback.mended
