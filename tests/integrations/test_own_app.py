"""An app of one's own on a LangGraph server: only the installed package, and assistants."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("langgraph_api", reason="needs the extra `server`")

from tests.integrations.conftest import PROBLEM, RIGHT, WRONG
from tests.integrations.test_server import ROOT, DevServer, problem
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import read_trace


async def test_assistants_choose_from_the_operator_s_lists(tmp_path: Path) -> None:
    server = DevServer(tmp_path / "app")
    for name in ("graphs", "langgraph.json"):
        (server.folder / name).unlink()
    shutil.copy(ROOT / "docs" / "examples" / "langgraph.json", server.folder)
    other = server.folder / "other.json"
    other.write_text(json.dumps([RIGHT] * 3))
    client = server.start([WRONG] * 9, VITARMM_RUN_MODELS=json.dumps([f"scripted:{other}"]))
    try:
        thread = (await client.threads.create())["thread_id"]
        better = await client.assistants.create(
            "reasoning", context={"reasoner": f"scripted:{other}", "max_iterations": 1}
        )
        final = await client.runs.wait(thread, better["assistant_id"], input=problem())
        assert (final["answer"], len(final["attempts"])) == ("25", 1), server.log[-3000:]
        plain = (await client.threads.create())["thread_id"]
        final = await client.runs.wait(plain, "reasoning", input=problem())
        assert final["answer"] == "20"
        refused = (await client.threads.create())["thread_id"]
        chosen = {"reasoner": "openai:gpt-5"}
        error = await client.runs.wait(
            refused, "reasoning", input=problem(), context=chosen, raise_error=False
        )
        assert "is not what a run may choose here" in str(error), error
        settings = Settings.load(data_dir=server.folder / "data")
        trace = read_trace(open_checkpoints(settings.checkpoints_path), thread)
        assert (trace.result.problem.text, trace.result.answer) == (PROBLEM, "25")
    finally:
        server.stop()
