"""Recurring problems: what each arm is shown, and what the figures make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tests.evals.datasets.helpers import lines
from tests.evals.pupil import models_of, plan_of
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import Benchmark, load_benchmark
from vitarmm_agent.evals.datasets.groups import group_of
from vitarmm_agent.evals.metrics import measure
from vitarmm_agent.evals.report import write_report
from vitarmm_agent.evals.run.plan import EvaluationPlan, checked
from vitarmm_agent.evals.run.runner import Outcome, evaluate
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.run.teaching import FORM, placebos, taught_entries
from vitarmm_agent.memory_store.masking import masked
from vitarmm_agent.problem import Problem

ARMS = "empty,form,placebo,taught,lessons"
KINDS = {
    "hens": ("A farm has {0} hens that lay {1} eggs each. How many eggs are there?", "*"),
    "bus": ("A bus carries {0} people and {1} get off at the harbour. How many stay on?", "-"),
    "coins": ("Tilda saves {0} silver coins and finds {1} more in a drawer. How many now?", "+"),
}
PAIRS = ((12, 7), (31, 4), (25, 6), (44, 9))


def rows() -> list[dict[str, Any]]:
    found = []
    for group, (text, sign) in KINDS.items():
        for n, (a, b) in enumerate(PAIRS):
            result = {"*": a * b, "-": a - b, "+": a + b}[sign]
            found.append({
                "id": f"{group}-{n}", "group": group, "text": text.format(a, b),
                "solution": [f"{a} {sign} {b} = {result}"], "reference": str(result),
                "answer_type": "integer",
            })  # fmt: skip
    return found


ANSWERS = {row["text"]: row["reference"] for row in rows()}


class Imitator(BaseChatModel):
    """Solves what an earlier turn shows how to solve; copies the answer of any other example."""

    seen: list[list[BaseMessage]] = []

    @property
    def _llm_type(self) -> str:
        return "imitator"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        asked = _text(messages[-1])
        answer = "0"
        for question, solution in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
            own = masked(_text(question), "#") == masked(asked, "#")
            answer = ANSWERS[asked] if own else str(solution.content).rpartition(": ")[2]
        message = AIMessage(
            f"1. It comes out.\nAnswer: {answer}",
            usage_metadata={"input_tokens": 9, "output_tokens": 1, "total_tokens": 10},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


class Teacher(Imitator):
    """Knows every answer but those about the bus."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        asked = _text(messages[-1])
        text = f"1. It is {ANSWERS[asked]}.\nAnswer: {ANSWERS[asked]}"
        if "bus" in asked:
            text = "1. 12 - 7 = 6\nAnswer: 6"
        usage = {"input_tokens": 90, "output_tokens": 10, "total_tokens": 100}
        message = AIMessage(text, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _text(message: BaseMessage) -> str:
    return next(line for line in str(message.content).splitlines() if line in ANSWERS or line)


@pytest.fixture(autouse=True)
def embedder(weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")


@pytest.fixture
def recurring(tmp_path: Path) -> Benchmark:
    return load_benchmark("siblings", lines(tmp_path / "groups.jsonl", *rows()))


def plan_for(
    benchmark: Benchmark, folder: Path, arms: str = ARMS, **changes: Any
) -> EvaluationPlan:
    plan = replace(plan_of(folder, "empty"), benchmarks=(benchmark,), one_pass=True)
    from vitarmm_agent.evals.run.arms import choose_arms

    return replace(plan, arms=choose_arms(arms), **changes)


async def go(plan: EvaluationPlan, model: BaseChatModel | None = None, **changes: Any) -> Outcome:
    models = replace(models_of(model or Imitator()), **changes)
    return await evaluate(plan, models=models)


def of_arm(outcome: Outcome, arm: str) -> list[Sample]:
    return [sample for sample in outcome.samples if sample.arm == arm]


async def test_each_arm_is_shown_what_it_is_for(recurring: Benchmark, tmp_path: Path) -> None:
    model = Imitator(seen=[])
    outcome = await go(plan_for(recurring, tmp_path / "out"), model)
    assert not any(sample.crash for sample in outcome.samples), outcome.samples
    shown = {
        arm: {
            (s.group, entry.origin, entry.kin)
            for s in of_arm(outcome, arm)
            for entry in s.attempts[0].shown
            if entry.as_example
        }
        for arm in ARMS.split(",")
    }
    assert shown["empty"] == shown["lessons"] == set()
    assert shown["taught"] == {(group, f"{group}-0", True) for group in KINDS}
    assert {origin for _, origin, _ in shown["form"]} == {""}
    assert shown["placebo"] and all(
        origin.partition("-")[0] not in ("", group) and not kin
        for group, origin, kin in shown["placebo"]
    )
    right = {arm: sum(s.correct for s in of_arm(outcome, arm)) for arm in ARMS.split(",")}
    assert right == {"empty": 0, "form": 0, "placebo": 0, "taught": 9, "lessons": 0}
    copied = {arm: sum(s.attempts[0].copied for s in of_arm(outcome, arm)) for arm in shown}
    assert copied == {"empty": 0, "form": 9, "placebo": 9, "taught": 0, "lessons": 0}


async def test_a_problem_never_sees_its_own_solution(recurring: Benchmark, tmp_path: Path) -> None:
    model = Imitator(seen=[])
    await go(plan_for(recurring, tmp_path / "out"), model)
    taught = {problem.text for problem in recurring.taught}
    assert len(model.seen) == 9 * 5
    for messages in model.seen:
        asked = _text(messages[-1])
        assert asked not in taught and asked not in "".join(str(m.content) for m in messages[:-1])
        assert f"Answer: {ANSWERS[asked]}" not in "".join(str(m.content) for m in messages)


async def test_what_is_written_in_lessons_is_text_alone(
    recurring: Benchmark, tmp_path: Path
) -> None:
    model = Imitator(seen=[])
    outcome = await go(plan_for(recurring, tmp_path / "out", "lessons"), model)
    entries = [e for s in outcome.samples for e in s.attempts[0].shown]
    assert entries and not any(entry.as_example for entry in entries)
    assert all(len(messages) == 2 for messages in model.seen)


async def test_lift_is_told_over_both_controls_and_by_group(
    recurring: Benchmark, tmp_path: Path
) -> None:
    outcome = await go(plan_for(recurring, tmp_path / "out", "empty,placebo,taught"))
    metrics = measure(outcome.samples)
    pairs = {(c.first, c.second): c for c in metrics.comparisons}
    lift = pairs["taught", "placebo"]
    assert lift.pairs == 9 and lift.difference.value == 1 and lift.test == "sign flips"
    assert lift.p == pytest.approx(0.25, abs=0.02)  # three groups that agree, not nine problems
    assert ("taught", "empty") in pairs
    taught = next(m for m in metrics.arms if m.arm == "taught").recurring
    assert taught is not None and (taught.own.count, taught.withheld.count) == (9, 0)
    report = write_report(tmp_path / "out")
    assert report.metrics.arms[0].recurring is not None
    for name in ("report.md", "report.html"):
        assert "answer copied from the example" in (tmp_path / "out" / name).read_text()


async def test_a_teacher_is_paid_once_a_group_and_what_verifiers_fail_is_not_taught(
    recurring: Benchmark, tmp_path: Path
) -> None:
    plan = plan_for(recurring, tmp_path / "out", "empty,taught", taught_by="teacher")
    plan = replace(plan, settings=plan.settings.model_copy(update={"teacher": "some:teacher"}))
    outcome = await go(plan, teacher=Teacher())
    taught = of_arm(outcome, "taught")
    assert {s.group for s in taught if s.correct} == {"hens", "coins"}
    assert [s.teacher.total_tokens for s in taught if s.teacher] == [100, 100, 100]
    assert not any(s.attempts[0].shown for s in taught if s.group == "bus")
    assert not any(s.teacher for s in of_arm(outcome, "empty"))
    figures = next(m for m in measure(outcome.samples).arms if m.arm == "taught").recurring
    assert figures is not None and figures.teacher_tokens.value == pytest.approx(100 / 3)
    assert figures.withheld.count == 3
    again = await evaluate(plan, models=models_of(Imitator()), resume=True)
    assert len(again.samples) == len(outcome.samples)


async def test_a_stream_is_taught_within_the_teachers_budget(
    recurring: Benchmark, tmp_path: Path
) -> None:
    plan = plan_for(recurring, tmp_path / "out", "online", orders=1)
    settings = plan.settings.model_copy(update={"teacher_calls": 2})
    outcome = await go(replace(plan, settings=settings), teacher=Teacher())
    asked = [s for s in outcome.samples if s.teacher]
    assert len(asked) == 2 and {s.group for s in outcome.samples if s.correct} <= set(KINDS)
    assert all(e.kin and e.origin != s.problem_id
               for s in outcome.samples for e in s.attempts[0].shown)  # fmt: skip


def test_placebos_are_of_other_groups_and_the_seed_draws_them(recurring: Benchmark) -> None:
    taught, asked = taught_entries(recurring), recurring.problems
    found = placebos(recurring.taught, asked, taught, 1)
    assert set(found) == {problem.id for problem in recurring.problems}
    groups = {problem.id: group_of(problem) for problem in recurring.taught}
    assert all(groups[found[p.id].provenance.problem_id] != group_of(p) for p in recurring.problems)
    assert found == placebos(recurring.taught, asked, taught, 1)
    assert any(found != placebos(recurring.taught, asked, taught, seed) for seed in range(2, 9))
    twin = recurring.taught[0].model_copy(update={"id": "t", "metadata": {"group": "twin"}})
    near = (recurring.taught[0], twin)
    two = {group_of(recurring.taught[0]): FORM, "twin": FORM}
    own = [p for p in recurring.problems if group_of(p) == group_of(recurring.taught[0])]
    assert own and not set(placebos(near, asked, two, 1)) & {p.id for p in own}


async def test_what_cannot_be_measured_is_refused_at_once(tmp_path: Path) -> None:
    hens = lines(tmp_path / "hens.jsonl", *(row for row in rows() if row["group"] == "hens"))
    one = load_benchmark("siblings", hens)
    with pytest.raises(InputError, match="no second kind could be taught"):
        await go(plan_for(one, tmp_path / "out", "empty,placebo"))
    bare = lines(tmp_path / "bare.jsonl", *({**row, "solution": ""} for row in rows()))
    with pytest.raises(InputError, match="solution that can be taught"):
        await go(plan_for(load_benchmark("siblings", bare), tmp_path / "out", "taught"))
    settings = plan_of(tmp_path / "out", "empty").settings
    knowing = settings.model_copy(update={"feedback": "reference"})
    with pytest.raises(InputError, match="sees the gold answer"):
        await go(plan_for(one, tmp_path / "out", "taught", settings=knowing))
    assert not (tmp_path / "out").exists(), (
        "and nothing is left there that is taken for a beginning"
    )


def altered(folder: Path, **changes: dict[str, Any]) -> Benchmark:
    """The groups, with other fields in the first row of those named."""
    wrong = [row | changes.get(row["id"].replace("-", "_"), {}) for row in rows()]
    return load_benchmark("siblings", lines(folder / "altered.jsonl", *wrong))


async def test_groups_whose_solution_cannot_be_taught_are_left_out_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    benchmark = altered(
        tmp_path, hens_0={"solution": ["12 * 7 = 85"], "reference": "85"}, bus_0={"solution": ""}
    )
    plan = checked(
        plan_for(benchmark, tmp_path / "out", "empty,taught")
    )  # as the command line does
    outcome = await go(plan)
    assert {sample.group for sample in outcome.samples} == {"coins"}
    (used,) = plan_for(benchmark, tmp_path / "out").folder.config().benchmarks
    assert used.n == 3 and set(used.skipped.values()) == {1}
    assert [reason.partition(":")[0] for reason in used.skipped] == ["group 'hens'", "group 'bus'"]
    assert "12 * 7 = 85" in str(used.skipped) and "no solution" in str(used.skipped)
    assert "2 of 3 groups left out" in caplog.text and "12 * 7 = 85" in caplog.text
    write_report(tmp_path / "out")
    assert "12 * 7 = 85" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


async def test_a_problem_without_a_placebo_is_refused_by_name(tmp_path: Path) -> None:
    wrong = {"solution": ["12 * 7 = 85"]}
    benchmark = altered(tmp_path, hens_0=wrong, coins_0={"solution": ["12 + 7 = 20"]})
    with pytest.raises(InputError, match="no second kind could be taught for 3 .* 'bus-"):
        await go(plan_for(benchmark, tmp_path / "out", "empty,placebo"))
    assert not (tmp_path / "out").exists()
    pair = altered(tmp_path)
    two = pair.model_copy(
        update={
            "taught": tuple(p for p in pair.taught if group_of(p) != "coins"),
            "problems": tuple(p for p in pair.problems if group_of(p) != "coins"),
        }
    )  # the teacher's own solution of the bus has no answer that a verifier lets stand
    settings = plan_of(tmp_path, "empty").settings.model_copy(update={"teacher": "scripted:x"})
    plan = plan_for(two, tmp_path / "other", "empty,placebo", taught_by="teacher")
    with pytest.raises(InputError, match="no second kind could be taught for 3 .* 'hens-"):
        await go(replace(plan, settings=settings), teacher=Teacher())


def test_arms_of_recurring_problems_need_them(tmp_path: Path) -> None:
    from vitarmm_agent.evals.run.arms import choose_arms

    plan = plan_of(tmp_path / "out", "empty")
    with pytest.raises(InputError, match="'taught' needs recurring problems"):
        checked(replace(plan, arms=choose_arms("empty,taught")))
    bare = tuple(
        Problem(id=f"{g}{n}", text=f"{g} {n}?", reference="1", metadata={"group": g})
        for g in "ab"
        for n in (1, 2)
    )
    unsolved = Benchmark(
        name="siblings", split="", problems=bare[1::2], taught=bare[::2], source="f", sha256=""
    )
    with pytest.raises(InputError, match="no group of f has a solution"):
        taught_entries(unsolved)
    plan = replace(plan, benchmarks=(unsolved,), arms=choose_arms("taught"))
    with pytest.raises(InputError, match="no teacher is named"):
        checked(replace(plan, taught_by="teacher"))
    with pytest.raises(InputError, match="got 'nobody'"):
        checked(replace(plan, taught_by="nobody"))
