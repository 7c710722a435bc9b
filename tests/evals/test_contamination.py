"""Near-duplicates: found where a problem is told again, not where two are merely alike."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vitarmm_agent.evals.contamination import copies, families, near_duplicates, near_sources
from vitarmm_agent.evals.datasets import load_benchmark
from vitarmm_agent.evals.studies.rewriting import rewrite
from vitarmm_agent.media import ImageRef
from vitarmm_agent.problem import Problem

TRAIN = "A train travels 270 miles in 3 hours. At the same rate, how many hours does it need for 180 miles?"
GIFT = (
    "Josie received $50 as a gift. She plans to buy two tapes that cost $9 each. How much is left?"
)


def problem(id_: str, text: str, **more: object) -> Problem:
    return Problem.parse({"id": id_, "text": text, **more})


@pytest.mark.parametrize(
    ("text", "similarity"),
    [
        (TRAIN, 1.0),
        (TRAIN.upper().replace(".", " ;"), 1.0),
        (TRAIN.replace("270", "1,360").replace("180", "12.5").replace("in 3", "in three"), 1.0),
        # one of the 21 words differs, on either side: 2 * 20 / 42
        (TRAIN.replace("train", "coach"), 20 / 21),
    ],
)
def test_the_same_template(text: str, similarity: float) -> None:
    found = near_duplicates([problem("s", TRAIN)], [problem("t", text)])
    assert found == [("s", "t", pytest.approx(similarity))]


def test_a_problem_in_another_dress_is_the_same_and_a_sibling_is_not() -> None:
    dresses = [
        TRAIN,
        f"  {TRAIN.upper()}\n",
        TRAIN.replace("270", "270.0").replace("in 3", "in three").replace(" at ", "  at "),
        TRAIN.replace("270", "２７０").replace(",", ""),
    ]
    asked = [problem(str(n), text) for n, text in enumerate(dresses)]
    siblings = [problem("a", TRAIN.replace("270", "360")), problem("b", GIFT)]
    found = copies([*asked, *siblings])
    assert found == dict.fromkeys("0123", frozenset("0123"))
    shown = [ImageRef(source=f"{name}.png", sha256=name * 64) for name in "ab"]
    pictures = [problem(one.sha256[0], "How many?", images=[one]) for one in shown]
    choices = [problem(c, "Which is even?", choices=[c, "4"]) for c in "35"]
    assert copies([*pictures, *choices]) == {}


def test_other_problems_are_not_near() -> None:
    sources = [problem("train", TRAIN), problem("gift", GIFT)]
    other = "How many hours does a train need that goes at 180 miles an hour, when 3 trains left?"
    assert near_duplicates(sources, [problem("t", other)]) == []
    assert near_duplicates(sources, [problem("t", other)], threshold=0.1) != []


def test_the_most_similar_come_first() -> None:
    tests = [problem("b", GIFT.replace("Josie", "Amanda")), problem("a", GIFT)]
    found = near_duplicates([problem("gift", GIFT), problem("train", TRAIN)], tests)
    assert [(source, test) for source, test, _ in found] == [("gift", "a"), ("gift", "b")]


def test_short_texts_keep_their_numbers() -> None:
    source = [problem("s", "What is 3 + 4?")]
    assert near_duplicates(source, [problem("t", "What is 5 + 6?")]) == []
    assert near_duplicates(source, [problem("t", "what is 3 + 4")]) == [("s", "t", 1.0)]


def test_choices_and_images_tell_problems_apart() -> None:
    asked = "Which of the following statements is true?"
    one = problem("s", asked, choices=["Water boils at sea level", "Ice sinks in oil"])
    two = problem("t", asked, choices=["Mozart wrote operas late", "Bach was a painter"])
    assert near_duplicates([one], [two]) == []
    pictured = [
        Problem(id=name, text="What is the area of the shaded region in the figure below?",
                images=(ImageRef(source=name, sha256=name * 64),))
        for name in ("a", "b")
    ]  # fmt: skip
    assert near_duplicates(pictured[:1], pictured[1:]) == []
    same = pictured[0].model_copy(update={"id": "c"})
    assert near_duplicates(pictured[:1], [same]) == [("a", "c", 1.0)]


def test_the_question_is_compared_where_the_text_is_a_fixed_instruction() -> None:
    made = [
        problem(str(n), "Read the image and answer with a letter, please, do it now.",
                choices=["A", "B"], metadata={"question": question, "options": ["5", "6"]})
        for n, question in enumerate((TRAIN, GIFT))
    ]  # fmt: skip
    assert near_duplicates(made[:1], made[1:]) == []
    assert near_duplicates(made[:1], [problem("t", f"{TRAIN} 5 6")]) == [("0", "t", 1.0)]


def templated(name: str, number: int) -> Problem:
    text = f"{name} buys {number} boxes of {number + 2} pens and gives {number} pens to a friend."
    return problem(f"{name}-{number}", f"{text} How many pens are left in the end?")


def test_thousands_of_one_template_are_told_in_seconds() -> None:
    """In names as well as in numbers; what is no part of the template stands apart."""
    names = [f"{a}{b}{c}" for a in "BCDFGH" for b in "aeiou" for c in "klmnprst"]
    alike = [templated(name, number) for name in names for number in range(2, 14)]
    problems = [*alike, problem("train", TRAIN), problem("gift", GIFT)]
    started = time.process_time()
    found = families(problems)
    assert near_sources(problems, alike[:1]) == set(found)
    assert time.process_time() - started < 10
    everyone = {p.id for p in alike}
    assert len(everyone) == 2880 and set(found) == everyone
    assert set(found.values()) == {frozenset(everyone)}
    assert len(set(map(id, found.values()))) == 1


def test_families_are_the_pairs() -> None:
    coach = TRAIN.replace("train", "coach")
    texts = [TRAIN, coach, coach.replace("miles", "furlongs"), GIFT, GIFT, "Ask.", "Answer."]
    problems = [problem(f"{n}", text) for n, text in enumerate(texts)]
    expected: dict[str, set[str]] = {}
    for source, test, _ in near_duplicates(problems, problems):
        expected.setdefault(test, set()).add(source)
    assert families(problems) == {id_: ids for id_, ids in expected.items() if len(ids) > 1}
    assert set(families(problems)) == {"0", "1", "2", "3", "4"}


def test_nothing_to_compare_and_a_threshold_out_of_range() -> None:
    assert near_duplicates([], [problem("t", TRAIN)]) == []
    assert near_duplicates([problem("s", TRAIN)], []) == []
    assert near_sources([], []) == set() and families([problem("s", TRAIN)]) == {}
    for threshold in (0, 1.1, -1):
        with pytest.raises(ValueError, match="threshold"):
            near_duplicates([], [], threshold=threshold)


def test_real_problems_told_again_are_found_and_train_does_not_hold_test(shared: Path) -> None:
    data = shared / "data"
    train = load_benchmark("gsm8k", data / "gsm8k_train.jsonl.gz").problems
    test = load_benchmark("gsm8k", data / "gsm8k_test.jsonl.gz").problems
    started = time.process_time()
    assert near_duplicates(train, test) == []
    assert time.process_time() - started < 20
    again = [
        Problem(id=f"again-{p.id}", text=rewrite(p.text, seed))
        for seed, p in enumerate(train[:200])
    ]
    found = {
        test_id for source, test_id, _ in near_duplicates(train, again) if test_id[6:] == source
    }
    assert len(found) >= 190
