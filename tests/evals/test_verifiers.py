"""Accuracy on real, labelled solutions; needs the benchmark data beside the checkout."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import read_rows
from vitarmm_agent.effects import Flow
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.verifiers import (
    AgreementRow,
    Solution,
    VerdictRow,
    load_solutions,
    measure_grading,
    measure_verifiers,
)
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.verifiers import AnswerFollows, Arithmetic, ChoiceIsValid
from vitarmm_agent.verifiers.precision import MEASURED

pytestmark = pytest.mark.thorough

FLAGS = Path(__file__).parents[1] / "verifiers" / "arithmetic_flags.jsonl"


@pytest.fixture(scope="module")
def solutions(shared: Path) -> dict[str, list[Solution]]:
    return {name: load_solutions(shared / "data", name) for name in ("gsm8k", "mathv", "mathvista")}


@pytest.fixture(scope="module")
def graded(solutions: dict[str, list[Solution]]) -> dict[str, list[AgreementRow]]:
    return {name: measure_grading(rows) for name, rows in solutions.items()}


class Listening(Arithmetic):
    """Arithmetic that keeps the equations it calls false, for each attempt in turn."""

    def __init__(self) -> None:
        self.called_false = list[list[str]]()

    def check(self, problem: Problem, attempt: Attempt) -> Flow[Feedback]:
        said = yield from super().check(problem, attempt)
        self.called_false.append([error.subject for error in said.errors])
        return said


@dataclass(frozen=True)
class Judged:
    """What the verifiers made of one dataset; to read it takes seconds."""

    rows: list[VerdictRow]
    called_false: list[list[str]]


@pytest.fixture(scope="module")
def judged(solutions: dict[str, list[Solution]]) -> dict[str, Judged]:
    found = dict[str, Judged]()
    for name, some in solutions.items():
        arithmetic = Listening()
        rows = measure_verifiers(some, (arithmetic, AnswerFollows(), ChoiceIsValid()))
        found[name] = Judged(rows, arithmetic.called_false)
    return found


def test_gsm8k_labels_are_all_reproduced(graded: dict[str, list[AgreementRow]]) -> None:
    (row,) = graded["gsm8k"]
    assert row.n == 1200 and row.disagreements == ()


def test_mathvista_labels_are_reproduced(graded: dict[str, list[AgreementRow]]) -> None:
    everything, supported = graded["mathvista"]
    assert everything.n == 1842 and everything.agreement.estimate >= 0.97
    assert supported.n > 1400 and supported.agreement.estimate >= 0.99


def test_mathv_labels_are_reproduced_by_its_own_scoring(
    graded: dict[str, list[AgreementRow]],
) -> None:
    (row,) = graded["mathv"]
    assert row.n == 1861 and row.agreement.estimate >= 0.99


def test_strict_grading_differs_from_mathv_only_where_its_script_cannot_read(
    solutions: dict[str, list[Solution]],
) -> None:
    (row,) = measure_grading(solutions["mathv"], policy="strict")
    assert row.agreement.estimate >= 0.965
    by_id = {s.id: s for s in solutions["mathv"]}
    # nearly all of them are answers that are right and were marked wrong for a unit or a form
    assert sum(not by_id[i].correct for i in row.disagreements) >= 0.9 * len(row.disagreements)


def test_every_equation_called_false_has_a_label(
    solutions: dict[str, list[Solution]], judged: dict[str, Judged]
) -> None:
    labels: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in read_rows(FLAGS):
        labels[row["data"], row["id"]][f"{row['equation']}: {row['label']}"] += 1
    known = {
        (*key, entry.rsplit(": ", 1)[0]): entry.rsplit(": ", 1)[1]
        for key, entries in labels.items()
        for entry in entries
    }
    flagged = [
        (s.dataset, s.id, equation)
        for name in ("gsm8k", "mathv")
        for s, found in zip(solutions[name], judged[name].called_false, strict=True)
        for equation in found
    ]
    unread = [flag for flag in flagged if flag not in known]
    assert unread == [], "read these, and add them with a label to arithmetic_flags.jsonl"
    truly_false = sum(known[flag] == "false" for flag in flagged)
    assert len(flagged) >= 100 and truly_false / len(flagged) >= 0.99


def test_measured_precision_is_what_the_package_says(
    judged: dict[str, Judged],
) -> None:
    right: Counter[tuple[str, str]] = Counter()
    count: Counter[tuple[str, str]] = Counter()
    for name in ("gsm8k", "mathv"):
        for row in judged[name].rows:
            right[row.verifier, row.verdict] += round(row.precision.estimate * row.n)
            count[row.verifier, row.verdict] += row.n
    assert {key: pytest.approx(right[key] / count[key], abs=0.01) for key in count} == MEASURED


def test_the_tables_in_the_docs_are_what_is_measured(
    judged: dict[str, Judged], graded: dict[str, list[AgreementRow]]
) -> None:
    docs = Path(__file__).parents[2] / "docs"
    feedback, answers = ((docs / f"{n}.md").read_text("utf-8") for n in ("feedback", "answers"))
    for name, found in judged.items():
        for row in found.rows:
            line = f"| {name} | {row.verifier} | {row.verdict} | {row.n} of {row.total} |"
            assert f"{line} {row.coverage:.1%} | {row.precision} |" in feedback
        for grading in graded[name]:
            assert f"| {grading.policy} | {grading.n:,} | {grading.agreement} |" in answers


def test_fails_are_better_than_the_base_rate(judged: dict[str, Judged]) -> None:
    rows = {(r.verifier, r.verdict): r for r in judged["gsm8k"].rows}
    arithmetic, follows = rows["arithmetic", "fail"], rows["answer_follows", "fail"]
    assert arithmetic.n >= 31 and arithmetic.precision.low > arithmetic.base
    assert follows.precision.low > follows.base


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    from vitarmm_agent.cli.evaluate import app

    row = {"id": "a", "question": "How many?", "ground_truth": "3 + 4 = 7\nA: 7"}
    for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
        wrong = model == "6b_finetuning"
        row[model] = {  # type: ignore[assignment]
            "solution": "3 + 4 = <<3+4=8>>8\nA: 8" if wrong else "3 + 4 = <<3+4=7>>7\nA: 7",
            "is_correct": not wrong,
        }
    with gzip.open(tmp_path / "gsm8k_model_solutions.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    arguments = ["verifiers", "--data", str(tmp_path), "--benchmark", "gsm8k"]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    assert shown.exit_code == 0 and "Verdicts against the label" in shown.output
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    fails = [
        r for r in data["verifiers"] if (r["verifier"], r["verdict"]) == ("arithmetic", "fail")
    ]
    assert fails[0]["n"] == 1 and fails[0]["precision"]["estimate"] == 1.0
    assert data["grading"][0]["agreement"]["estimate"] == 1.0


def test_data_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_solutions(tmp_path, "gsm8k")
    with pytest.raises(InputError, match="unknown"):
        load_solutions(tmp_path, "imagenet")
