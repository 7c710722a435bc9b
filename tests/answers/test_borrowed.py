"""Numbers copied from a worked example whose problem differs from this one in numbers alone."""

from __future__ import annotations

import pytest

from vitarmm_agent.answers.borrowed import BorrowedNumber, with_own_number
from vitarmm_agent.answers.borrowed import borrowed as find
from vitarmm_agent.problem import Problem

EXAMPLE = "There are 14 players and 5 coaches. Each player brings 6 guests. A pizza costs $30. How much for all?"
PROBLEM = "There are 12 players and 5 coaches. Each player brings 8 guests. A pizza costs $20. How much for all?"
SOLUTION = """1. Guests: 14 * 6 = 84
2. In all 5 + 14 = 19 players and coaches, and 84 guests, are 103
3. They pay 30 * 103 = 3090 dollars, 30 / 2 = 15 dollars for half a pizza, 14 / 2 = 7
Answer: 3090"""


def borrowed(
    reply: str, problem: str, example: str, solution: str, *choices: str
) -> BorrowedNumber | None:
    """What is found where the example was shown as the loop shows it."""
    shown = Problem(text=example, choices=choices).to_prompt()
    return find(reply, Problem(text=problem, choices=choices), shown, solution)


COPIED = {
    "1. Guests: 14 * 8 = 112": "1. Guests: 12",
    "1. Guests: 12 * 8 = 96\n2. They pay $30*13=$390.\nAnswer: 390": "1. Guests: 12 * 8 = 96\n2. They pay $20",
    "1. 12 x 6 = 72 guests": "1. 12 x 8",
    "1. (14 + 5) people": "1. (12",
    "1. 5 + 14 = 19": "1. 5 + 12",
    "1. 30 / 5 = 6 and 30/5": "1. 20",
    "1. 2*14 = 28": "1. 2*12",
    r"1. $14 \times 8 = 112$": r"1. $12",
    r"1. Guests: 12 \cdot 6 = 72": r"1. Guests: 12 \cdot 8",
    "1. 14x8 = 112 guests": "1. 12",
    "1. 12x6 = 72 guests": "1. 12x8",
    r"Half: $\frac{14}{2} = 7$": r"Half: $\frac{12",
}
OWN = [
    "1. 12 * 8 = 96\n2. 96 + 12 + 5 = 113\nAnswer: 113",
    "1. 5 * 8 = 40",  # five stands in both
    "1. 12 / 2 = 6\n2. 6 * 5 = 30\n3. 30 + 20 = 50",  # six and thirty were found
    "1. Half of the players are 6\n2. 6 + 5 = 11",  # found in words
    "The example had 14 players.\nAnswer: 113",  # nothing is calculated with it
    "1. 6-year-olds, 14 of them",
    "Guests:\n- 6 come with each player",  # a bullet is no minus
    "1. 12 * 8 = 12 * 6 + 12 * 2 = 96",
    "",
]


@pytest.mark.parametrize(("reply", "kept"), COPIED.items())
def test_a_number_of_the_example_is_put_right(reply: str, kept: str) -> None:
    fault = borrowed(reply, PROBLEM, EXAMPLE, SOLUTION)
    assert fault is not None
    assert with_own_number(reply, fault) == kept


@pytest.mark.parametrize("reply", OWN)
def test_nothing_is_said_of_numbers_that_may_be_its_own(reply: str) -> None:
    assert borrowed(reply, PROBLEM, EXAMPLE, SOLUTION) is None


@pytest.mark.parametrize(
    ("problem", "example", "reply"),
    [
        ("Tom has 12 cats.", "Tom has 14 dogs.", "14 * 2 = 28"),
        ("He works 6 days a week for 40 weeks.", "He works 7 days a week for 50 weeks.", "7 * 40 = 280"),
        ("It has 5 miles and 9 stops.", "It has 12 miles and 8 stops.", "12 * 9 = 108"),
        ("3 of 9 and 4 of 8", "5 of 7 and 5 of 6", "5 * 2 = 10"),  # fmt: skip
    ],
    ids=["other words", "days of a week", "inches", "one number for two"],
)  # fmt: skip
def test_nothing_is_said_where_it_may_be_meant_otherwise(
    problem: str, example: str, reply: str
) -> None:
    assert borrowed(reply, problem, example, f"So it is {reply}") is None


