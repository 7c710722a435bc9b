from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vitarmm_agent.private import write_text
from vitarmm_agent.training.labels import combined, label_of, preferences
from vitarmm_agent.training.rows import ChatMessage, DecisionRow, write_rows


def row(number: int = 0, prompt: str = "Decide.", **fields: Any) -> DecisionRow:
    own, similar = fields.pop("effects", ("untried", "untried"))
    operations = [{"kind": fields.pop("kind", "add"), "content": str(number)}]
    return DecisionRow(
        prompt=(ChatMessage(role="user", content=prompt),),
        completion=(ChatMessage(role="assistant", content=json.dumps({"operations": operations})),),
        benchmark="gsm8k",
        problem_id="p",
        attempt=1,
        situation="success",
        verdict_before="pass",
        label=label_of(own, similar),
        effect_own=own,
        effect_similar=similar,
        key=f"gsm8k/p/1/{number}",
        **fields,
    )


@pytest.mark.parametrize(
    ("own", "similar", "label"),
    [
        ("fixes", "nothing", "chosen"),
        ("nothing", "fixes", "chosen"),
        ("fixes", "untried", "chosen"),
        ("fixes", "breaks", "rejected"),
        ("breaks", "fixes", "rejected"),
        ("nothing", "nothing", "rejected"),
        ("untried", "untried", "unlabelled"),
    ],
)
def test_chosen_fixes_and_breaks_nothing(own: Any, similar: Any, label: str) -> None:
    assert label_of(own, similar) == label


def test_effects_of_several_entries() -> None:
    assert combined(["nothing", "fixes"]) == "fixes"
    assert combined(["fixes", "breaks", "nothing"]) == "breaks"
    assert combined([]) == "untried"


def test_pairs_are_of_one_prompt_and_the_better_comes_first() -> None:
    rows = [
        row(0, effects=("fixes", "nothing")),
        row(1, effects=("nothing", "nothing")),
        row(2, effects=("breaks", "nothing")),
        row(3, kind="none"),
        row(4),  # it keeps something, but the model declined the trials
        row(5, prompt="Another.", effects=("nothing", "nothing")),
    ]
    keys = {pair.key.replace("gsm8k/p/1/", "") for pair in preferences(rows)}
    assert keys == {"0>1", "0>2", "3>2"}


def test_a_folder_of_rows_is_loaded_by_datasets(tmp_path: Path) -> None:
    from datasets import load_dataset

    rows = [row(0, effects=("fixes", "nothing")), row(1, effects=("nothing", "nothing"))]
    write_rows(tmp_path, rows, preferences(rows))
    combined = json.loads((tmp_path / "combined_data.json").read_text())
    assert [DecisionRow.model_validate(one) for one in combined] == rows
    folder, cache = str(tmp_path / "dataset"), str(tmp_path / "cache")
    decisions = load_dataset(folder, "decisions", split="train", cache_dir=cache)
    assert decisions[0]["prompt"] == [{"role": "user", "content": "Decide."}]
    assert decisions["label"] == ["chosen", "rejected"]
    pairs = load_dataset(folder, "preferences", split="train", cache_dir=cache)
    assert pairs[0]["chosen"] == [message.model_dump() for message in rows[0].completion]


def test_without_pairs_the_decisions_are_still_loaded(tmp_path: Path) -> None:
    from datasets import load_dataset

    write_rows(tmp_path, [row()], [])
    found = load_dataset(str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "c"))
    assert len(found) == 1


def test_a_file_is_never_half_written(tmp_path: Path) -> None:
    target = tmp_path / "rows.json"
    write_text(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(target, "new \ud800")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
