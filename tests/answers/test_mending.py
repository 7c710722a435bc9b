"""A reply cut behind its first wrong value, with the right one in its place; or left alone."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers.equations import equations
from vitarmm_agent.answers.mending import mended
from vitarmm_agent.answers.steps import parse_steps

CERTAIN = {
    "1. The side is 20 / 4 = 6 cm.\n2. 6 * 6 = 36\nAnswer: 36": "1. The side is 20 / 4 = 5",
    "1. 3*4=12\n2. 12+1=14\nAnswer: 14": "1. 3*4=12\n2. 12+1=13",
    "She pays 3 * $4 = $13 in all.": "She pays 3 * $4 = $12",
    "3 * 400 = $1,300.00 a year": "3 * 400 = $1,200.00",
    "Cost: \\(3 \\times 400 = \\$1300\\)": "Cost: \\(3 \\times 400 = \\$1200",
    "\\[ 15 \\text{ cups} \\times 3 = 40 \\text{ cups} \\]": "\\[ 15 \\text{ cups} \\times 3 = 45",
    "\\[ 15 \\times 3 = 40\\text{ cups} \\]": "\\[ 15 \\times 3 = 45",
    "5 + 8 = 13 eggs, so 3 * 4 = 13 left": "5 + 8 = 13 eggs, so 3 * 4 = 12",
    "3 * 4 = 13 boxes, and 13 is the number of 13 boxes": "3 * 4 = 12",
    "3 plus 4 equals 8 apples": "3 plus 4 equals 7",
    "1 / 8 = 0.25 miles": "1 / 8 = 0.125",
    "20 - 15 = 6cm": "20 - 15 = 5",
    "1. Left:\n   \\[\n   36 - 12 - 4 = 28\n   \\]": "1. Left:\n   \\[\n   36 - 12 - 4 = 20",
    "(25 + 75) / 2 = 62.5": "(25 + 75) / 2 = 50",
    "8417 + 9092 = 17519": "8417 + 9092 = 17509",
    "$49.50 + $67.50 + $126.00 = $242.00": "$49.50 + $67.50 + $126.00 = $243.00",
    "3 x 4 = 13 and then": "3 x 4 = 12",
    "７ + ８ = １６ boxes": "７ + ８ = 15",
    "It is 4 - 6 = −3 degrees": "It is 4 - 6 = -2",
}
UNCERTAIN = [
    "1. 3 * 4 = 12\nAnswer: 12",  # nothing is wrong
    "It is 15 - 20 = 5",  # the operands may be the wrong way round
    "50% * 8 = 5",
    "1 / 4 = 20%",
    "1/4 = 20 %",
    "10 / 3 = 5",  # 3.333… would be rounded
    "0.1667 * 20 = 3.3333",  # a sixth of 20
    "13 = 3 * 4",  # it stands in front
    "3 * 4 = 13 + 2 = 15",
    "3 * 4 <<3*4=13>>13",
    "3 * 4 = <<3*4=13>>13 cups",
    "<think>3 * 4 = 13</think> 3 * 4 = 13",
    "3 * 2 million = 7 million",
    "**3 * 4 = 13**",
    "3 * 4 = 13/2",
    "3 * 4 = 2^5",
    "",
]


@pytest.mark.parametrize(("reply", "kept"), CERTAIN.items())
def test_the_right_value_stands_where_the_wrong_one_stood(reply: str, kept: str) -> None:
    assert mended(reply) == kept


@pytest.mark.parametrize("reply", UNCERTAIN)
def test_no_mend_is_made_that_is_not_certain(reply: str) -> None:
    assert mended(reply) is None


@pytest.mark.parametrize("kept", CERTAIN.values())
def test_what_is_kept_is_true_and_reads_as_the_equation_that_was_meant(kept: str) -> None:
    found = [equation for step in parse_steps(kept) for equation in equations(step.text)]
    assert found and all(equation.holds for equation in found)
    assert mended(kept) is None


def test_the_first_wrong_step_is_the_one_that_is_mended() -> None:
    text = "1. 2 + 2 = 4\n2. 4 * 3 = 13\n3. 13 * 2 = 25\nAnswer: 25"
    first = mended(text)
    assert first == "1. 2 + 2 = 4\n2. 4 * 3 = 12"
    assert mended(f"{first} apples\n3. 12 * 2 = 25\n") == f"{first} apples\n3. 12 * 2 = 24"