WINDOWS = "Sister has {} feet, {} inches; Vlad has 6 feet, 3 inches. How many more?"
CAKES = "He needs {} layer cakes and 18 others. How many cans, if each other takes half a can and each layer cake one?"
SOLVED_CAKES = "1. The layer cakes take 1*2 = 2 cans\n2. The others take 18*.5 = 9 cans\n3. In all 2+9 = 11\nAnswer: 11"
WEEKS = "He works {} days a week for 40 weeks."


@pytest.mark.parametrize(
    ("problem", "example", "solution", "reply", "kept"),
    [
        (
            WINDOWS.format(2, 8),
            WINDOWS.format(2, 7),
            "1. Vlad = 6 ft * 12 in/ft + 3 = 75 inches\n2. Sister = 2 ft * 12 in/ft + 7 = 31 inches",
            "1. Vlad = 6 ft * 12 in/ft + 3 = 75 inches\n2. Sister = 2 ft * 12 in/ft + 8 = 31 inches",
            "1. Vlad = 6 ft * 12 in/ft + 3 = 75 inches\n2. Sister = 2 ft * 12 in/ft + 8 = 32",
        ),
        (
            CAKES.format(5),
            CAKES.format(2),
            SOLVED_CAKES,
            SOLVED_CAKES.replace("1*2 = 2", "1*5 = 5"),
            "1. The layer cakes take 1*5 = 5 cans\n2. The others take 18*.5 = 9 cans\n3. In all 5",
        ),
        (
            CAKES.format(5),
            CAKES.format(2),
            SOLVED_CAKES,
            "1. The layer cakes take 1*5 = 5 cans\n2. The others take 18*.5 = 9 cans\n3. In all 5+9 = 14\nAnswer: 11",
            "1. The layer cakes take 1*5 = 5 cans\n2. The others take 18*.5 = 9 cans\n3. In all 5+9 = 14\nAnswer: 14",
        ),
        (WEEKS.format(6), WEEKS.format(7), "1. 7*40 = 280", "1. 7*40 = 280", "1. 6"),
    ],
    ids=["a result", "an earlier result", "the answer", "a number of the calendar"],
)  # fmt: skip
def test_a_reply_that_follows_the_solution_is_put_right_where_it_is_still_the_examples(
    problem: str, example: str, solution: str, reply: str, kept: str
) -> None:
    fault = borrowed(reply, problem, example, solution)
    assert fault is not None
    assert with_own_number(reply, fault) == kept


@pytest.mark.parametrize(
    ("text", "own", "others", "solution", "reply"),
    [
        ("A regular hexagon has a side of {} cm. What is its perimeter?", (9,), (6,),
         "1. A hexagon has 6 sides: 6 * 6 = 36 cm.\nAnswer: 36",
         "1. A hexagon has 6 sides: 6 * 9 = 54 cm.\nAnswer: 54"),
        ("How many legs have {} ants?", (9,), (6,), "", "An ant has six legs: 9 * 6 = 54"),
        ("How many cents are {} nickels?", (8,), (5,), "1. 5 * 5 = 25", "1. 8 * 5 = 40"),
        ("A square has a perimeter of {}. What is its area?", (20,), (4,),
         "1. 4 / 4 = 1\n2. 1 * 1 = 1", "1. 20 / 4 = 5\n2. 5 * 5 = 25"),
        ("What is the mean of {}, {}, {}, {} and {}?", (8, 9, 10, 11, 12), (3, 4, 5, 6, 7),
         "1. 3 + 4 + 5 + 6 + 7 = 25\n2. 25 / 5 = 5", "1. 8 + 9 + 10 + 11 + 12 = 50\n2. 50 / 5 = 10"),
        ("What is {} °C in °F?", (20,), (32,), "1. 32 * 9 / 5 + 32 = 89.6", "1. 20 * 9 / 5 + 32 = 68"),
        ("It has {} floors of {} units, 3/4 of them full. How many are full?", (10, 6), (20, 4), "",
         "1. 6 units/floor * 10 floors = 60 units\n2. 3/4 * 60 = 45"),
    ],
    ids=["sides", "legs", "cents", "a square", "how many", "degrees", "a fraction"],
)  # fmt: skip
def test_a_constant_may_equal_a_number_of_the_example(
    text: str, own: tuple[int, ...], others: tuple[int, ...], solution: str, reply: str
) -> None:
    assert borrowed(reply, text.format(*own), text.format(*others), solution) is None


