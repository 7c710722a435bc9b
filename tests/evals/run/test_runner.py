from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import read_rows
from tests.evals.pupil import (
    TEXTS,
    Pupil,
    benchmark_of,
    models_of,
    plan_of,
    problems_of,
    timeless,
)
from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.evals.datasets import load_benchmark
from vitarmm_agent.evals.run.arms import ARMS, in_order
from vitarmm_agent.evals.run.budget import Budget
from vitarmm_agent.evals.run.folder import EvaluationFolder, Prices
from vitarmm_agent.evals.run.plan import EvaluationPlan
from vitarmm_agent.evals.run.runner import Outcome, evaluate
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.verifiers import SOLUTION_MODELS, load_solutions
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.settings import Settings

PLAIN = {name: arm for name, arm in ARMS.items() if not arm.recurs}
EVERY_ARM = ",".join(PLAIN)


@pytest.fixture(autouse=True)
def embedder(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")


async def go(plan: EvaluationPlan, pupil: Pupil | None = None, **options: Any) -> Outcome:
    return await evaluate(plan, models=models_of(pupil or Pupil()), **options)


async def test_every_arm_ends_with_its_samples(tmp_path: Path) -> None:
    texts = ["How many apples are in nine full baskets?", "Name the price of a red bicycle."]
    extra = benchmark_of(problems_of(texts, "t"))
    plan = plan_of(tmp_path / "out", EVERY_ARM, learning=extra, prices=Prices(input=1, output=2))
    plan = replace(plan, benchmarks=(benchmark_of(problems_of(TEXTS[:4])),))
    seen: list[Sample] = []
    outcome = await go(plan, on_sample=seen.append)
    assert outcome.stopped is None
    counts = Counter(sample.arm for sample in outcome.samples)
    assert counts == {arm: 4 * (2 if ARMS[arm].ordered else 1) for arm in PLAIN} == plan.expected()
    assert Counter(sample.arm for sample in seen) == {**counts, "learning": 2}
    assert all(sample.crash is None and sample.cost for sample in outcome.samples)
    assert {s.arm for s in outcome.samples if s.oracle} == {"oracle"}
    assert outcome.config.oracle_arms == ("oracle",)
    folder = EvaluationFolder(tmp_path / "out")
    assert timeless(folder.samples()) == timeless(outcome.samples)
    assert folder.config().sessions[-1].ended == "finished"
    by_arm = {arm: [s for s in outcome.samples if s.arm == arm] for arm in PLAIN}
    assert all(len(s.attempts) == 1 and not s.written for s in by_arm["single"])
    assert all(w.action == "skipped" for s in by_arm["empty"] for w in s.written)
    for arm in ("online", "within", "oracle"):
        assert any(w.action == "added" for s in by_arm[arm] for w in s.written), arm
    assert any(a.shown for s in by_arm["online"] for a in s.attempts)
    assert not any(a.shown for s in by_arm["empty"] + by_arm["single"] for a in s.attempts)
    votes = by_arm["consistency"][0]
    assert votes.metadata["cost_of"] == "online" and len(votes.attempts) == votes.metadata["votes"]


async def cancel_at(limit: int, task: asyncio.Task[Outcome], calls: int, prompt: str) -> None:
    if calls == limit:
        task.cancel()
    await asyncio.sleep(0.001)


async def test_killed_again_and_again_the_numbers_are_those_of_a_run_left_alone(
    tmp_path: Path,
) -> None:
    """Cancelled at call after call, of every role, at varied points."""
    arms, few = "within,online,consistency", (benchmark_of(problems_of(TEXTS[:4])),)
    reference = await go(plan_of(tmp_path / "alone", arms, benchmarks=few))
    cut = plan_of(tmp_path / "cut", arms, benchmarks=few, workers=3)
    draw, kills, resume = random.Random(5), 0, False
    while True:
        pupil = Pupil()
        task = asyncio.create_task(go(cut, pupil, resume=resume))
        pupil.on_call(partial(cancel_at, draw.randint(3, 40), task))
        try:
            outcome = await task
            break
        except asyncio.CancelledError:
            kills, resume = kills + 1, True
    assert kills >= 2
    assert timeless(outcome.samples) == timeless(reference.samples)
    assert len(outcome.config.sessions) == kills + 1
    assert [s.ended for s in EvaluationFolder(tmp_path / "cut").config().sessions][-1] == "finished"


async def test_a_crash_and_a_hanging_sample_stand_apart(tmp_path: Path) -> None:
    async def trouble(calls: int, prompt: str) -> None:
        if TEXTS[2] in prompt:
            raise ZeroDivisionError("by nothing")
        if TEXTS[4] in prompt:
            await asyncio.sleep(60)

    pupil = Pupil()
    pupil.on_call(trouble)
    plan = plan_of(tmp_path / "out", "single,empty", time_limit=4.0)
    outcome = await go(plan, pupil)
    crashes = {s.key: s.crash for s in outcome.samples if s.crash}
    assert crashes == {
        f"{arm}/0/{name}": why
        for arm in ("single", "empty")
        for name, why in (
            ("p2", "ZeroDivisionError: by nothing"),
            ("p4", "TimeoutError: it was not done within 4 s"),
        )
    }
    assert len(outcome.samples) == 16
    assert all(s.answer is None and not s.correct for s in outcome.samples if s.crash)


async def test_a_server_that_comes_back_costs_nothing(tmp_path: Path) -> None:
    """However often it goes away: patience is for one absence, not for all of a run together."""
    failed: Counter[str] = Counter()

    async def flaky(calls: int, prompt: str) -> None:
        failed[prompt] += 1
        if failed[prompt] == 1:
            raise ModelServerError("the server is away")

    pupil = Pupil()
    pupil.on_call(flaky)
    few = (benchmark_of(problems_of(TEXTS[:4])),)
    plan = plan_of(tmp_path / "flaky", "online", orders=1, benchmarks=few, patience=0.01)
    outcome = await go(plan, pupil)
    reference = await go(plan_of(tmp_path / "steady", "online", orders=1, benchmarks=few))
    assert timeless(outcome.samples) == timeless(reference.samples)
    assert min(failed.values()) == 2


async def test_a_server_that_stays_away_stops_it_and_it_goes_on(tmp_path: Path) -> None:
    away = True

    async def down(calls: int, prompt: str) -> None:
        if away and calls > 9:
            raise ModelServerError("the server is away")

    pupil = Pupil()
    pupil.on_call(down)
    plan = plan_of(tmp_path / "out", "single,empty", patience=0.05, workers=2)
    stopped = await go(plan, pupil)
    assert stopped.stopped is not None and "the server is away" in stopped.stopped
    assert 0 < len(stopped.samples) < 16 and not any(s.crash for s in stopped.samples)
    assert "away" in EvaluationFolder(tmp_path / "out").config().sessions[-1].ended
    away = False
    outcome = await go(plan, pupil, resume=True)
    reference = await go(plan_of(tmp_path / "steady", "single,empty"))
    assert timeless(outcome.samples) == timeless(reference.samples)


async def test_another_configuration_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "out", "single")
    await go(plan)
    with pytest.raises(InputError, match="go on with it by --resume"):
        await go(plan)
    other = replace(plan, seed=7, settings=plan.settings.model_copy(update={"max_tokens": 99}))
    with pytest.raises(InputError, match="seed: 7 instead of 0; settings.max_tokens: 99 instead"):
        await go(other, resume=True)
    moved = plan.settings.model_copy(update={"home": tmp_path / "elsewhere"})
    again = await go(replace(plan, settings=moved, workers=1), resume=True)
    assert len(again.samples) == 8
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        await go(plan_of(tmp_path / "used", "single"))


