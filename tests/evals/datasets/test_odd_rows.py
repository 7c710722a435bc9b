"""Whatever stands in a row, it is read, left out with a reason, or refused: nothing else is raised."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.datasets import load_benchmark

ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "q", "answer": "a\n#### 3"},
    "mathvista": {
        "pid": "1", "question": "q", "image": "x.png", "choices": ["a", "b"], "unit": None,
        "precision": None, "answer": "a", "question_type": "multi_choice", "answer_type": "text",
        "metadata": {"split": "testmini"}, "query": "Hint: h\nQuestion: q",
    },
    "mathv": {
        "id": "1", "question": "q", "options": ["a"], "answer": "A", "image": "x.png", "level": 1,
        "subject": "s",
    },
    "mmlu": {"question": "q", "choices": ["a", "b"], "answer": "B", "subject": "s"},
    "problems": {"text": "q", "reference": "1", "metadata": {}, "images": [], "answer_type": "text"},
}  # fmt: skip
SIBLING = {"group": "a", "text": "q", "reference": "1", "solution": ["It is 1."]}
ODD = st.one_of(
    st.sampled_from(
        ["", "\ud800", "\x00", "../x.png", "/dev/zero", "9" * 400, 10**400, float("inf"), "x.png",
         float("nan"), {"bytes": "x"}, {"path": "x.png"}, "data:image/png;base64,xx", [[]], 1.0]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
)  # fmt: skip
EXTRA = (
    "id",
    "split",
    "answer_index",
    "decoded_image",
    "image_sha256",
    "image",
    "query",
    "subject",
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_in_any_field(data: st.DataObject) -> None:
    name: Any = data.draw(st.sampled_from(sorted(ROWS)))
    row = dict(ROWS[name])
    for _ in range(data.draw(st.integers(1, 2))):
        row[data.draw(st.sampled_from(sorted({*row, *EXTRA})))] = data.draw(ODD)
    with tempfile.TemporaryDirectory() as folder:
        Image.new("L", (4, 4)).save(Path(folder) / "x.png")
        path = Path(folder) / "rows.jsonl"
        path.write_text(f"{json.dumps(row)}\n{json.dumps(ROWS[name])}\n")
        try:
            found = load_benchmark(name, path)
        except InputError:
            return
        assert len(found.problems) + len(found.skipped) == 2
        assert all(problem.reference for problem in found.problems)
        assert all(row.reason for row in found.skipped)


@pytest.mark.parametrize(
    ("name", "field"), [(n, f) for n, row in (*ROWS.items(), ("siblings", SIBLING)) for f in row]
)
def test_any_field_may_be_missing_in_the_first_row(name: Any, field: str, tmp_path: Path) -> None:
    """Its benchmark is known by a later row."""
    row = {**ROWS, "siblings": SIBLING}[name]
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    bare = {key: value for key, value in row.items() if key != field}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, (bare, row, row | {"text": "another q"}))))
    found = load_benchmark(name, path)
    assert found.problems and found.available + len(found.skipped) == 3
