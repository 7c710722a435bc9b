from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripts import LESSON, QUESTION, RELATED_QUESTION, RIGHT, WRONG, nothing, operations
from tests.training.test_simulate import config as simulation
from tests.training.test_simulate import go as simulate
from vitarmm_agent.answers import parse_steps
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.writers.cases import Case
from vitarmm_agent.evals.writers.measuring import (
    Measurer,
    Named,
    WriterConfig,
    WriterSample,
    WrittenText,
    checked_freely,
    measure_writers,
)
from vitarmm_agent.evals.writers.replay import Replayer
from vitarmm_agent.evals.writers.report import report_on
from vitarmm_agent.evals.writers.trials import Probe, Trial
from vitarmm_agent.media import MediaStore
from vitarmm_agent.memory_store.schema import MemoryEntry
from vitarmm_agent.models.load import adapter_hashes
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.problem import Attempt, Feedback, Problem
from vitarmm_agent.rmm.writer import MemoryWriter

CASE = Case(
    problem=Problem(id="p", text=QUESTION, reference="25", metadata={"benchmark": "gsm8k"}),
    attempts=(Attempt(number=1, text=RIGHT, steps=parse_steps(RIGHT), answer="25"),),
    feedback=(Feedback(verdict="pass", source="judge"),),
)
OTHER = Problem(id="o", text=RELATED_QUESTION, reference="81", answer_type="integer")


class Fixed:
    """Finds the same problem always."""

    def nearest(self, problem: Problem, k: int = 1) -> list[Problem]:
        return [OTHER][:k]


def plan(*writers: str) -> WriterConfig:
    return WriterConfig(cases=("c",), writers=writers, reasoner="r", probes=1, pool="")


def measure(folder: Path, replies: list[Any], attempts: list[Any], **fields: Any) -> WriterSample:
    case = CASE.model_copy(update=fields)
    replayer = Replayer(ScriptedChatModel.of(*attempts), MediaStore(folder))
    near: Any = {"gsm8k": Fixed()}
    measurer = Measurer(replayer, near, probes=1)
    writer = Named("w", MemoryWriter(ScriptedChatModel.of(*replies)))
    return asyncio.run(measurer.sample(writer, case))


def sample(writer: str = "w", case: str = "c", *tried: tuple[bool, bool], **fields: Any) -> Any:
    ids = tuple(f"o{i}" for i in range(len(tried) or 1))
    trials = tuple(
        Trial(problem_id=one, without=(a,), shown=(b,))
        for one, (a, b) in zip(ids, tried, strict=False)
    )
    text = fields.pop("content", f"{writer} says {case}")
    entry = WrittenText(
        title="", applies_when="", content=text, words=3, leak=fields.pop("leak", None),
        trials=trials,
    )  # fmt: skip
    entries = (entry,) if tried else ()
    return WriterSample(
        writer=writer, case=case, situation="success", entries=entries, tried_on=ids, **fields
    )


@pytest.mark.parametrize(
    ("text", "alone", "fenced", "usable"),
    [
        (operations(LESSON), True, True, True),
        (f"```json\n{operations(LESSON)}\n```", False, True, False),
        (f"Here it is: {operations(LESSON)}", False, False, False),
        ('{"lesson": "Square it."}', True, True, False),
        (operations(LESSON | {"content": "The area is 25."}), True, True, False),
        ("Square the side.", False, False, False),
    ],
)
def test_a_free_answer(text: str, alone: bool, fenced: bool, usable: bool) -> None:
    assert checked_freely(text, CASE) == {
        "free_json": alone,
        "fenced_json": fenced,
        "free_operations": usable,
    }


def test_an_entry_is_tried_on_a_similar_problem(tmp_path: Path) -> None:
    found = measure(
        tmp_path,
        ["Square the side.", operations(LESSON)],
        [WRONG, "1. The side is 36 / 4 = 9.\nAnswer: 81"],
    )
    (entry,) = found.entries
    assert (entry.trials[0].problem_id, entry.trials[0].effect) == ("o", "fixes")
    assert (found.free_json, found.failure, entry.leak) == (False, None, None)
    assert found.tried_on == ("o",) and found.decision.calls == 1 < found.usage.calls
    assert entry.words == len(
        f"{LESSON['title']} {LESSON['applies_when']} {LESSON['content']}".split()
    )


