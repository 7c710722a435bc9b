"""``vitarmm learn``, on a real folder with a tiny embedder and a scripted memory writer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, nothing, operations, script
from vitarmm_agent.cli.app import run_app


def test_a_file_is_learned_from(
    tiny_embedder: Callable[[int], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("VITARMM_EMBEDDER", tiny_embedder(16))
    asked = {"role": "user", "content": QUESTION}
    rows = [
        {"messages": [asked, {"role": "assistant", "content": reply}], "verdict": verdict}
        for reply, verdict in ((WRONG, "fail"), (RIGHT, "pass"), (RIGHT, None))
    ]
    file = tmp_path / "runs.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "{broken\n")
    place = ("--memory", str(tmp_path / "memory"))
    rmm = script(tmp_path / "rmm.json", operations(LESSON), nothing())
    assert run_app(["learn", str(file), "--rmm", rmm, *place]) == 0
    shown = capsys.readouterr()
    assert "cannot be read: line 4 is not JSON" in shown.err
    assert "no verdict: line 3 (messages:" in shown.err
    assert "3 runs: 0 known, 0 with nothing to teach, 1 without a verdict; 1 rows" in shown.out
    assert shown.out.count("added m-") == 2 and "undo with: vitarmm memory undo" in shown.out
    assert run_app(["learn", str(file), "--json", *place]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["runs"], again["known"], again["nothing"]) == (3, 1, 1)
    for words in ((str(tmp_path / "none"),), (str(file), "--precision", "2"), (str(tmp_path),)):
        assert run_app(["learn", *words, *place]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
