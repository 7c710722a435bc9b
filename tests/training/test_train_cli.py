"""The command: its options, its errors, and a whole run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import make_model
from tests.training.tiny import decision, write_lines
from vitarmm_agent.cli.app import application, run_app
from vitarmm_agent.training.config import TrainingConfig

DEFAULTS = {
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "train_batch_size": 4,
    "eval_batch_size": 4,
    "num_epochs": 3,
    "gradient_accumulation_steps": 8,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    lines = [decision(n) for n in range(6)]
    return write_lines(tmp_path / "rows.jsonl", [*lines, "broken"])


def test_options_are_the_settings_with_their_defaults() -> None:
    command: Any = application().commands["train"]
    options = {option.name: option for option in command.params}
    assert options.keys() == TrainingConfig.model_fields.keys()
    for name, field in TrainingConfig.model_fields.items():
        assert options[name].help == field.description
        if not field.is_required() and name != "labels":
            assert options[name].default == field.default, name
    assert {name: options[name].default for name in DEFAULTS} == DEFAULTS
    sft = TrainingConfig(data_path=Path("a"), output_dir=Path("b"))
    assert sft.rate == 2e-4
    assert sft.model_copy(update={"stage": "dpo"}).rate == 2e-5


def test_a_run_from_the_command_line(
    base: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = ["train", "--model_name", str(base), "--data-path", str(rows), "--output_dir", str(out)]
    line += ["--train-batch-size", "2", "--gradient_accumulation_steps", "1", "--max-steps", "2"]
    assert run_app(line) == 0
    printed = capsys.readouterr()
    assert "left out: 1 broken (row 7)" in printed.out
    assert "5 to learn from, 1 kept for evaluation" in printed.out
    assert f'--rmm "local:{base}+{out}"' in printed.out
    assert "2/2" in printed.err
    assert run_app(line) == 2
    assert "is not empty; give a new one" in capsys.readouterr().err
    assert run_app([*line, "--resume"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lora_r", "0"], "lora_r: Input should be greater than or equal to 1, got 0"),
        (["--labels", "good"], "labels.0: Input should be 'chosen', 'rejected' or 'unlabelled'"),
        (["--stage", "dpo", "--packing"], "packing is for the sft stage"),
        (["--labels", "rejected"], "has no row to train on"),
        (["--model_name", "no-such-model"], "unknown weights 'no-such-model'"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    options: list[str],
    message: str,
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["train", "--data_path", str(rows), "--output_dir", str(tmp_path / "out")]
    assert run_app([*line, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [
        ("trl", [], "vitarmm-agent[train]"),
        ("bitsandbytes", ["--qlora"], "vitarmm-agent[quantized]"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(
    package: str,
    options: list[str],
    extra: str,
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    line = ["train", "--data_path", str(rows), "--output_dir", str(tmp_path / "out")]
    assert run_app([*line, *options]) == 2
    assert extra in capsys.readouterr().err
