"""Rows of each benchmark, and how a test puts them in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitarmm_agent.evals.datasets import Benchmark

CAKES = {"question": "Two cakes and 1,198 more?", "answer": "2 + 1198 = 1200\n#### 1,200"}
SUM = {"question": "What is 3 + 4?", "answer": "3 + 4 = 7\n#### 7"}
SHAPE = {
    "pid": "7",
    "question": "Which one?",
    "image": "images/7.jpg",
    "choices": ["red", "blue"],
    "unit": None,
    "precision": None,
    "answer": "blue",
    "question_type": "multi_choice",
    "answer_type": "text",
    "metadata": {"split": "testmini", "task": "figure question answering"},
}
COUNT = {
    "id": "12",
    "question": "How many?\n<image1>",
    "options": [],
    "answer": "6",
    "image": "images/7.jpg",
    "level": 2,
    "subject": "counting",
}
CAPITAL = {"question": "Capital of France?", "choices": ["Rome", "Paris"], "answer": 1}


def lines(path: Path, *rows: Any) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def reasons(benchmark: Benchmark) -> dict[int, str]:
    return {row.line: row.reason for row in benchmark.skipped}