SHIRT = "A shirt costs ${} and is sold at {}% off. What does it cost?"
MILES = "Jan drives {} miles each way, {} days a week. How far is that?"
PENS = "A box has {} pens. How many pens are in {} boxes?"
EATEN = "小明有{}个苹果，每天吃{}个。{}天后还剩多少个？"


@pytest.mark.parametrize(
    ("text", "own", "others", "reply"),
    [
        (SHIRT, (50, 20), (200, 80), "The price is $50 × 80/100 = $40."),
        (SHIRT, (50, 20), (200, 120), "With 20% more it were 50 * 120/100 = 60."),
        (SHIRT, (50, "0.2"), (200, "0.8"), "The price is 50 * 0.8 = 40."),
        (MILES, (24, 5), (48, 4), "Weekly: 5 * 48 = 240 miles."),
        (MILES, (48, 5), (24, 4), "One way it is the half each: 5 * 24 = 120 miles."),
        (MILES, (24, 5), (120, 4), "Each way: 2 * 120 = 240"),
        (PENS, (24, 13), (20, 8), "20 × 13 = 260\n4 × 13 = 52\nTogether 312."),
        (PENS, (12, 15), (10, 8), "10 × 15 = 150 and 2 × 15 = 30, in all 180."),
        (PENS, ("0.75", 6), ("1.50", 4), "3 × 1.50 = 4.50"),
        ("He and his {} friends pay $9 each.", (3,), (4,), "4 × 9 = 36"),
        ("Of {} hours of a day, {} are left.", (9, 16), (8, 15), "15 + 9 = 24 hours, so 15 * 60"),
        ("Kim scored {}, {} and 60. What is the mean?", (85, 95), (80, 90), "80 + (5 + 15 - 20)/3 = 80"),
        (EATEN, (60, 4, 12), (48, 3, 5), "12天一共吃了48个苹果。\n还剩60-48=12个。"),
    ],
)  # fmt: skip
def test_a_number_that_is_easily_had_from_the_problems_own_may_equal_the_examples(
    text: str, own: tuple[object, ...], others: tuple[object, ...], reply: str
) -> None:
    solution = (
        f"So it is {reply}"  # the same is done with the number there, but not in the same words
    )
    assert borrowed(reply, text.format(*own), text.format(*others), solution) is None


def test_it_is_still_a_copy_where_the_reply_follows_the_solution() -> None:
    solution = "1. The discount is 200 * 80 / 100 = 160.\n2. It costs 200 - 160 = 40.\nAnswer: 40"
    reply = "1. The discount is 50*80/100 = 40.\n2. It costs 50 - 40 = 10.\nAnswer: 10"
    fault = borrowed(reply, SHIRT.format(50, 20), SHIRT.format(200, 80), solution)
    assert fault is not None
    assert with_own_number(reply, fault) == "1. The discount is 50*20"


def test_numbers_beside_characters_of_scripts_without_spaces_are_seen() -> None:
    text = "每天做{}个面包，5天后还剩多少？"
    solution = "5天48×5=240个"
    fault = borrowed("一共做了48×5=240个", text.format(65), text.format(48), solution)
    assert fault is not None
    assert with_own_number("一共做了48×5=240个", fault) == "一共做了65"
    assert borrowed("一共做了48万×5", text.format(65), text.format(48), solution) is None


@pytest.mark.parametrize("own", [r"2{,}500", r"2\,500", r"2,\!500", "2’500", "2'500", "2\u2009500"])
def test_the_end_of_a_long_number_is_no_number(own: str) -> None:
    text = "A town had {} people and {} came. How many are there?"
    reply, solution = f"{own} + 700 = 3200", "500 + 300 = 800"
    assert borrowed(reply, text.format(2500, 700), text.format(500, 300), solution) is None


