from __future__ import annotations

import atexit
import multiprocessing
import os
import threading

import pytest

from vitarmm_agent.answers import answers_equal, grade
from vitarmm_agent.answers.mathematics import same_mathematics
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Problem

TEXT = Problem(text="?")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("18", "18.0"),
        ("1,000", "1000"),
        ("$5", "5 dollars"),
        ("20%", "0.2"),
        ("20%", "20"),
        ("3/4", "0.75"),
        ("10.833333333333332", "65/6"),
        (r"\frac{1}{2}", "0.5"),
        ("Paris.", "paris"),
        ("the cat", "Cat"),
        (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"),
        ("x^2 + 2x + 1", "(x+1)^2"),
        (r"90^{\circ}", "90°"),
        ("45^2", "2025"),
    ],
)
def test_equal(a: str, b: str) -> None:
    assert answers_equal(TEXT, a, b)
    assert answers_equal(TEXT, b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("18", "18.4"),
        ("3", "3.14"),
        ("Paris", "London"),
        ("x + 1", "x + 2"),
        (r"3\sqrt{3}", r"6\sqrt{3}"),
        ("", ""),
        ("NaN", "0"),
        ("nan", "inf"),
        ("9^9^9^9", "9^9^9^9 + 1"),
        ("1/0", "2/0"),
    ],
)
def test_not_equal(a: str, b: str) -> None:
    assert not answers_equal(TEXT, a, b)


def test_none_is_never_equal() -> None:
    assert not answers_equal(TEXT, None, None)


def test_float_precision_is_the_problem_s() -> None:
    problem = Problem(text="?", answer_type="float", precision=1)
    assert answers_equal(problem, "2.46", "2.5")
    assert not answers_equal(problem, "2.46", "2.4")


def test_choices_that_are_equal_empty_or_contain_each_other() -> None:
    problem = Problem(text="?", choices=("2", "2", "", "20", "No", "None"))
    assert answers_equal(problem, "A", "B")
    assert answers_equal(problem, "D", "20")
    assert not answers_equal(problem, "A", "D")
    assert answers_equal(problem, "F", "none")
    assert not answers_equal(problem, "E", "None")


def test_lists_compare_item_by_item_in_order() -> None:
    problem = Problem(text="?", answer_type="list")
    assert answers_equal(problem, "[1, 2.0, 3]", "1, 2, 3")
    assert not answers_equal(problem, "[2, 1, 3]", "[1, 2, 3]")
    assert not answers_equal(problem, "[1, 2]", "[1, 2, 3]")


def test_grade_says_why() -> None:
    problem = Problem(text="?", answer_type="integer", reference="70,000")
    right = grade(problem, "So he has 70000.\nA: 70000")
    assert right.correct and right.extracted == right.normalised == "70000"
    wrong = grade(problem, "A: 65000")
    assert not wrong.correct and "is not the reference" in wrong.explanation
    none = grade(problem, "I do not know.")
    assert not none.correct and none.extracted is None and "no answer" in none.explanation


def test_mathvista_always_picks_a_choice_and_strict_never_guesses() -> None:
    problem = Problem(text="Is it?", choices=("Yes", "No"), reference="Yes")
    assert grade(problem, "Cannot be determined.", policy="mathvista").normalised in ("Yes", "No")
    assert grade(problem, "Cannot be determined.").normalised is None
    assert grade(problem, "The tower is taller than the tree.", policy="mathvista").correct
    assert grade(problem, "", policy="mathvista").normalised in ("Yes", "No")


def test_mathvista_numbers() -> None:
    integer = Problem(text="?", answer_type="integer", reference="7")
    assert grade(integer, "The answer is 7.9", policy="mathvista").normalised == "7"
    decimal = Problem(text="?", answer_type="float", precision=1, reference="2.5")
    assert grade(decimal, "2.50", policy="mathvista").correct
    assert grade(decimal, "about a lot", policy="mathvista").normalised is None


def test_mathv_keeps_the_habits_of_its_script() -> None:
    problem = Problem(text="?", choices=("10", "22"), reference="B")
    assert grade(problem, r"\boxed{22}", policy="mathv").correct
    assert grade(problem, "Therefore, the answer is (B).", policy="mathv").correct
    assert not grade(problem, "The answer is (B) 22", policy="mathv").correct
    assert grade(problem, "The answer is (B) 22").correct


def test_grading_needs_a_reference_and_a_known_policy() -> None:
    with pytest.raises(InputError, match="no reference"):
        grade(TEXT, "7")
    with pytest.raises(InputError, match="unknown"):
        grade(TEXT.model_copy(update={"reference": "7"}), "7", policy="nice")  # type: ignore[arg-type]


def test_plain_answers_do_not_start_the_worker() -> None:
    from vitarmm_agent.answers import mathematics

    mathematics._WORKER.stop()
    grade(Problem(text="?", answer_type="integer", reference="7"), "The answer is 7")
    grade(Problem(text="?", choices=("a", "b"), reference="a"), "(B)")
    assert answers_equal(TEXT, r"2\sqrt{2}", r"\sqrt{8}")
    assert mathematics._WORKER._process is None


def test_the_time_bound_holds_in_threads_and_the_worker_recovers() -> None:
    assert same_mathematics("x+y", "y+x")
    results: list[bool] = []
    slow = r"\int_0^x \sin(\cos(\tan(t^{t^{t}}))) dt + \sum_{n=1}^{10^{9}} \frac{x^{n}}{n!}"
    threads = [
        threading.Thread(
            target=lambda: results.append(same_mathematics(slow, slow + "+x", seconds=0.05))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert results == [False] * 3
    assert same_mathematics("x+y", "y+x")


def test_the_worker_gives_up_by_itself_and_stays_warm() -> None:
    from vitarmm_agent.answers import mathematics

    assert same_mathematics("x+y", "y+x")
    process = mathematics._WORKER._process
    slow = r"\int_0^x \sin(\cos(\tan(t^{t^{t}}))) dt + \sum_{n=1}^{10^{9}} \frac{x^{n}}{n!}"
    assert not same_mathematics(slow, slow + "+x", seconds=60)
    assert mathematics._WORKER._process is process
    assert same_mathematics("x+y", "y+x")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked off here")
def test_a_process_that_is_forked_off_has_a_worker_of_its_own() -> None:
    from vitarmm_agent.answers import mathematics

    assert same_mathematics("x+y", "y+x")
    with mathematics._WORKER._lock:  # as another thread may hold it just then
        child = multiprocessing.get_context("fork").Process(target=_compares_and_leaves)
        child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    assert same_mathematics("x+y", "y+x")


def _compares_and_leaves() -> None:
    same = same_mathematics("x+y", "y+x")
    atexit._run_exitfuncs()  # what the parent is to stop must not be stopped here
    os._exit(0 if same else 1)


def test_many_threads_grade_alike() -> None:
    failures: list[int] = []

    def work(number: int) -> None:
        if not answers_equal(TEXT, f"(x+{number})^2", f"x^2+{2 * number}x+{number * number}"):
            failures.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
