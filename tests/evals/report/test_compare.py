"""Two evaluations side by side, or why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evals.made import evaluation, sample
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.report.compare import compare
from vitarmm_agent.evals.run.folder import BenchmarkUsed
from vitarmm_agent.evals.run.samples import Sample


def rows(right: int, arm: str = "online", **fields: Any) -> list[Sample]:
    return [sample(f"p{n}", n < right, arm=arm, **fields) for n in range(40)]


def test_the_same_problems_are_compared(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", rows(30), settings={"reasoner": "local:one"})
    other = evaluation(tmp_path / "other", rows(20), settings={"reasoner": "local:other"})
    found = compare(one.path, other.path)
    (row,) = found.rows
    assert (row.first, row.second, row.pairs) == ("one: online", "other: online", 40)
    assert (row.only_first, row.only_second, row.difference.value) == (10, 0, 0.25)
    assert row.p == pytest.approx(2 / 1024) and row.p_holm == row.p
    assert found.objections == () and found.notes == ("reasoner: local:one and local:other",)


def test_other_arms_may_be_named(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", rows(30))
    other = evaluation(tmp_path / "other", rows(20, "empty") + rows(25, "single"))
    with pytest.raises(InputError, match=r"no arm in common \(online; empty, single\)"):
        compare(one.path, other.path)
    found = compare(one.path, other.path, [("online", "empty"), ("online", "single")])
    assert [row.difference.value for row in found.rows] == [0.25, 0.125]
    assert found.rows[1].p_holm == found.rows[1].p == pytest.approx(2 / 32)
    assert found.rows[0].p_holm == pytest.approx(4 / 1024)
    with pytest.raises(InputError, match="no finished sample of arm 'frozen'"):
        compare(one.path, other.path, [("frozen", "empty")])


BENCHMARK = BenchmarkUsed(name="made", split="test", n=40, sha256="0" * 64)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"problem_sha256": "0" * 64, "seed": 3}, "other problems or references: 40 problems of seed 0 and 40 of seed 3"),
        ({"benchmarks": (BENCHMARK,)}, "made test was read from another file"),
        ({"benchmarks": (BENCHMARK.model_copy(update={"name": "mmlu"}),)}, "other benchmarks: made test and mmlu test"),
        ({"max_iterations": 5}, "3 and 5 attempts were allowed"),
        ({"withhold": 0.2}, "withheld with probability 0 and 0.2"),
    ],
)  # fmt: skip
def test_what_is_not_comparable_is_refused_with_the_reason(
    tmp_path: Path, other: dict[str, Any], why: str
) -> None:
    places = [
        evaluation(tmp_path / "one", rows(30)),
        evaluation(tmp_path / "two", rows(20), **other),
    ]
    with pytest.raises(InputError, match=why):
        compare(places[0].path, places[1].path)
    found = compare(places[0].path, places[1].path, anyway=True)
    assert any(why in objection for objection in found.objections)
    assert found.rows[0].pairs == 40


def test_other_graders_are_refused(tmp_path: Path) -> None:
    one, two = evaluation(tmp_path / "one", rows(30)), evaluation(tmp_path / "two", rows(20))
    config = two.config()
    versions = {**config.versions, "math-verify": "0.1"}
    changed = config.model_copy(update={"versions": versions})
    two.config_path.write_text(changed.model_dump_json())
    with pytest.raises(InputError, match=r"graded by math-verify .* and 0\.1"):
        compare(one.path, two.path)


def test_an_oracle_is_no_fair_opponent(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", rows(30, oracle=True))
    two = evaluation(tmp_path / "two", rows(20))
    with pytest.raises(InputError, match="only one of online and online had feedback that saw"):
        compare(one.path, two.path)


def test_no_shared_problem_cannot_be_overruled(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", rows(30))
    two = evaluation(tmp_path / "two", [sample("elsewhere", True)])
    with pytest.raises(InputError, match="share no problem"):
        compare(one.path, two.path, anyway=True)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = evaluation(tmp_path / "one", rows(30))
    two = evaluation(tmp_path / "two", rows(20), max_iterations=5)
    given = ["eval", "compare", str(one.path), str(two.path)]
    assert run_app(given) == 2
    assert "3 and 5 attempts were allowed" in capsys.readouterr().err
    assert run_app([*given, "--anyway", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["difference"]["value"] == 0.25
    assert run_app([*given, "--anyway"]) == 0
    assert "objection: 3 and 5 attempts" in capsys.readouterr().out
    assert run_app([*given, "--arms", "online"]) == 2
    assert run_app(["eval", "compare", str(one.path), str(tmp_path / "none")]) == 2
