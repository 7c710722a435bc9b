"""What a run or an assistant chooses by its context: the operator's lists, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from tests.scripts import LESSON, QUESTION, RIGHT, WRONG, nothing, operations, script
from vitarmm_agent import Settings
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs import build_reasoning_graph
from vitarmm_agent.models.scripted import ScriptedChatModel

ASKED: Any = {"messages": [("user", QUESTION)]}
JUDGED = json.dumps({
    "steps": [{"step": n, "check": "so it is", "verdict": "right"} for n in (1, 2)],
    "verdict": "right",
})  # fmt: skip


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


class Server:
    """A graph whose operator lists a second model, two verifiers and a second memory."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.other = script(folder / "other.json", RIGHT, JUDGED, RIGHT, JUDGED)
        self.memory = str(folder / "other-memory")
        settings = Settings.load(
            reasoner=script(folder / "own.json", *[WRONG] * 9),
            data_dir=folder,
            run_models=(self.other,),
            run_verifiers=("arithmetic", "choice", "judge"),
            run_memories=(self.memory, "off"),
        )
        given = {"memory": "off", "limits_are_most": True} | given
        self.graph: Any = build_reasoning_graph(
            settings=settings, checkpointer=InMemorySaver(), **given
        )

    async def ask(self, name: str, *, on_loop: bool = True, **context: Any) -> Any:
        if on_loop:
            return await self.graph.ainvoke(ASKED, thread(name), context=context)
        return await asyncio.to_thread(self.graph.invoke, ASKED, thread(name), context=context)


@pytest.mark.parametrize("on_loop", [True, False])
async def test_an_assistant_chooses_models_verifiers_and_limits(
    tmp_path: Path, on_loop: bool
) -> None:
    server = Server(tmp_path)
    state = await server.ask("plain", on_loop=on_loop, max_iterations=1)
    assert (state["answer"], state["status"]) == ("36", "failed")
    chosen = {"reasoner": server.other, "judge": server.other, "feedback": "choice, judge"}
    state = await server.ask("chosen", on_loop=on_loop, **chosen)
    assert state["answer"] == "25"
    assert [part["source"] for part in state["feedback"][0]["parts"]] == ["choice", "judge"]
    state = await server.ask("plain again", on_loop=on_loop, max_iterations=1)
    assert state["answer"] == "36"


@pytest.mark.weights
async def test_a_run_chooses_its_memory(tmp_path: Path, weights: Any) -> None:
    weights("all-minilm-l6-v2")
    writer = ScriptedChatModel.of(operations(LESSON), nothing(), operations(LESSON))
    server = Server(
        tmp_path,
        memory=str(tmp_path / "own"),
        rmm=writer,
        verifiers=[lambda problem, attempt: False],
    )
    await server.ask("one", memory=server.memory, max_iterations=1)
    state = await server.ask("two", memory=server.memory, max_iterations=1)
    assert [found["entry"]["title"] for found in state["recalls"][0]["entries"]] == [
        LESSON["title"]
    ]
    assert (await server.ask("three", max_iterations=1))["recalls"][0]["entries"] == []
    assert (await server.ask("four", memory="off"))["recalls"][0]["note"] == "memory is off"


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"reasoner": "openai:gpt-5"}, "reasoner 'openai:gpt-5' is not what a run may choose here; "
                                       "the operator's setting run_models lists scripted:"),
        ({"feedback": "arithmetic,human"}, "run_verifiers lists arithmetic, choice, judge"),
        ({"feedback": ""}, "feedback '' is not"),
        ({"memory": "/etc"}, "run_memories lists"),
        ({"teacher": "local:other"}, "teacher 'local:other' is not"),
        ({"reasoner": 7}, "must be texts by name"),
    ],
)  # fmt: skip
async def test_what_is_not_listed_is_refused(
    tmp_path: Path, context: dict[str, Any], message: str
) -> None:
    server = Server(tmp_path)
    with pytest.raises(InputError, match=message):
        await server.ask("one", **context)
    with pytest.raises(InputError, match=message):
        await server.ask("one", on_loop=False, **context)


async def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="base_url"):
        await Server(tmp_path).ask("one", base_url="http://127.0.0.1:1")


async def test_a_run_keeps_what_it_was_begun_with(tmp_path: Path) -> None:
    server = Server(tmp_path, verifiers="human")
    await server.ask("one")
    with pytest.raises(InputError, match=r"was begun with \{\}, and goes on with"):
        await server.graph.ainvoke(None, thread("one"), context={"reasoner": server.other})


@pytest.mark.parametrize("node", ["reason", "feedback", "remember"])
@pytest.mark.parametrize("written", [{"reasoner": "openai:gpt-5"}, {"base_url": "x"}, 7, [1]])
async def test_state_that_a_client_wrote_chooses_nothing(
    tmp_path: Path, node: str, written: Any
) -> None:
    server = Server(tmp_path)
    await server.ask("one", max_iterations=1)
    history = server.graph.get_state_history(thread("one"))
    place = next(snapshot for snapshot in history if snapshot.next == (node,))
    config = server.graph.update_state(place.config, {"chosen": written})
    with pytest.raises(InputError, match="may choose|cannot choose|texts by name"):
        await server.graph.ainvoke(None, config)
