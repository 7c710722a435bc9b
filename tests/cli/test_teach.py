"""``vitarmm teach``: what it says it did."""

from __future__ import annotations

import pytest

from tests.scripts import QUESTION, RIGHT
from vitarmm_agent.cli.app import run_app


def test_a_solution_that_takes_the_place_of_another_is_added(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = []
    for solution in (RIGHT, f"0. Draw a square.\n{RIGHT}", f"0. Draw a square.\n{RIGHT}"):
        assert run_app(["teach", "--problem", QUESTION, "--solution", solution]) == 0
        shown.append(capsys.readouterr().out)
    first, second, third = shown
    assert second.startswith("added m-") and f"supersedes {first.split()[1]}" in second
    assert "memory undo" in first and "memory undo" in second
    assert third.startswith("skipped m-") and "memory undo" not in third


def test_a_problem_in_place_of_a_run_is_told_how_it_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_app(["teach", QUESTION * 5, "--solution", RIGHT]) == 2
    said = capsys.readouterr().err
    assert "--problem TEXT" in said and QUESTION * 5 not in said
