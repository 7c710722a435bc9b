"""What holds for local models of each kind: a folder on transformers, a GGUF file on llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from vitarmm_agent.errors import InputError
from vitarmm_agent.models.chat import EventChatModel
from vitarmm_agent.models.folder import FolderChatModel
from vitarmm_agent.models.local import LocalChatModel

Load = Callable[..., FolderChatModel]


@pytest.fixture(params=["folder", "gguf"])
def model(
    request: pytest.FixtureRequest, tiny: Path, load: Load, gguf_model: LocalChatModel
) -> EventChatModel:
    return load(tiny) if request.param == "folder" else gguf_model


def test_one_bad_request_leaves_the_others_alone(model: EventChatModel) -> None:
    good = model.invoke("Hi").text
    bad = model.bind(json_schema={"type": "nonsense"})
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(m.invoke, "Hi") for m in (model, bad, model)]
    assert futures[0].result().text == futures[2].result().text == good
    with pytest.raises(InputError, match="cannot constrain decoding"):
        futures[1].result()


def test_langgraphs_message_stream_hears_the_tokens(model: EventChatModel) -> None:
    from langgraph.graph import END, START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("say", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    heard = list(graph.compile().stream({"messages": [HumanMessage("Hi")]}, stream_mode="messages"))
    assert "".join(chunk.text for chunk, _ in heard) == model.invoke("Hi").text
    assert len(heard) > 3
