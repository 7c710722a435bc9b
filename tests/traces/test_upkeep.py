"""Rounds of upkeep in servers: off unless a setting says otherwise, and bounded."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.errors import InputError
from vitarmm_agent.memory_store import MemoryEntry
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.traces import upkeep as module
from vitarmm_agent.traces.upkeep import Upkeep


@pytest.fixture
def agent(tmp_path: Path) -> ReasoningAgent:
    """With two runs, and a memory with one entry that has expired and one that has not."""
    agent = ReasoningAgent.open(
        reasoner=script(tmp_path / "r.json", RIGHT, RIGHT), max_iterations=1, data_dir=tmp_path
    )
    for thread in ("one", "two"):
        agent.solve(QUESTION, thread_id=thread)
    over = datetime.now(UTC) - timedelta(days=1)
    entries = [
        MemoryEntry(id="over", entry_type="fact", content="Ask again.", expires_at=over),
        MemoryEntry(id="stays", entry_type="fact", content="Divide by four."),
    ]
    assert agent.memory is not None
    agent.memory.change({e.id: e for e in entries}, kind="import", reason="")
    agent.memory.edit("stays", {"title": "squares"})
    return agent


def settings(folder: Path, **fields: object) -> Settings:
    return Settings.load(data_dir=folder, **fields)


def test_a_round_removes_what_the_settings_say(
    agent: ReasoningAgent, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    saver = agent.graph.checkpointer
    assert Upkeep(settings(tmp_path), saver).once() == (0, 1, 0)  # type: ignore[arg-type]
    time.sleep(0.01)
    done = Upkeep(settings(tmp_path, keep_runs="0min", keep_history="0min"), saver).once()  # type: ignore[arg-type]
    assert done.runs == 2 and done.changes > 0
    memory = open_memory(settings(tmp_path))
    assert memory is not None and [e.id for e in memory.list()] == ["stays"]
    assert "upkeep removed 2 runs" in caplog.text
    with pytest.raises(InputError):
        agent.result("one")


def test_it_goes_on_in_a_thread_and_is_off_by_default(
    agent: ReasoningAgent, tmp_path: Path
) -> None:
    saver = agent.graph.checkpointer
    with Upkeep(settings(tmp_path), saver):  # type: ignore[arg-type]
        assert "upkeep" not in {thread.name for thread in threading.enumerate()}
    often = settings(tmp_path, upkeep_hours=0.05 / 3600, keep_runs="0min")
    deadline = time.monotonic() + 30
    with Upkeep(often, saver):  # type: ignore[arg-type]
        while module.prunable(saver, keep_last=1) and time.monotonic() < deadline:  # type: ignore[arg-type]
            time.sleep(0.05)
    assert not module.prunable(saver, keep_last=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="keep_runs.*30d"):
        settings(tmp_path, keep_runs="soon")
