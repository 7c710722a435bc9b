"""Siblings of worked word problems: other numbers, and everything else as it was."""

from __future__ import annotations

import gzip
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from tests.evals.datasets.helpers import lines, reasons
from vitarmm_agent.answers.arithmetic import evaluate
from vitarmm_agent.answers.equations import equations
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import load_benchmark
from vitarmm_agent.evals.datasets.groups import OWN, group_of
from vitarmm_agent.evals.datasets.records import RowError
from vitarmm_agent.evals.datasets.siblings import Sibling, siblings_of
from vitarmm_agent.numbers.finding import numbers_in

CLIPS = {
    "id": "clips",
    "question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many "
    "clips in May. How many clips did Natalia sell altogether in April and May?",
    "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72",
}
SHOES = {
    "id": "shoes",
    "question": "A shop sells an $80 pair of shoes at 25% off. Ann buys 4 such pairs and pays with "
    "$1,000. How much change does she get?",
    "answer": "The discount is 80*.25 = $<<80*.25=20>>20.\nA pair costs 80-20 = $<<80-20=60>>60.\n"
    "Four pairs are 4*60 = $<<4*60=240>>240.\nShe gets $1000-$240 = $<<1000-240=760>>760.\n#### 760",
}
CLASSES = {
    "id": "classes",
    "question": "Kimo has three 2-hour classes on Mondays, Wednesdays, and Fridays, for 16 weeks. "
    "How many hours is that?",
    "answer": "A day has 3*2 = <<3*2=6>>6 hours.\nA week has 6*3 = <<6*3=18>>18 hours.\n"
    "All weeks have 18*16 = <<18*16=288>>288 hours.\n#### 288",
}
CHOICE = {
    "id": "choice",
    "question": "Plan A gives 5% of $8000, plan B 2% of $9000. A merchant wants to maximize his "
    "gain. How much is it?",
    "answer": "A gives 8000*5/100 = <<8000*5/100=400>>400.\n"
    "B gives 9000*2/100 = <<9000*2/100=180>>180.\nHe takes A and gains 400.\n#### 400",
}
ROWS = (CLIPS, SHOES, CLASSES, CHOICE)


def made(row: dict[str, str], k: int = 8, seed: str = "1") -> list[Sibling]:
    return siblings_of(row["question"], row["answer"], k, seed)


def numbers(text: str) -> list[Fraction]:
    return [found.value for found in numbers_in(text)]


def is_sound(sibling: Sibling) -> bool:
    """Its notes come out, the last is the answer, and its steps say what the notes say."""
    for note in sibling.notes:
        left, _, right = note.partition("=")
        assert evaluate(left) == Fraction(right) > 0, note
    results = [Fraction(note.partition("=")[2]) for note in sibling.notes]
    assert Fraction(sibling.answer) in results and "<<" not in "".join(sibling.steps)
    assert all(e.holds for step in sibling.steps for e in equations(step)), sibling.steps
    told = {value for step in sibling.steps for value in numbers(step)}
    return Fraction(sibling.answer) in told


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["id"]))
def test_every_sibling_is_right_whole_and_another_problem(row: dict[str, str]) -> None:
    found = made(row)
    gold = row["answer"].rpartition("#### ")[2]
    assert all(map(is_sound, found))
    assert all(Fraction(one.answer).denominator == 1 for one in found)
    assert len({one.answer for one in found} | {gold}) == len(found) + 1
    words = re.sub(r"[\d,.]+\d|\d", "#", row["question"])
    for one in found:
        assert re.sub(r"\ban?\b", "a", re.sub(r"[\d,.]+\d|\d", "#", one.question)) == re.sub(
            r"\ban?\b", "a", words
        )
        for old, new in zip(numbers(row["question"]), numbers(one.question), strict=True):
            assert old / 3 <= new <= old * 3


def test_a_number_is_replaced_wherever_it_stands() -> None:
    for one in made(CLIPS):
        (sold,) = numbers(one.question)
        assert one.steps[0] == f"Natalia sold {sold}/2 = {sold / 2} clips in May."
        assert one.answer == str(sold * 3 / 2) and sold % 2 == 0


def test_percent_money_and_articles_are_written_as_they_were() -> None:
    for one in made(SHOES):
        price, off, pairs, paid = numbers(one.question)
        assert Fraction(one.answer) == paid - pairs * price * (100 - off) / 100
        assert f"{off}% off" in one.question and f"${int(paid):,}" in one.question
        vowel = str(price)[0] == "8"
        assert f"an ${price} pair" in one.question if vowel else f"a ${price} pair" in one.question
        assert off < 100


