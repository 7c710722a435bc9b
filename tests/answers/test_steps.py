from __future__ import annotations

import pytest

from vitarmm_agent.answers import parse_steps
from vitarmm_agent.answers.equations import equations


def texts(response: str) -> list[str]:
    return [step.text for step in parse_steps(response)]


@pytest.mark.parametrize(
    ("response", "steps"),
    [
        ("1. 3 + 4 = 7\n2. 7 * 2 = 14\nAnswer: 14", ["3 + 4 = 7", "7 * 2 = 14", "Answer: 14"]),
        (
            "Step 1: add\nStep 2: multiply\nThe answer is 14.",
            ["add", "multiply", "The answer is 14."],
        ),
        ("1) add\n   3 + 4 = 7\n2) stop", ["add\n3 + 4 = 7", "stop"]),
        ("- add\n- multiply", ["add", "multiply"]),
        ("1 - add\n2 - multiply", ["add", "multiply"]),
        ("1. add:\n36 - 12 - 4 = 20\n2. stop", ["add:\n36 - 12 - 4 = 20", "stop"]),
        ("First we add.\n\nThen we stop.", ["First we add.", "Then we stop."]),
        ("**Step 1:** add\n**Step 2:** stop", ["add", "stop"]),
        ("Let's solve it step by step.\n1. add\n2. stop", ["add", "stop"]),
        ("3 + 4 = 7 in all.\n1. add\n2. stop", ["3 + 4 = 7 in all.\nadd", "stop"]),
        ("<step>12 - 5 = 7</step>\n<step>7 + 1 = 8</step>", ["12 - 5 = 7", "7 + 1 = 8"]),
        ("<steps><step>1. add</step><step>2. stop</step></steps>", ["add", "stop"]),
        ('<step n="1">add</step> <step n="2">stop</step>', ["add", "stop"]),
        ("<step 1>add</step><step 2>stop</step>", ["add", "stop"]),
        ("<ol>\n<li>12 - <b>5</b> = 7</li>\n<li>stop</li>\n</ol>", ["12 - 5 = 7", "stop"]),
        ("<p>12 - 5 = 7</p>", ["12 - 5 = 7"]),
        ("<step>12 - 5 = 7", ["12 - 5 = 7"]),
        ("12 - 5 = 7</step>", ["12 - 5 = 7"]),
        ("<reasoning>\n1. add\n</reasoning>\n<answer>7</answer>", ["Answer: 7"]),
        (
            "<solution>\n1. add\n2. stop\n</solution>\n<answer>7</answer>",
            ["add", "stop", "Answer: 7"],
        ),
        ("### Step 1: add\n### Step 2 - stop", ["add", "stop"]),
        ("5<sup>2</sup> = 25", ["5^(2) = 25"]),
        ("if a <b and c> d, a<b>c", ["if a <b and c> d, ac"]),
        ("- Step 1: add\n- Step 2: stop", ["add", "stop"]),
        ("", []),
        ("  \n---\n", []),
    ],
)
def test_steps(response: str, steps: list[str]) -> None:
    assert texts(response) == steps


@pytest.mark.parametrize(
    ("response", "numbers"),
    [
        ("2. a\n3. b\nAnswer: 5", [2, 3, 4]),
        ("Let us see.\n1. a\n3. b", [1, 3]),
        ("Step 4: a", [4]),
        ('<step n="2">a</step><step n="3">b</step>', [2, 3]),
        ("3. a\n7. b\n7. c", [1, 2, 3]),  # not rising: by their order
        ("1. a\nAnswer: 5\n2. b", [1, 2, 3]),
        ("999. a", [1]),
        ("a\nb", [1, 2]),
    ],
)
def test_a_step_has_the_number_that_was_written(response: str, numbers: list[int]) -> None:
    assert [step.number for step in parse_steps(response)] == numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So 16 - 3 - 4 = 9 eggs are left.", "16 - 3 - 4 = 9"),
        ("She makes 9 * 2 = $18 every day", "9 * 2 = 18"),
        ("80,000+50,000=$130,000", "80,000 + 50,000 = 130,000"),
        ("400 000 - 32 000 = 368 000", "400 000 - 32 000 = 368 000"),
        (r"The area is $\frac{1}{2} \times 3 \times 4 = 6$.", "((1) / (2)) * 3 * 4 = 6"),
        ("12 students / 3 groups = 4 students per group", "12 / 3 = 4"),
        ("20% of 50 = 10", "20% * 50 = 10"),
        ("3 (apples) + 4 (oranges) = 7", "3 + 4 = 7"),
        ("10 / 3 ≈ 3.33", "10 / 3 ≈ 3.33"),
        ("6 plus 4 equals 10", "6 + 4 = 10"),
        ("2 1/2 * 4 = 10", "(2 + 1 / 2) * 4 = 10"),
        (r"180^\circ - 60^\circ = 120^\circ", "180 - 60 = 120"),
        ("3 x 4 = 12", "3 * 4 = 12"),
        ("4 cars / 20 cars * 100% = 20%", "4 / 20 * 100% = 20%"),
        ("5 / 2 = 2", "5 / 2 = 2"),
        ("1/3 * 5 = 1.6666666666666665", "1 / 3 * 5 = 1.6666666666666665"),
        ("3 + 4 = 7 * 2 = 14", "3 + 4 = 7 * 2"),
    ],
)
def test_true_equations_are_read_and_hold(text: str, found: str) -> None:
    read = equations(text)
    assert found in [equation.text for equation in read]
    assert all(equation.holds for equation in read)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So 16 - 3 - 4 = 8 eggs are left.", "9"),
        ("130,000*.15 = $195,000", "19500"),
        (r"$5^2 + 9^2 = 10^2$", "106"),
        (r"\[64-10=\boxed{\frac{124}{8}}\]", "54"),
        ("3 + 4 = 8 = 2 * 4", "7"),
        ("48 / 1048 = 0.5458", "0.0458"),
        ("She has <<3+4=8>>8 eggs", "7"),
        ("5 / 2 = 2.4", "2.5"),
        (f"It is <<{'1+' * 160}1=162>>162", "161"),
    ],
)
def test_false_equations_are_told_with_the_right_value(text: str, value: str) -> None:
    wrong = [equation for equation in equations(text) if not equation.holds]
    assert [equation.right_value for equation in wrong] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "Combining like terms, we get 2s + 30 = 110",
        "x + 3 = 8",
        "The ratio 3∶4 = 7 parts",
        "H = 88,000 - 10H = 78,000",
        r"2\text{K}+1=2",
        r"\frac{1}{2}bh = \frac{1}{2}(3-1)(3-1)",
        r"\begin{pmatrix} 3 - 3 \\ -2 - 2 \end{pmatrix} = \begin{pmatrix} 0 \\ -4 \end{pmatrix}",
        "3:00 + 2 = 5:00",
        "2 feet + 6 inches = 30 inches",
        "2 hours * 60 = 120 minutes",
        "5 more than 3 * 2 = 11",
        "sin 30 = 1/2",
        "Day 2 = 5 * 3",
        "f(2) = 2 * 3 = 6",
        "17 = 2 (mod 5)",
        "80 + 10% = 88",
        "17 / 5 = 3 remainder 2",
        "the truck earned 360 - 480 = $120 less",
        "AB = 3 and CD = 4",
        r"\tan 2x = \frac{2/3}{1-(1/3)^2}",
        r"7\pi + 2 = 9",
        "3 < 4 = 5",
    ],
)
def test_what_could_be_read_otherwise_is_not_called_false(text: str) -> None:
    assert [e.text for e in equations(text) if not e.holds] == []