async def test_one_that_is_stopped_early_has_pairs(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "out", "single,empty", workers=1, budget=Budget.parse("1000 tokens"))
    outcome = await go(plan)
    solved = [(sample.arm, sample.problem_id) for sample in outcome.samples]
    assert outcome.stopped and len(solved) > 3
    firsts = list(dict.fromkeys(problem for _, problem in solved))
    order = [problem for _, problem in solved]
    assert order == sorted(order, key=firsts.index), "one problem after the other"
    assert {arm for arm, _ in solved} == {"single", "empty"}


async def test_a_budget_stops_it_cleanly(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "out", "single", workers=1, budget=Budget.parse("400 tokens"))
    outcome = await go(plan)
    assert outcome.stopped == "the budget of 400 tokens is spent"
    spent = [s.usage.total_tokens for s in outcome.samples]
    assert sum(spent[:-1]) < 400 <= sum(spent) and len(spent) < 8
    session = EvaluationFolder(tmp_path / "out").config().sessions[-1]
    assert session.budget == "400 tokens" and session.ended == outcome.stopped
    rest = await go(replace(plan, budget=None), resume=True)
    assert len(rest.samples) == 8


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2M tokens", "2,000,000 tokens"), ("$5", "5 dollars"), ("0.5 dollars", "0.5 dollars"),
     ("90 s", "90 seconds"), ("30min", "1,800 seconds"), ("8h", "28,800 seconds")],
)  # fmt: skip
def test_budgets_are_read(text: str, shown: str) -> None:
    assert str(Budget.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "5", "much", "$5 tokens", "0 tokens", "-3 s", "1 week"])