def test_a_number_that_may_mean_two_things_stays() -> None:
    """Three classes on three days: which three is which, the chain does not say."""
    for one in made(CLASSES, k=3):
        assert one.question.startswith("Kimo has three ")


def test_where_the_larger_is_taken_it_stays_the_larger() -> None:
    for one in made(CHOICE):
        gains = [Fraction(note.partition("=")[2]) for note in one.notes]
        assert gains[0] > gains[1] and one.answer == str(gains[0])


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("Ann has 5 hens and 7 ducks, and sells 4. Left?", "12-4=<<12-4=8>>8\n#### 8", "explains"),
        ("Ann has 7 pens for 2 boys.", "7/2=<<7/2=3>>3\n#### 3", "rounded or does not hold"),
        ("Ann has 5 hens and 7 ducks.", "There are 12.\n#### 12", "no calculator notes|explains"),
        ("Ann has 5 hens and 7 ducks.", "5+7=<<5+7=12>>12\n#### 13", "no result"),
        ("Ann has x hens and 9 in all, 4 are ducks.", "x = 9-4 = <<9-4=5>>5\n#### 5", "letters"),
        ("There are 60 minutes in an hour. In 1 hour?", "60*1=<<60*1=60>>60\n#### 60", "may change"),
        ("Ann has 5 hens.", "5+5=<<5+5=>>\n#### 10", "no calculation"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_traced_is_refused_with_a_reason(
    question: str, answer: str, why: str
) -> None:
    with pytest.raises(RowError, match=why):
        siblings_of(question, answer, 1, "1")


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    path = lines(tmp_path / "gsm8k.jsonl", *ROWS)
    first = load_benchmark("siblings", path, seed=3, siblings=3)
    assert first == load_benchmark("siblings", path, seed=3, siblings=3)
    assert first != load_benchmark("siblings", path, seed=4, siblings=3)


def test_rows_with_notes_become_groups_of_which_one_is_taught(tmp_path: Path) -> None:
    bad = {"question": "Ann has 5 hens.", "answer": "It is 5.\n#### 5"}
    found = load_benchmark("siblings", lines(tmp_path / "g.jsonl", *ROWS, bad), siblings=4)
    assert {group_of(p) for p in found.taught} == {str(row["id"]) for row in ROWS}
    assert len(found.problems) == 12 and not {p.id for p in found.problems} & {
        p.id for p in found.taught
    }
    assert [group_of(p) for p in found.problems] != sorted(group_of(p) for p in found.problems)
    assert all(p.reference and p.metadata["solution"] for p in (*found.problems, *found.taught))
    assert reasons(found) == {5: "has no calculator notes"}
    two = load_benchmark("siblings", tmp_path / "g.jsonl", sample_size=2)
    assert len(two.taught) == len(two.problems) == 2


def test_names_and_objects_change_alike_in_problem_and_solution(tmp_path: Path) -> None:
    row = CLIPS | {"question": CLIPS["question"].replace("clips", "apples")}
    row["answer"] = row["answer"].replace("clips", "apples")
    found = load_benchmark("siblings", lines(tmp_path / "g.jsonl", row), retold=True, siblings=6)
    for one in (*found.taught, *found.problems):
        who, what = re.match(r"(\w+) sold (\w+) to", one.text).groups()  # type: ignore[union-attr]
        steps = one.metadata["solution"]
        assert who != "Natalia" and all(step.startswith(f"{who} sold") for step in steps)
        assert what != "apples" and all(f" {what} " in step for step in steps)
        assert "in April" in one.text


def test_siblings_of_real_rows_are_right(shared: Path) -> None:
    """The notes of each rewritten solution are computed anew, and nearly two rows of three give some."""
    rows = [json.loads(line) for line in gzip.open(shared / "data" / "gsm8k_test.jsonl.gz", "rt")][
        :40
    ]
    found: list[Sibling] = []
    given = 0
    for row in rows:
        try:
            found += siblings_of(row["question"], row["answer"], 2, row["id"])
            given += 1
        except RowError:
            continue
    assert all([is_sound(one) for one in found])
    assert given >= 0.45 * len(rows)


def test_every_problem_that_comes_with_the_package_has_siblings() -> None:
    found = load_benchmark("siblings", OWN, siblings=3)
    assert len(found.taught) == 13 and len(found.problems) == 26 and not found.skipped


def test_rows_that_name_their_group_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"group": g, "text": f"{g} {n}?", "reference": str(n), "solution": f"It is {n}.\nSo {n}."}
        for g in "ab"
        for n in (1, 2, 3)
    ]
    alone = {"group": "c", "question": "c?", "answer": "9", "answer_type": "integer"}
    found = load_benchmark("siblings", lines(tmp_path / "g.jsonl", *rows, alone))
    assert [p.text for p in found.taught] == ["a 1?", "b 1?"]
    assert sorted(p.text for p in found.problems) == ["a 2?", "a 3?", "b 2?", "b 3?"]
    assert found.taught[0].metadata["solution"] == ["It is 1.", "So 1."]


