from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import QUESTION, RIGHT, WRONG, script
from tests.viewer.conftest import PAYLOADS
from tests.viewer.test_escaping import Shape, trace_of
from vitarmm_agent import ReasoningAgent


def test_a_notebook_shows_the_run_in_short(tmp_path: Path) -> None:
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", WRONG, RIGHT), feedback="arithmetic", memory="off"
    )
    shown = agent.solve(QUESTION)._repr_html_()
    assert "<b>25</b> (abstained" in shown and "step 1: " in shown and "fail (arithmetic)" in shown
    assert len(shown) < 4_000


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_notebook_runs_nothing_that_was_written(payload: str) -> None:
    plain = Shape(trace_of("plain").result._repr_html_())
    shown = Shape(trace_of(payload).result._repr_html_())
    assert shown.kinds == plain.kinds and shown.links == set()
