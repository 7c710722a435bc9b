"""The scripted model that ships with the package."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

from vitarmm_agent.errors import InputError, ModelServerError, RefusalError, UserError
from vitarmm_agent.models import ScriptedChatModel, ScriptExhaustedError, load_chat_model


def test_replies_come_in_order_and_calls_are_recorded(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_text(json.dumps(["first", {"content": "second"}]))
    model = load_chat_model(f"scripted:{file}")
    assert isinstance(model, ScriptedChatModel)
    assert [model.invoke("a").text, model.invoke("b", stop=["x"]).text] == ["first", "second"]
    assert [call.messages[0].text for call in model.calls] == ["a", "b"]
    assert model.calls[1].options["stop"] == ["x"]
    assert model.model == "scripted:script.json"


def test_an_empty_script_raises_with_the_prompt() -> None:
    model = ScriptedChatModel.of("only")
    model.invoke("a")
    with pytest.raises(
        ScriptExhaustedError, match=r"no reply left for call 2 \(1 in its script\).*'b'"
    ):
        model.invoke("b")
    assert issubclass(ScriptExhaustedError, UserError)


def test_a_match_picks_the_prompt_wherever_it_stands() -> None:
    model = ScriptedChatModel.of("plain", {"content": "judged", "match": "Judge"}, "last")
    judge = [SystemMessage("Judge this"), HumanMessage("2 + 2 = 4")]
    assert model.invoke(judge).text == "judged"
    assert [model.invoke("x").text, model.invoke("Judge again").text] == ["plain", "last"]
    assert model.left == 0


def test_errors_are_those_of_real_models() -> None:
    model = ScriptedChatModel.of({"error": "refuse", "content": "no"}, {"error": "die"}, "after")
    with pytest.raises(RefusalError, match="no"):
        model.invoke("a")
    with pytest.raises(ModelServerError, match="can be resumed"):
        model.invoke("a")
    assert model.invoke("a").text == "after"


def test_streaming_is_word_by_word_with_usage() -> None:
    chunks = list(ScriptedChatModel.of("two  words\nhere ").stream("one two three"))
    assert [chunk.text for chunk in chunks] == ["two", "  words", "\nhere", " ", ""]
    assert chunks[-1].usage_metadata == {
        "input_tokens": 3, "output_tokens": 4, "total_tokens": 7,
    }  # fmt: skip


def test_tool_calls_and_bound_tools() -> None:
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    script = {"content": "", "tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}, "id": "t"}]}
    model = ScriptedChatModel.of(script)
    reply = model.bind_tools([add]).invoke("1 + 2")
    assert [(c["name"], c["args"], c["id"]) for c in reply.tool_calls] == [
        ("add", {"a": 1, "b": 2}, "t")
    ]
    assert model.calls[0].options["tools"][0]["function"]["name"] == "add"


async def test_waiting_for_a_reply_blocks_nobody() -> None:
    model = ScriptedChatModel.of(*[{"content": "x", "delay": 0.2}] * 10)
    start, before = time.perf_counter(), threading.active_count()
    await asyncio.gather(*(model.ainvoke("a") for _ in range(10)))
    assert time.perf_counter() - start < 1
    assert threading.active_count() == before


def test_threads_never_share_a_reply() -> None:
    model = ScriptedChatModel.of(*[str(n) for n in range(200)])
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda n: model.invoke(str(n)).text, range(200)))
    assert sorted(map(int, said)) == list(range(200))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("no json", "is not JSON"),
        ('{"content": "x"}', "must be a JSON list"),
        ('[{"contents": "x"}]', "reply 1 of a script cannot be used: contents"),
        ('["x", {"error": "explode"}]', "reply 2 of a script cannot be used: error"),
    ],
)
def test_a_wrong_script_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "script.json"
    file.write_text(content)
    with pytest.raises(InputError, match=complaint):
        ScriptedChatModel.read(file)


def test_a_missing_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_chat_model(f"scripted:{tmp_path / 'none.json'}")