def test_other_budgets_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="budget"):
        Budget.parse(text)


async def test_the_gold_answer_reaches_no_model_outside_the_oracle_arm(tmp_path: Path) -> None:
    gold = "902107755331"  # long enough to stand in no time or id by chance
    problems = [p.model_copy(update={"reference": gold}) for p in problems_of()]
    problems = [p.model_copy(update={"metadata": {"solution": gold}}) for p in problems]
    plan = plan_of(tmp_path / "out", "single,empty,within,online,consistency", orders=1)
    pupil = Pupil()
    await go(replace(plan, benchmarks=(benchmark_of(problems[:3]),)), pupil)
    assert pupil.calls > 20 and not any(gold in prompt for _, prompt in pupil.prompts)
    traces = (tmp_path / "out" / "data" / "traces.sqlite").read_bytes()
    assert gold.encode() not in traces


async def test_training_problems_like_test_problems_are_left_out(tmp_path: Path) -> None:
    train = benchmark_of(problems_of([TEXTS[1], "How old is the captain of the ship?"], "t"))
    outcome = await go(plan_of(tmp_path / "out", "frozen", learning=train))
    assert outcome.config.held_out == ("t0",)
    assert outcome.config.learning is not None and outcome.config.learning.n == 1
    with pytest.raises(InputError, match="every training problem"):
        only = benchmark_of(problems_of([TEXTS[1]], "t"))
        await go(plan_of(tmp_path / "other", "frozen", learning=only))
    with pytest.raises(InputError, match="needs training problems"):
        await go(plan_of(tmp_path / "other", "frozen"))


async def test_accuracy_of_replayed_solutions_is_the_official_one(
    tmp_path: Path, shared: Path
) -> None:
    """Real solutions of a model, said by a scripted one, are graded as their authors did."""
    model = SOLUTION_MODELS[1]
    rows = list(read_rows(shared / "data" / "gsm8k_model_solutions.jsonl.gz"))
    said = {s.id: s.text for s in load_solutions(shared / "data", "gsm8k")}
    benchmark = load_benchmark("gsm8k", shared / "data" / "gsm8k_test.jsonl.gz")
    script = ScriptedChatModel.of(
        *({"content": said[f"{p.id}/{model}"], "match": p.text} for p in benchmark.problems)
    )
    plan = plan_of(tmp_path / "out", "single", workers=16)
    outcome = await evaluate(replace(plan, benchmarks=(benchmark,)), models=models_of(script))
    labels = {row["id"]: row[model]["is_correct"] for row in rows}
    assert {s.problem_id: s.correct for s in outcome.samples} == labels and len(labels) == 300


def test_orders_are_permutations_that_the_seed_decides() -> None:
    items = list(range(50))
    assert in_order(items, 0, 3) == items
    one, two = in_order(items, 1, 3), in_order(items, 2, 3)
    assert sorted(one) == sorted(two) == items and one != two != items
    assert one == in_order(items, 1, 3) != in_order(items, 1, 4)


def test_a_person_cannot_be_asked(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "out", "empty", settings=Settings.load(feedback="human"))
    with pytest.raises(InputError, match="cannot ask a person"):
        asyncio.run(go(plan))
