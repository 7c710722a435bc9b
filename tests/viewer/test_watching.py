"""A run that is watched while it goes on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, operations
from tests.viewer.conftest import script
from vitarmm_agent import ReasoningAgent, Settings
from vitarmm_agent.viewer.live import LiveRuns, as_server_sent


def opener(agent: ReasoningAgent) -> Callable[[], Awaitable[ReasoningAgent]]:
    """What opens an agent that is open already."""

    async def opened() -> ReasoningAgent:
        return agent

    return opened


async def test_several_pages_watch_one_run(settings: Settings) -> None:
    live = LiveRuns()
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=settings, memory="off")

    live.start("watched", opener(agent), {"problem": {"text": QUESTION}})

    async def watch() -> list[str]:
        return [line.decode() async for line in as_server_sent(live.watch("watched"))]

    one, other = await asyncio.gather(watch(), watch())
    for lines in (one, other):
        told = "".join(lines)
        nodes = [json.loads(d)["nodes"] for d in re.findall(r"event: node\ndata: (.*)", told)]
        assert [n[0] for n in nodes if n][:4] == ["recall", "reason", "feedback", "remember"]
        tokens = re.findall(r"event: token\ndata: (.*)", told)
        assert "".join(json.loads(t)["text"] for t in tokens) == WRONG + RIGHT
        assert told.rstrip().endswith('data: {"phase": "done", "error": ""}')
    late = [event async for event in live.watch("watched")]
    assert late == [("end", {})]


async def test_a_run_that_ends_while_it_is_read_is_not_shown_as_left(settings: Settings) -> None:
    live = LiveRuns()
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=settings, memory="off")

    live.start("quick", opener(agent), {"problem": {"text": QUESTION}})
    before = live.live("quick")
    assert [event async for event in live.watch("quick")][-1][0] == "end"
    after = live.live("quick")
    assert before is not None and before.going and after is not None and not after.going


async def test_models_are_heard_in_every_node(settings: Settings, tmp_path: Path) -> None:
    """The judge, the memory writer and the teacher too; and what each node does is told."""
    wrong = {"step": 1, "check": "5", "verdict": "wrong", "mistake": "It is 5."}
    judged = json.dumps({"steps": [wrong], "verdict": "wrong"})
    taught = operations(LESSON)
    lost = "1. The side is six.\n2. So it is 36.\nAnswer: 36"
    options = {
        "reasoner": script(tmp_path / "lost.json", {"content": lost, "delay": 1.5}),
        "judge": script(tmp_path / "judge.json", judged),
        "rmm": script(tmp_path / "writer.json", taught),
        "teacher": script(tmp_path / "teacher.json", RIGHT),
        "feedback": "judge",
        "judge_fail_precision": 0.9,
        "max_iterations": 1,
    }
    own = Settings.load(**settings.model_dump(exclude_unset=True) | options)
    agent = await asyncio.to_thread(ReasoningAgent.open, settings=own)
    live, heard, doing = LiveRuns(), dict[str, str](), list[str]()
    seen = list[tuple[str, ...]]()

    live.start("heard", opener(agent), {"problem": {"text": QUESTION}})
    node = ""
    async for kind, data in live.watch("heard"):
        if kind == "refresh":
            kept = await agent.graph.aget_state({"configurable": {"thread_id": "heard"}})
            seen.append(kept.next)
        if kind == "node":
            node = (*data["nodes"], "")[0]
            doing.append(data["doing"])
        elif kind == "token":
            heard[node] = heard.get(node, "") + data["text"]
    assert heard == {"reason": lost, "feedback": judged, "remember": taught, "teach": RIGHT}
    assert doing[0] == "loading the models" and "asking the teacher" in doing
    assert ("reason",) in seen, "while it writes, what came before can be read"