def test_leaks_are_counted_before_and_after_numbers_are_taken_out(tmp_path: Path) -> None:
    leaking = LESSON | {"content": "The area is 25. Square the side."}
    found = measure(tmp_path, ["", operations(leaking)], [WRONG, WRONG])
    assert (found.written_before, found.leaks_before) == (1, 1)
    assert found.entries[0].content == "Square the side." and found.entries[0].leak is None


def test_what_was_shown_counts_as_repeated(tmp_path: Path) -> None:
    old = MemoryEntry(id="m-old", **LESSON)
    found = measure(tmp_path, ["", operations(LESSON)], [], related=(old,))
    assert (found.restated, found.entries) == (1, ())
    (one,) = report_on(plan("w"), [found]).writers
    assert (one.duplicates.hits, one.duplicates.n) == (1, 1)


def test_lift_is_paired_and_compared() -> None:
    base = [sample("base", str(i), (True, True), (False, False)) for i in range(10)]
    better = [sample("new", str(i), (True, True), (False, i < 5)) for i in range(10)]
    first, second = report_on(plan("base", "new"), [*base, *better]).writers
    assert (first.lift.estimate, first.against_first) == (0.0, None)
    assert second.lift.estimate == pytest.approx(0.25)
    assert (second.fixes, second.breaks) == (5, 0)
    assert second.without.estimate == 0.5 and second.shown.estimate == 0.75
    assert second.against_first is not None
    assert second.against_first.estimate == pytest.approx(0.25)
    assert (second.trials, second.lift.n, second.against_first.n) == (20, 20, 20)
    low, high = second.lift.low, second.lift.high
    assert low is not None and high is not None and low < 0.25 < high
    assert (low, high) != (0.25, 0.25)


def test_keeping_nothing_is_compared_as_an_empty_memory() -> None:
    harmful = [sample("base", str(i), (True, i > 4)) for i in range(10)]
    silent = [sample("new", str(i)) for i in range(10)]
    first, second = report_on(plan("base", "new"), [*harmful, *silent]).writers
    assert first.lift.estimate == pytest.approx(-0.5) and first.breaks == 5
    assert second.covered.hits == 0 and second.lift.estimate is None
    assert second.against_first is not None
    assert second.against_first.estimate == pytest.approx(0.5)
    both = [sample(name, str(i)) for name in ("base", "new") for i in range(10, 20)]
    samples = sorted([*harmful, *silent, *both], key=lambda one: one.writer)
    compared = report_on(plan("base", "new"), samples).writers[1].against_first
    assert compared is not None and (compared.n, compared.estimate) == (20, pytest.approx(0.25))


def test_situations_of_one_problem_are_one_unit() -> None:
    """They share their siblings, so twice as many say no more."""
    tried = [(True, True), (False, True)]
    alone = [sample("w", f"g/{i}/1", *tried[: 1 + i % 2], free_json=i > 2) for i in range(6)]
    again = [one.model_copy(update={"case": f"{one.problem}/2"}) for one in alone]
    (one,) = report_on(plan("w"), alone).writers
    (both,) = report_on(plan("w"), [*alone, *again]).writers
    assert (one.situations, one.problems) == (6, 6) and (both.situations, both.problems) == (12, 6)
    for name in ("lift", "free_json"):
        a, b = getattr(one, name), getattr(both, name)
        assert (a.estimate, b.n) == (b.estimate, 2 * a.n)
    assert (both.lift.low, both.lift.high) == (one.lift.low, one.lift.high)
    assert both.free_json.low == pytest.approx(one.free_json.low, abs=0.02)


def test_where_nothing_changed_a_small_effect_is_not_ruled_out() -> None:
    (one,) = report_on(plan("w"), [sample("w", str(i), (True, True)) for i in range(6)]).writers
    low, high = one.lift.low, one.lift.high
    assert one.lift.estimate == 0.0 and low is not None and high is not None
    assert low < -0.3 and high > 0.3


