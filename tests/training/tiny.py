"""Rows and settings small enough to train on in a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vitarmm_agent.training.config import TrainingConfig

SYSTEM = "You keep the memory of a problem solver."
Row = dict[str, Any]


def decision(number: int, *, problem: int | None = None, lesson: str = "", **more: Any) -> Row:
    """A decision row; the prompt's length depends on its number."""
    user = f"Problem {number}: what is {number} plus one?" + " It is late." * (number % 3)
    operation = {"kind": "add", "content": lesson or f"Add, then check ({number % 4})."}
    return {
        "prompt": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": user},
        ],
        "completion": [{"role": "assistant", "content": json.dumps({"operations": [operation]})}],
        "benchmark": "gsm8k",
        "problem_id": f"gsm8k-{number if problem is None else problem}",
        "attempt": 1,
        "situation": "failure",
        "verdict_before": "fail",
        "label": "chosen",
        "key": f"gsm8k/{number}/1/0",
    } | more


def preference(number: int) -> Row:
    """A pair on one prompt."""
    row = decision(number)
    return {
        "prompt": row["prompt"],
        "chosen": row["completion"],
        "rejected": [{"role": "assistant", "content": "I do not know."}],
        "benchmark": "gsm8k",
        "problem_id": row["problem_id"],
        "key": f"{row['key']}>other",
    }


def write_lines(path: Path, rows: Sequence[Row | str]) -> Path:
    """A JSONL file; strings are written as they are."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path


def settings_for(base: Path, data: Path) -> Callable[..., TrainingConfig]:
    """``settings(output_dir, **changes)``: quick, exact, without evaluation."""

    def settings(output_dir: Path, **changes: Any) -> TrainingConfig:
        values: Row = {
            "model_name": str(base),
            "data_path": data,
            "output_dir": output_dir,
            "dtype": "float32",
            "save_dtype": "float32",
            "train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-2,
            "max_length": 512,
            "lora_r": 4,
            "num_epochs": 1,
            "eval_fraction": 0,
        }
        return TrainingConfig.parse(**values | changes)

    return settings