def test_rows_of_gsm8k_that_name_their_group_bring_their_solution(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = [{**CLIPS, "group": "clips"}, {**SHOES, "group": "clips"}, {**CLASSES, "group": "one"}]
    found = load_benchmark("siblings", lines(tmp_path / "a.jsonl", *named))
    (taught,), (asked,) = found.taught, found.problems
    assert (taught.reference, asked.reference) == ("72", "760")
    first = "Natalia sold 48/2 = 24 clips in May."
    assert taught.metadata["solution"][0] == first, "without its notes"
    assert "1 groups of one problem" in caplog.text
    numberless = {"group": "clips", "question": "Who?", "answer": "Ann sold all.\n#### Ann"}
    found = load_benchmark("siblings", lines(tmp_path / "n.jsonl", *named, numberless))
    assert reasons(found) == {4: "answer ends in '#### Ann', which is no number"}
    algebra = {"id": "x", "question": "Why?", "answer": "Because.\n#### 4"}
    load_benchmark("siblings", lines(tmp_path / "b.jsonl", CLIPS, SHOES, algebra), siblings=4)
    assert "1 of 3 rows left out" in caplog.text


def test_a_group_of_one_recurs_nowhere(tmp_path: Path) -> None:
    row = {"group": "a", "text": "a?", "reference": "1"}
    with pytest.raises(InputError, match="no group has two problems"):
        load_benchmark("siblings", lines(tmp_path / "g.jsonl", row))
    with pytest.raises(InputError, match="2 siblings or more, got 1"):
        load_benchmark("siblings", lines(tmp_path / "h.jsonl", CLIPS), siblings=1)


BERRIES = (
    "Annie picked 18 pints of berries. Kathryn picked two pints more than Annie, and Ben picked "
    "three pints fewer than Kathryn. How many pints did the three pick together?",
    "Kathryn picked 18+2=<<18+2=20>>20.\nBen picked 20-3=<<20-3=17>>17.\n"
    "Together 18+20+17=<<18+20+17=55>>55.\n#### 55",
)
TIPS = (
    "Jerry works five days a week. The past four nights, he earned $20, $60, $15, and $40. How much "
    "does he need tonight for an average of $50 a night?",
    "He needs 5*50 = <<5*50=250>>250.\nHe has 20+60+15+40 = <<20+60+15+40=135>>135.\n"
    "Tonight he needs 250-135 = <<250-135=115>>115.\n#### 115",
)
RIBBONS = (
    "Ada has 9 red and 7 green ribbons. She shares them fairly among Bea, Cleo, Dora and Ella. How "
    "many does one get?",
    "She has 9+7 = <<9+7=16>>16 ribbons.\nOne gets 16 / 4 = <<16/4=4>>4 ribbons.\n#### 4",
)


def test_a_word_for_those_named_stays_with_them() -> None:
    for one in siblings_of(*BERRIES, 6, "1"):
        assert "the three pick together" in one.question and "picked three pints" in one.question


def test_numbers_that_follow_from_a_list_stay_with_it() -> None:
    for one in siblings_of(*TIPS, 6, "1"):
        assert one.question.startswith("Jerry works five days a week. The past four nights")


def test_a_step_divides_by_what_its_note_divides_by() -> None:
    """A constant may equal the result of its own line, and must not be taken for it."""
    for one in siblings_of(*RIBBONS, 3, "1"):
        total = evaluate(one.steps[0].partition("has ")[2].partition(" = ")[0])
        assert one.steps[1] == f"One gets {total} / 4 = {total / 4} ribbons."


def test_a_row_without_end_is_left_out() -> None:
    with pytest.raises(RowError, match="longer than"):
        siblings_of("How many? " * 1_000, "1 + 1 = <<1+1=2>>2\n#### 2", 1, "seed")
