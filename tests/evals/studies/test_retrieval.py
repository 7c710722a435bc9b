"""The retrieval study: its rewriter, its templates, and a small run of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import read_rows
from tests.memory_store.conftest import DIMS, WordEmbeddings
from vitarmm_agent.errors import InputError
from vitarmm_agent.evals.studies.retrieval import (
    Query,
    compare,
    filled,
    lesson,
    operations,
    problems,
    study,
    table,
    templates,
)
from vitarmm_agent.evals.studies.rewriting import rewrite
from vitarmm_agent.memory_store.masking import general

CLIPS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)


def test_a_problem_told_again() -> None:
    again = rewrite(CLIPS, 7)
    assert again == rewrite(CLIPS, 7) != rewrite(CLIPS, 8)
    assert "Natalia" not in again and "clips" not in again and "48" not in again
    assert "April" in again and again.startswith(re.match(r"\w+", again).group())  # type: ignore[union-attr]
    name = again.split()[0]
    assert again.count(name) == 2  # the same name throughout
    assert len(again.split()) == len(CLIPS.split())


def test_a_problem_without_its_names_and_numbers() -> None:
    plain = general(CLIPS)
    assert not re.search(r"\d|Natalia", plain) and "half as many clips" in plain


def row(name: str, question: str, answer: str) -> dict[str, str]:
    return {"id": name, "question": question, "answer": answer}


def test_templates_share_operations_and_words() -> None:
    buys = "{} buys {} apples and {} pears at the shop. How many pieces of fruit are there?"
    rows = [
        row("a", buys.format("Ann", 3, 4), "<<3+4=7>>7"),
        row("b", buys.format("Bob", 9, 1), "<<9+1=10>>10"),
        row("c", buys.format("Cat", 9, 1), "<<9-1=8>>8"),
        row("d", "A train runs 5 km, then 6 km further on. How far is that?", "<<5+6=11>>11"),
    ]
    assert operations("x <<3+4=7>>7 then <<7*2=14>>14") == ("+", "*")
    families = [[one["id"] for one in family] for family in templates(rows)]
    assert families == [["a", "b"], ["c"], ["d"]]


def test_a_lesson_does_not_hold_the_answer() -> None:
    one = lesson(row("a", CLIPS, "half: <<48/2=24>>24\nall: <<48+24=72>>72\n#### 72"))
    assert not re.search(r"\d", one.title + one.applies_when + one.content)
    assert "divide, then add" in one.content


def test_a_small_run(shared: Path, tmp_path: Path) -> None:
    rows = list(read_rows(shared / "data" / "gsm8k_train.jsonl.gz"))[:400]
    entries, queries = study(templates(rows), 60, seed=0)
    queries["other word problems"] = queries["other word problems"][:30]
    queries["unrelated"] = [Query("Which treaty ended the war between two old kingdoms?", None)]
    memory = filled(tmp_path, WordEmbeddings(), DIMS, entries)
    outcomes = {(o.arm, o.kind): o for o in compare(memory, queries, floor=0.5)}
    memory.close()
    fused = outcomes["fused", "told again"]
    assert fused.n == 60 and fused.recall_at_3 is not None and fused.recall_at_3.estimate > 0.9
    assert outcomes["fused", "unrelated"].false_recall.estimate == 1  # type: ignore[union-attr]
    assert outcomes["fused + floor", "unrelated"].false_recall.estimate == 0  # type: ignore[union-attr]
    assert len(list(table(outcomes.values()))) == len(outcomes) + 2


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data"):
        problems(tmp_path / "none.jsonl.gz")