def test_an_answer_that_cannot_be_used_keeps_nothing_by_no_merit() -> None:
    broken = [sample("w", str(i), groundless=True, failure="no JSON") for i in range(3)]
    kept = sample("w", "3", groundless=True)
    (one,) = report_on(plan("w"), [*broken, kept]).writers
    assert (one.kept_nothing.hits, one.kept_nothing.n) == (1, 1)


def test_a_second_answer_that_cannot_be_used_is_no_second_copy_avoided(tmp_path: Path) -> None:
    replies = ["", operations(LESSON), "no", "still no"]
    found = measure(tmp_path, replies, [WRONG, WRONG], siblings=(Probe(problem=OTHER),))
    assert len(found.entries) == 1 and found.copied_again is None


def test_a_crash_is_in_no_share() -> None:
    crashed = WriterSample(writer="w", case="x", situation="success", crash="ValueError: no")
    samples = [sample("w", "c", (True, True), free_json=True), crashed]
    (one,) = report_on(plan("w"), samples).writers
    assert (one.situations, one.crashes, one.free_json.estimate) == (1, 1, 1.0)


def test_the_same_words_again_are_a_duplicate() -> None:
    samples = [sample("w", str(i), (True, True), content="Divide, then square.") for i in "abc"]
    (one,) = report_on(plan("w"), samples).writers
    assert (one.duplicates.hits, one.duplicates.n) == (2, 3)


def test_the_report_survives_its_json() -> None:
    report = report_on(plan("w"), [sample("w", "c", (True, False))])
    assert type(report).model_validate_json(report.model_dump_json()) == report


def test_a_measurement_goes_on_where_it_stopped(tmp_path: Path) -> None:
    replayer = Replayer(ScriptedChatModel.of(), MediaStore(tmp_path))
    measurer = Measurer(replayer, {}, probes=0)
    model = ScriptedChatModel.of("free", nothing())
    writer = Named("w", MemoryWriter(model))

    def go(resume: bool) -> list[WriterSample]:
        flow = measure_writers(
            plan("w"), [writer], [CASE], measurer, tmp_path / "out", resume=resume
        )
        return asyncio.run(flow)[0]

    first = go(resume=False)
    assert go(resume=True) == first and model.left == 0
    with pytest.raises(InputError, match="--resume"):
        go(resume=False)


