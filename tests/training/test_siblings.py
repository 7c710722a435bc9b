"""Simulation on siblings, and writers measured on the situations that it held out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, nothing, operations, script
from tests.training.test_simulate import decisions
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets.groups import OWN
from vitarmm_agent.training.sampling import load_problems
from vitarmm_agent.training.simulate import simulate
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig, Summary, read_cases

ODD = {"id": "odd", "question": "A farm has 7 cows. How many?", "answer": "It is 9.\n#### 9"}
WRONG = "1. 1 + 1 = 2\nAnswer: 2"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Two rows that have siblings, and one that has none."""
    path = tmp_path / "rows_train.jsonl"
    lines = OWN.read_text().splitlines()[:2]
    path.write_text("\n".join([*lines, json.dumps(ODD)]))
    return path


def config(folder: Path, rows: Path, reasoner: list[Any], writer: list[Any],
           **options: Any) -> SimulationConfig:  # fmt: skip
    given: dict[str, Any] = {
        "sources": [{"name": "gsm8k", "path": str(rows)}],
        "vita_model": script(folder / "reasoner.json", *reasoner),
        "feedback_model": script(folder / "judge.json"),
        "rmm": script(folder / "writer.json", *writer),
        "feedback": "reference",
        "oracle": True,
        "holdout": 0.0,
        "candidates": 1,
        "max_iterations": 1,
        "siblings": 2,
    }
    return SimulationConfig.of(**given | options)


def right(problem: Any) -> str:
    return f"1. It is known.\nAnswer: {problem.reference}"


def test_entries_are_tried_on_siblings_beside_a_placebo(tmp_path: Path, rows: Path) -> None:
    plan = config(tmp_path, rows, [], [])
    first, second = load_problems(plan).tasks
    one, two = (probe.problem for probe in first.siblings)
    assert one.text != two.text and one.reference != two.reference
    assert all(probe.placebo is not None for probe in first.siblings)
    attempts = [
        WRONG,
        WRONG, WRONG, right(one),  # the model's entry on the first sibling: empty, placebo, shown
        right(two), right(two), WRONG,  # on the second
        WRONG, right(one), right(two), right(two),  # the rule's, beside the placebo's example
    ]  # fmt: skip
    writes = [nothing(), operations(LESSON)]  # in the run; then shown the right solution
    plan = config(tmp_path, rows, [*attempts, right(second.problem)], [*writes, nothing()])

    class Killed(Exception):
        pass

    def kill(row: SimulatedRow) -> None:
        raise Killed

    out = tmp_path / "out"
    with pytest.raises(Killed):
        asyncio.run(simulate(plan, out, on_row=kill))
    calls = json.loads((out / "simulate.jsonl").read_text())["usage"]["calls"]
    assert calls == len(attempts) + 2  # of the solver, trials included, and of the writer
    rule_helps_none = [WRONG] * 6  # two siblings, with nothing, the placebo and the rule's
    script(tmp_path / "reasoner.json", right(second.problem), *rule_helps_none)
    script(tmp_path / "writer.json", nothing())
    summary = asyncio.run(simulate(plan, out, resume=True))
    made = [(row.candidate, row.label, row.effect_own) for row in decisions(out)]
    assert made == [("model", "rejected", "untried"), ("model", "unlabelled", "untried")]
    assert "A right solution:" in decisions(out)[0].prompt[1].content
    rule = summary.outcomes["rule"]  # tried, and no training row: no model writes examples
    assert (rule.chosen, rule.trials, rule.without, rule.placebo, rule.shown) == (1, 4, 1, 1, 2)
    assert (summary.preferences, summary.solutions, summary.crashes) == (0, {"right": 1}, {})
    assert sum(summary.skipped.values()) == 1  # the row without siblings


def held_out(tmp_path: Path, rows: Path) -> Summary:
    """Both problems fail; a teacher solves the first wrongly, and the second rightly."""
    plan = config(tmp_path, rows, [], [], holdout=1.0)
    second = load_problems(plan).tasks[1].problem
    teacher = script(tmp_path / "teacher.json", WRONG, own(second))
    plan = config(
        tmp_path, rows, [WRONG] * 2, [nothing()] * 2, holdout=1.0, teacher=teacher, rmm="rule"
    )
    return asyncio.run(simulate(plan, tmp_path / "made"))


def own(problem: Any) -> str:
    from vitarmm_agent.evals.datasets.groups import own_solution

    return own_solution(problem)


