"""The documented script, from simulated rows to a solved problem, with a tiny random base."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.models.conftest import make_model
from tests.scripts import LESSON, RIGHT, WRONG, operations, script
from tests.training.test_simulate import BAD, GARDEN, HELPED, YARD, rows_file

SCRIPT = ROOT / "docs" / "examples" / "train_rmm.sh"
JUDGED = {"steps": [{"step": 1, "check": "5", "verdict": "right"}], "verdict": "right"}
REPLIES = [
    *[HELPED] * 30,
    *[{"match": "Judge every step", "structured": JUDGED}] * 10,
    *[{"match": "What is its area", "content": WRONG}] * 30,
    *[RIGHT] * 10,
]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_simulate_train_measure_solve(tmp_path: Path, weights: Callable[[str], Path]) -> None:
    weights("all-minilm-l6-v2")
    tiny = make_model(tmp_path / "tiny", max_position_embeddings=8192)
    rows = rows_file(tmp_path, GARDEN, *(f"{YARD} It is yard {n}." for n in "abc"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VITARMM_MAX_TOKENS": "900",
        "MODEL": str(tiny),
        "REASONER": script(tmp_path / "reasoner.json", *REPLIES),
        "TEACHER": script(tmp_path / "teacher.json", *[operations(LESSON), operations(BAD)] * 6),
        "SAMPLES": "4",
        "HOLDOUT": "0.25",
        "CANDIDATES": "2",
        "SIBLINGS": "0",
        "WORKERS": "2",
        "ORACLE": "1",
        "LABELS": "chosen rejected",
        "TRAIN_OPTIONS": "--max_length 6000 --max_steps 2 --gradient_accumulation_steps 1",
    }
    command = ["bash", str(SCRIPT), str(rows), "out"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1100
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    out = tmp_path / "out"
    assert json.loads((out / "data" / "combined_data.json").read_text())
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    report = json.loads((out / "measured" / "report.json").read_text())
    base, rule, adapted = report["writers"]
    assert rule["writer"] == "rule" and rule["crashes"] == 0
    assert base["writer"] == f"local:{tiny}" and adapted["writer"].endswith("+out/adapter")
    assert base["situations"] == adapted["situations"] > 0
    assert base["crashes"] == adapted["crashes"] == 0