def test_the_command_measures_what_a_simulation_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = simulation(tmp_path, writer=[nothing()] * 8, holdout=0.5, replay=False)
    simulate(made, tmp_path / "made")
    writer = tmp_path / "w.json"
    writer.write_text(json.dumps([r for _ in range(4) for r in ("no", operations(LESSON))]))
    attempts = tmp_path / "a.json"
    attempts.write_text(json.dumps([WRONG, *[RIGHT] * 20]))
    words = ["--data", str(tmp_path / "made"), "--rmm", f"scripted:{writer}", "--probes", "1",
             "--vita-model", f"scripted:{attempts}", "--output-dir", str(tmp_path / "out"),
             "--gsm8k-path", made.sources[0].path]  # fmt: skip
    assert run_app(["eval", "rmm", *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (one,) = report["writers"]
    assert one["free_json"]["hits"] == 0 and one["operations"]["estimate"] == 1.0
    assert "lift" in capsys.readouterr().out
    rows = (tmp_path / "out" / "writers" / "decisions.jsonl").read_text().splitlines()
    assert {(r["free_reply"], r["reply"]) for r in map(json.loads, rows)} == {
        ("no", operations(LESSON))
    }
    assert run_app(["eval", "rmm", *words]) == 2
    assert run_app(["eval", "rmm", *words, "--resume", "--json"]) == 0


def test_a_measurement_goes_on_only_with_what_it_began_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = simulation(tmp_path, writer=[nothing()] * 8, holdout=0.5, replay=False)
    simulate(made, tmp_path / "made")
    script = tmp_path / "none.json"
    script.write_text("[]")
    words = ["eval", "rmm", "--data", str(tmp_path / "made"), "--rmm", "rule", "--probes", "0",
             "--vita-model", f"scripted:{script}", "--output-dir", str(tmp_path / "out")]  # fmt: skip
    again = [*words, "--resume"]
    held = tmp_path / "made" / "heldout.jsonl"
    rows = held.read_text("utf-8")

    def refused(says: str, words: list[str] = again) -> None:
        capsys.readouterr()
        assert run_app(words) == 2
        assert says in " ".join(capsys.readouterr().err.split())

    assert run_app(words) == 0
    held.write_text(rows.replace("perimeter", "circumference"), "utf-8")
    assert held.read_text("utf-8") != rows
    refused("contents was")
    refused("contents was", [*words, "--so-far"])
    held.write_text(rows.splitlines(keepends=True)[0], "utf-8")
    refused("cases had 1 more (")
    held.write_text(rows, "utf-8")
    with monkeypatch.context() as other:
        other.setenv("VITARMM_MAX_TOKENS", "64")
        refused("settings was")
    kept = (tmp_path / "out" / "report.json").read_bytes()
    assert run_app([*words, "--so-far"]) == 0
    assert (tmp_path / "out" / "report.json").read_bytes() == kept
    assert run_app(again) == 0


def test_so_far_without_the_folder_of_situations_says_to_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "writers").mkdir(parents=True)
    assert run_app(["eval", "rmm", "--so-far", "--output-dir", str(tmp_path / "out")]) == 2
    assert "--data" in capsys.readouterr().err


def test_an_adapter_of_other_content_is_another(tmp_path: Path) -> None:
    spec = f"local:base+{tmp_path}"
    (tmp_path / "adapter.gguf").write_bytes(b"one")
    before = adapter_hashes((spec, "rule", None, "local:base"))
    assert [*before] == [spec]
    assert adapter_hashes([spec]) == before
    (tmp_path / "adapter.gguf").write_bytes(b"two")
    assert adapter_hashes([spec]) != before


def test_what_is_measured_so_far_is_shown_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = simulation(tmp_path, writer=[nothing()] * 8, holdout=0.5, replay=False)
    simulate(made, tmp_path / "made")
    writer = tmp_path / "w.json"
    writer.write_text(json.dumps([r for _ in range(4) for r in ("no", nothing())]))
    words = ["eval", "rmm", "--data", str(tmp_path / "made"), "--rmm", f"scripted:{writer}", "--rmm", "rule",
             "--vita-model", f"scripted:{writer}", "--probes", "0", "--output-dir", str(tmp_path / "out")]  # fmt: skip
    assert run_app([*words, "--so-far"]) == 2
    assert "holds no measurement" in capsys.readouterr().err
    assert run_app(words) == 0
    ledger = tmp_path / "out" / "writers" / "decisions.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    ledger.write_text("".join(lines[:3]))  # the second situation has but one of its two writers
    writer.write_text("[]")  # a model that were asked would fail
    capsys.readouterr()
    assert run_app([*words, "--so-far", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["situations"] for one in report["writers"]] == [1, 1]
    assert report["stopped"] == "1 of 2 situations are left" and len(report["config"]["cases"]) == 1
    assert ledger.read_text() == "".join(lines[:3])
    ledger.write_text(lines[0])
    assert run_app([*words, "--so-far"]) == 2


def test_situations_can_be_made_on_the_spot(tmp_path: Path) -> None:
    made = simulation(tmp_path, writer=[])
    script = tmp_path / "all.json"
    replies: list[Any] = [
        *[{"match": "Solve the problem.", "content": RIGHT}] * 8,
        *[{"match": "You keep the memory", "content": nothing()}] * 8,
    ]
    script.write_text(json.dumps(replies))
    words = ["--rmm", f"scripted:{script}", "--vita_model", f"scripted:{script}", "--probes", "0",
             "--output_dir", str(tmp_path / "out"), "--gsm8k_path", made.sources[0].path]  # fmt: skip
    assert run_app(["eval", "rmm", *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["writers"][0]["situations"] == 2