def test_a_constant_that_stands_in_both_says_nothing_of_the_other_number() -> None:
    text = "Ducks eat {} pounds a week. How much do fourteen of them eat per day?"
    copied = "Step 1: 14 x 6 = 84\nStep 2: 84 / 7 = 12\nAnswer: 12"
    fault = borrowed(copied, text.format(7), text.format(6), copied)
    assert fault is not None and with_own_number(copied, fault) == "Step 1: 14 x 7"


def test_other_signs_between_the_words_make_no_other_problem() -> None:
    text = "面包师每天做{}个面包，卖掉一半。3天后还剩多少？"
    harmless = text.format(48).replace("，", ",").replace("？", "?")
    assert borrowed("1. 48 / 2 = 24", text.format(64), harmless, "1. 48 / 2 = 24") is not None


def test_what_would_be_rounded_is_not_put_in() -> None:
    text = "What is {} of 27?"
    reply = "1. 27 * 0.25 = 6.75"
    fault = borrowed(reply, text.format("1/3"), text.format("0.25"), reply)
    assert fault is not None and with_own_number(reply, fault) == ""


HOURS = "He works {} hours a day. How many in a week?"
BUSES = "{} people go by buses of 30. How many buses?"


@pytest.mark.parametrize(
    ("problem", "example", "solution", "reply"),
    [
        (HOURS.format(6), HOURS.format(7), "1. 7*7 = 49\nAnswer: 49", "1. 6*7 = 42\nAnswer: 42"),
        (BUSES.format(125), BUSES.format(120), "1. 120/30 = 4\nAnswer: 4", "1. 125/30 = 4\nAnswer: 4"),
        (BUSES.format(100), BUSES.format(120), "1. 120/30 = 4\nAnswer: 4", "1. 100/30 = 3.3333\nAnswer: 4"),
        (BUSES.format(105), BUSES.format(90), "1. 90/30 = 3\nAnswer: 3", "1. 105/30 = 3.5\nAnswer: 3"),
        (CAKES.format(5), CAKES.format(2), SOLVED_CAKES, "1. 5 and half of 18\n2. 5+9 = 14\nAnswer: 14"),
        (CAKES.format(5), CAKES.format(5), SOLVED_CAKES, SOLVED_CAKES),
        ("Of 8 and 9, which?", "Of 9 and 8, which?", "1. 9*8 = 72\nAnswer: 72", "1. 8*9 = 72\nAnswer: 72"),
        (CAKES.format(5), CAKES.format(2), "1" * 50_000, "1" * 39_000),
    ],
    ids=["days of a week", "rounded", "rounded up later", "rounded down later", "another way", "one problem", "one result", "long"],
)  # fmt: skip
def test_nothing_is_said_of_a_solution_that_is_followed_rightly(
    problem: str, example: str, solution: str, reply: str
) -> None:
    assert borrowed(reply, problem, example, solution) is None


OFF = "A shirt costs ${} and is sold at {}% off. What does it cost now?"
OFF_10 = "1. The discount is 80 * 10 / 100 = 8.\n2. It costs 80 - 8 = 72.\nAnswer: 72"
FIELD = "A field is {} m long and {} m wide. What is its perimeter?"
MEN = "There are {} men and {} women. How many people is that, to the nearest hundred?"
DOLLARS = "How much, in dollars, are {} pens at {} cents each?"
TRIP = "Tom leaves at {} o'clock and drives {} hours. At what time does he arrive?"
METRES = "A rope has {} pieces of {} cm. How long is it in metres?"
EGGS = "How many dozen eggs are in {} boxes of {}?"


@pytest.mark.parametrize(
    ("text", "own", "others", "solution", "reply"),
    [
        (OFF, (40, 25), (80, 10), OFF_10, "A quarter off means 40 - 10 = 30.\nAnswer: 30"),
        (FIELD, (30, 20), (40, 15), "1. 40 * 2 = 80\n2. 15 * 2 = 30\n3. 80 + 30 = 110\nAnswer: 110",
         "1. 60 + 40 = 100\nAnswer: 100"),
        (FIELD, (30, 20), (40, 15), "1. 40 + 15 = 55\n2. 55 * 2 = 110\nAnswer: 110",
         "1. 60 + 40 = 100\nAnswer: 100"),
        (OFF, (60, 25), (80, 15), OFF_10.replace("10", "15"), "1. 60 - 15 = 45\nAnswer: 45"),
    ],
    ids=["a percentage in the head", "other operations", "twice a side", "15 as 25 % of 60"],
)  # fmt: skip
def test_what_is_done_with_the_number_must_be_what_the_solution_does(
    text: str, own: tuple[int, ...], others: tuple[int, ...], solution: str, reply: str
) -> None:
    assert borrowed(reply, text.format(*own), text.format(*others), solution) is None


