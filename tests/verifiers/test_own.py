"""Verifiers of the caller's own, of every kind, and those of installed packages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.verifiers.helpers import RIGHT, SQUARE, WRONG, attempt
from vitarmm_agent.effects import Flow, arun, in_thread, run
from vitarmm_agent.errors import InputError
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.verifiers import FeedbackPolicy, Function, build_policy


def is_25(problem: Problem, attempt: Attempt) -> bool:
    return attempt.answer == "25"


async def is_25_async(problem: Problem, attempt: Attempt) -> str | None:
    await asyncio.sleep(0)
    return None if attempt.answer == "25" else "It is not 25."


def is_25_flow(problem: Problem, attempt: Attempt) -> Flow[bool]:
    return (yield from in_thread(is_25, problem, attempt))


class Plain:
    def check(self, problem: Problem, attempt: Attempt) -> bool:
        return is_25(problem, attempt)


class Awaited:
    name = "awaited"

    async def check(self, problem: Problem, attempt: Attempt) -> Feedback:
        verdict: Any = "pass" if is_25(problem, attempt) else "fail"
        return Feedback(verdict=verdict, source="", score=0.5)


class Flowing:
    name = "flowing"

    def check(self, problem: Problem, attempt: Attempt) -> Flow[bool]:
        return (yield from in_thread(is_25, problem, attempt))


class Called:
    async def __call__(self, problem: Problem, attempt: Attempt) -> bool:
        return is_25(problem, attempt)


KINDS = [is_25, is_25_async, is_25_flow, Plain(), Awaited(), Flowing(), Called()]
NAMES = ["is_25", "is_25_async", "is_25_flow", "Plain", "awaited", "flowing", "Called"]


@pytest.mark.parametrize(("given", "name"), list(zip(KINDS, NAMES, strict=True)), ids=NAMES)
def test_every_kind_judges_in_sync_and_async_runs(given: Any, name: str) -> None:
    policy = build_policy(["arithmetic", given])
    assert [verifier.name for verifier in policy.verifiers] == ["arithmetic", name]
    for text, verdicts in ((RIGHT, ("pass", "abstain")), (WRONG, ("fail",))):
        alone = FeedbackPolicy((given,))
        said = run(alone.check(SQUARE, [attempt(text)]))
        assert said.verdict in verdicts and said.source == name
        again = asyncio.run(arun(alone.check(SQUARE, [attempt(text)])))
        assert again.model_copy(update={"seconds": said.seconds}) == said


async def test_a_coroutine_is_awaited_by_a_sync_run_on_a_running_loop() -> None:
    assert run(Function(is_25_async).check(SQUARE, attempt(WRONG))).message == "It is not 25."


def test_names_and_objects_in_one_list_are_asked_in_order() -> None:
    policy = build_policy(["arithmetic, choice", is_25, Plain()])
    assert [v.name for v in policy.verifiers] == ["arithmetic", "choice", "is_25", "Plain"]
    assert build_policy([]).verifiers == ()


def test_an_oracle_run_adds_the_reference_where_nobody_sees_it() -> None:
    seeing = Function(is_25, name="seeing", sees_reference=True)
    assert [v.name for v in build_policy([is_25], oracle=True).verifiers] == ["reference", "is_25"]
    assert [v.name for v in build_policy([seeing], oracle=True).verifiers] == ["seeing"]


def judge(problem: Problem, attempt: Attempt) -> bool:
    return True


class OneArgument:
    name = "one"

    def check(self, attempt: Attempt) -> Flow[bool]:
        yield from ()
        return True


@pytest.mark.parametrize(
    ("answer", "verdict", "message"),
    [
        (np.True_, "pass", ""),
        (np.isclose(1, 2), "fail", "The check 'own' does not hold."),
        ("pass", "pass", ""),
        ("Incorrect.", "fail", "The check 'own' does not hold."),
        ("unsure", "abstain", ""),
        ("  ", "abstain", ""),
        ("Fail safe is off.", "fail", "Fail safe is off."),
        (Feedback(verdict="fail", source=""), "fail", "The check 'own' does not hold."),
        ("x" * 5_000, "fail", "x" * 3_999 + "…"),
    ],
)
def test_what_a_check_may_answer(answer: Any, verdict: str, message: str) -> None:
    said = run(Function(lambda problem, attempt: answer, name="own").check(SQUARE, attempt(RIGHT)))
    assert (said.verdict, said.message) == (verdict, message)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["arithmetik"], r"'arithmetik' is unknown \(did you mean 'arithmetic'\?\)"),
        (["arithmetic", Plain], r"is a class; give an instance of it: Plain\(\)"),
        (["arithmetic", 7], "verifier 7 has no check and is no function"),
        ([is_25, is_25], r"one twice.*Function\(check, name=…\)"),
        ([lambda answer: True], r"takes \(answer\); it is called with \(problem, attempt\)"),
        ([len], r"'len' takes \(obj, /\)"),
        ([OneArgument()], r"'one' takes \(attempt: "),
        ([judge], "has the name of a verifier that there is, 'judge'"),
        (is_25, "put a single one in a list"),
        ("reference", "only an oracle run"),
        ("", "names no verifier"),
    ],
)
def test_what_is_no_verifier_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_policy(given)


def test_an_odd_answer_of_a_check_is_refused() -> None:
    class Odd(Flowing):
        def check(self, problem: Problem, attempt: Attempt) -> Flow[Any]:
            yield from ()
            return 7

    with pytest.raises(InputError, match="'flowing' returned 7"):
        run(FeedbackPolicy((Odd(),)).check(SQUARE, [attempt(RIGHT)]))


MODULE = """
import typing
def is_25(problem, attempt):
    return attempt.answer == "25"
class Sees:
    name = "elsewhere"
    sees_reference = True
    def check(self, problem, attempt):
        return attempt.answer == problem.reference
broken = 7
"""
ENTRY_POINTS = """
[vitarmm_agent.verifiers]
is_right = own_checks:is_25
sees = own_checks:Sees
broken = own_checks:broken
missing = own_checks:nothing
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers verifiers."""
    info = tmp_path / "own_checks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-checks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "own_checks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("package")
def test_a_verifier_of_an_installed_package_is_named_like_ours() -> None:
    policy = build_policy("arithmetic,is_right")
    assert [v.name for v in policy.verifiers] == ["arithmetic", "is_right"]
    assert run(policy.check(SQUARE, [attempt(RIGHT)])).source == "is_right"
    oracle = build_policy("sees", oracle=True)
    assert run(oracle.check(SQUARE, [attempt(RIGHT)])).verdict == "pass"
    assert [v.name for v in oracle.verifiers] == ["sees"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("is_rigt", "did you mean 'is_right'"),
        ("sees", "only an oracle run may"),
        ("broken", "'own_checks:broken' of own-checks, cannot be used"),
        ("missing", "'own_checks:nothing' of own-checks, cannot be used"),
    ],
)
def test_an_installed_verifier_that_cannot_be_used_is_named(names: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_policy(names)