def test_writers_are_measured_on_what_was_held_out(
    tmp_path: Path, rows: Path, weights: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    weights("all-minilm-l6-v2")
    summary = held_out(tmp_path, rows)
    assert summary.solutions == {"wrong": 1, "right": 1} and summary.decisions == 0
    cases = read_cases(tmp_path / "made")
    assert [case.solution is None for case in cases] == [True, False]
    writer = [word for _ in range(2) for word in ("no", operations(LESSON), operations(LESSON))]
    answers = [right(cases[1].siblings[0].problem)] + [WRONG] * 20
    words = ["--data", str(tmp_path / "made"), "--rmm", script(tmp_path / "w.json", *writer),
             "--rmm", "rule", "--probes", "1", "--output-dir", str(tmp_path / "measured"),
             "-r", script(tmp_path / "a.json", *[WRONG] * 3, *answers)]  # fmt: skip
    assert run_app(["eval", "rmm", *words]) == 0
    assert "lift over the placebo" in capsys.readouterr().out
    model, rule = json.loads((tmp_path / "measured" / "report.json").read_text())["writers"]
    figures = (
        "in_form",
        "corrections",
        "kept_nothing",
        "second_copies",
        "recalled",
        "false_recalls",
    )
    assert [(rule[name]["hits"], rule[name]["n"]) for name in figures] == [
        (1, 1), (0, 1), (1, 1), (0, 1), (2, 2), (0, 4),
    ]  # fmt: skip
    assert [(model[name]["hits"], model[name]["n"]) for name in figures] == [
        (2, 2), (0, 1), (0, 1), (0, 2), (0, 4), (0, 4),
    ]  # fmt: skip
    assert rule["placebo"]["n"] == 1 and rule["over_placebo"]["estimate"] is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines, lines[0]], "line 3 is the situation of line 1 again"),
        (lambda lines: [lines[0], lines[1][:-9]], "line 2 is no situation: no JSON"),
        (lambda lines: [lines[0], "{}"], "line 2 is no situation: problem: Field required"),
        (lambda lines: [changed(lines[0], feedback=[])], "line 1 .* without a verdict"),
        (lambda lines: [changed(lines[0], attempts=[])], "line 1 .* without an attempt"),
        (
            lambda lines: [changed(lines[0], feedback=[{"verdict": "abstain", "source": "judge"}])],
            "line 1 .* without a verdict",
        ),
    ],
)
def test_a_held_out_situation_that_cannot_be_used_is_named_by_its_line(
    tmp_path: Path, change: Callable[[list[str]], list[str]], says: str
) -> None:
    case = {
        "problem": {"id": "p", "text": "1 + 1?", "reference": "2"},
        "attempts": [{"number": 1, "text": "2"}],
        "feedback": [{"verdict": "fail", "source": "judge"}],
    }
    lines = [json.dumps(case), changed(json.dumps(case), attempts=[{"number": 2, "text": "2"}])]
    path = tmp_path / "heldout.jsonl"
    path.write_text("\n".join(lines))
    assert len(read_cases(tmp_path)) == 2
    path.write_text("\n".join(change(lines)))
    with pytest.raises(InputError, match=says):
        read_cases(tmp_path)


def changed(line: str, **fields: Any) -> str:
    return json.dumps(json.loads(line) | fields)


def test_siblings_are_made_of_training_rows_of_gsm8k(tmp_path: Path, rows: Path) -> None:
    test_rows = tmp_path / "gsm8k_test.jsonl"
    test_rows.write_text(rows.read_text())
    with pytest.raises(InputError, match="training split"):
        load_problems(config(tmp_path, test_rows, [], []))
    bare = tmp_path / "bare_train.jsonl"
    bare.write_text("\n".join(json.dumps(ODD | {"id": f"odd-{n}"}) for n in range(2)))
    with pytest.raises(
        InputError,
        match="no row of siblings can be used; 2 were left out, .* has no calculator notes",
    ):
        load_problems(config(tmp_path, bare, [], []))
    own_rows = tmp_path / "own.jsonl"
    own_rows.write_text(json.dumps({"text": "1 + 1?", "reference": "2"}))
    source = {"name": "problems", "path": str(own_rows)}
    with pytest.raises(InputError, match="--on-siblings"):
        load_problems(config(tmp_path, rows, [], [], sources=[source]))