@pytest.mark.parametrize(
    ("text", "own", "others", "solution", "reply"),
    [
        (MEN, (1000, 234), (900, 300), "1. 900 + 300 = 1200\nAnswer: 1200", "1. 1000 + 234 = 1234\nAnswer: 1200"),
        (DOLLARS, (6, 50), (3, 100), "1. 3 * 100 = 300\nAnswer: $3", "1. 6 * 50 = 300\nAnswer: $3"),
        (DOLLARS, (3, 50), (5, 30), "1. 5 * 30 = 150\nAnswer: $1.50", "1. 3 * 50 = 150\nAnswer: $1.50"),
        (TRIP, (10, 6), (9, 7), "1. 9 + 7 = 16\nAnswer: 4 o'clock", "1. 10 + 6 = 16\nAnswer: 4 o'clock"),
        (TRIP, (10, 5), (9, 6), "1. 9 + 6 = 3 o'clock\nAnswer: 3", "1. 10 + 5 = 3 o'clock\nAnswer: 3"),
        (METRES, (6, 50), (3, 100), "1. 3 * 100 = 300\nAnswer: 3", "1. 6 * 50 = 300\nAnswer: 3"),
        (EGGS, (6, 20), (10, 12), "1. 10 * 12 = 120\nAnswer: 10", "1. 6 * 20 = 120\nAnswer: 10"),
    ],
    ids=["nearest hundred", "dollars", "cents", "o'clock", "o'clock at once", "metres", "dozen"],
)  # fmt: skip
def test_an_answer_may_say_its_own_number_in_other_words(
    text: str, own: tuple[int, ...], others: tuple[int, ...], solution: str, reply: str
) -> None:
    assert borrowed(reply, text.format(*own), text.format(*others), solution) is None


def test_the_numbers_of_choices_are_no_numbers_of_the_problem() -> None:
    text = "A box has {} rows of {} pens. How many pens are there?"
    example = Problem(text=text.format(5, 9), choices=("40", "45", "50")).to_prompt()
    problem = Problem(text=text.format(4, 9), choices=("32", "36", "38"))
    solution = "1. 5 * 9 = 45\n2. Not 45 - 9 = 36.\nAnswer: B"
    assert find("1. 45 - 9 = 36\nAnswer: B", problem, example, solution) is None


ROLLS = "A baker makes {} rolls a day and sells half. How many are left after {} days?"
SOLVED_ROLLS = (
    "1. Each day 48 / 2 = 24 rolls are left.\n2. After 3 days 24 * 3 = 72 are left.\nAnswer: 72"
)
FIRST = "1. Each day 64 / 2 = 32 rolls are left.\n2. After 5 days 32 * 5 = 160 are left.\n"


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("1. Each day \\(64 / 2 = 32\\) rolls are left.\n2. After 3 days \\(32 \\times 3 = 96\\) are left.", 5),
        ("1. **Each day** 64 / 2 = 32 rolls are left.\n2. **After 3 days** 32 * 3 = 96 are left.", 5),
        ("- Each day 64 / 2 = 32 rolls are left.\n- After 3 days 32 * 3 = 96 are left.", 5),
        ("1) Each day 64 ÷ 2 = 32 rolls are left.\n2) After 3 days 32 × 3 = 96 are left.", 5),
        ("Let's think step by step.\n1. Each day 64 / 2 = 32 rolls are left.\n2. After 3 days 32 * 3 = 96 are left.", 5),
        (FIRST + "\\boxed{72}", 160),
        (FIRST + "**Answer:** 72", 160),
        (FIRST + "The answer is 72.", 160),
    ],
)  # fmt: skip
def test_a_copy_is_found_however_the_lines_are_set(reply: str, right: int) -> None:
    fault = borrowed(reply, ROLLS.format(64, 5), ROLLS.format(48, 3), SOLVED_ROLLS)
    assert fault is not None and fault.right == right
