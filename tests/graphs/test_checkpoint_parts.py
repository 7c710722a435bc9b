"""What the checkpoints of a thread have in common is kept once, and read back to the byte."""

from __future__ import annotations

import base64
import io
import random
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from PIL import Image

from tests.scripts import QUESTION, WRONG
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoints import SqliteCheckpoints, open_checkpoints, read_checkpoints
from vitarmm_agent.graphs.serializers import cut
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.verifiers import FeedbackPolicy, Function


def config(thread: str, **more: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **more}}


def put(saver: SqliteCheckpoints, thread: str, value: Any, **metadata: Any) -> str:
    checkpoint = empty_checkpoint() | {"channel_values": {"x": value}}
    saved = saver.put(config(thread), checkpoint, metadata, {})  # type: ignore[arg-type]
    return str(saved["configurable"]["checkpoint_id"])


def value(saver: SqliteCheckpoints, thread: str, checkpoint_id: str) -> Any:
    found = saver.get_tuple(config(thread, checkpoint_id=checkpoint_id))
    assert isinstance(found, CheckpointTuple)
    return found.checkpoint["channel_values"]["x"]


def size(saver: SqliteCheckpoints, path: Path) -> int:
    saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def png(seed: int = 0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (590, 590, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def some_value(chance: random.Random, depth: int = 0) -> Any:
    """Texts with signs that look like MessagePack's, bytes, numbers and records, nested."""
    kinds = ["text", "bytes", "number", "record", "list"] if depth < 3 else ["text", "bytes"]
    match chance.choice(kinds):
        case "text":
            letters = "abc ÚÅÛÆ۝ 漢字\u06dd"
            return "".join(chance.choices(letters, k=chance.choice([3, 300, 3_000, 70_000])))
        case "bytes":
            return chance.randbytes(chance.choice([0, 10, 1_024, 5_000]))
        case "number":
            return chance.choice([0, -1, 2**40, 1.5, None, True])
        case "record":
            return {"number": chance.randint(1, 9), "v": some_value(chance, depth + 1)}
    return [some_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    saver, chance = open_checkpoints(tmp_path / "t.sqlite"), random.Random(3)
    values = [some_value(chance) for _ in range(60)]
    written = [put(saver, f"t{n % 7}", v) for n, v in enumerate(values)]
    assert [value(saver, f"t{n % 7}", i) for n, i in enumerate(written)] == values
    for data in (chance.randbytes(20_000), b"\xda\xff\xff", b"\xdb" * 900, b"\xa6number" * 300):
        assert b"".join(cut(data)) == data


def test_a_chat_with_an_image_stays_small(tmp_path: Path) -> None:
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*["1. 5 * 5 = 25\nAnswer: 25"] * 4), memory="off", data_dir=tmp_path
    )  # fmt: skip
    url, saver = png(), agent.graph.checkpointer
    assert len(url) > 1_300_000 and isinstance(saver, SqliteCheckpoints)
    image = {"type": "image_url", "image_url": {"url": url}}
    for turn in range(4):
        said = [{"type": "text", "text": f"{QUESTION} ({turn})"}, image]
        inputs = {"messages": [HumanMessage(said)]}  # type: ignore[list-item]
        agent.graph.invoke(inputs, agent._config("chat"), durability="sync")
    full = size(saver, tmp_path / "traces.sqlite")
    assert full < 2_000_000  # one image, and 150,000 bytes for each turn
    state = agent.graph.get_state(agent._config("chat")).values
    assert [m.content[1]["image_url"]["url"] == url for m in state["messages"][::2]] == [True] * 4
    saver.delete_thread("chat")
    assert saver.shrink() and size(saver, tmp_path / "traces.sqlite") < 100_000


def test_checkpoints_do_not_grow_with_the_square_of_iterations(tmp_path: Path) -> None:
    grown = []
    for count in (4, 16):
        home = tmp_path / str(count)
        agent = ReasoningAgent.open(
            reasoner=ScriptedChatModel.of(*[f"{WRONG} {n}" for n in range(count)]),
            feedback=FeedbackPolicy((Function(lambda problem, attempt: False),)),
            memory="off", data_dir=home, max_iterations=count,
        )  # fmt: skip
        agent.solve(QUESTION * 10, thread_id="t")
        saver = agent.graph.checkpointer
        assert isinstance(saver, SqliteCheckpoints)
        grown.append(size(saver, home / "traces.sqlite"))
    assert grown[1] < 8 * grown[0]


def test_parts_of_one_thread_outlive_another(tmp_path: Path) -> None:
    saver = open_checkpoints(tmp_path / "t.sqlite")
    text = "a long text " * 2_000
    first, second = put(saver, "a", text), put(saver, "b", text)
    saver.delete_thread("a")
    assert saver.get_tuple(config("a")) is None and value(saver, "b", second) == text
    assert first != second
    assert saver.conn.execute("SELECT DISTINCT thread_id FROM parts").fetchall() == [("b",)]


def test_pruning_keeps_the_last_checkpoint_and_its_parts(tmp_path: Path) -> None:
    saver = open_checkpoints(tmp_path / "t.sqlite")
    old, new = ("old words " * 500, "new words " * 500)
    put(saver, "a", [old])
    last = put(saver, "a", [new])
    other = put(saver, "b", [old])
    saver.prune(["a"])
    assert len([*saver.list(config("a"))]) == 1 and value(saver, "a", last) == [new]
    kept = saver.conn.execute("SELECT data FROM parts WHERE thread_id = 'a'").fetchall()
    assert not any(b"old words" in data for (data,) in kept)
    assert value(saver, "b", other) == [old]
    saver.prune(["b"], strategy="delete")
    assert saver.get_tuple(config("b")) is None
    with pytest.raises(InputError, match="keep_latest"):
        saver.prune(["a"], strategy="newest")


def test_a_thread_is_copied_with_its_writes_and_stands_alone(tmp_path: Path) -> None:
    saver = open_checkpoints(tmp_path / "t.sqlite")
    text = "words " * 1_000
    for number in range(3):
        last = put(saver, "a", [text, number])
        saver.put_writes(config("a", checkpoint_id=last), [("y", text)], "task")
    saver.copy_thread("a", "b")
    saver.delete_thread("a")
    copied = [*saver.list(config("b"))]
    assert [c.checkpoint["channel_values"]["x"][1] for c in copied] == [2, 1, 0]
    assert [c.pending_writes for c in copied] == [[("task", "y", text)]] * 3


def test_checkpoints_of_a_run_are_deleted_by_its_name(tmp_path: Path) -> None:
    saver = open_checkpoints(tmp_path / "t.sqlite")
    put(saver, "a", "words " * 1_000, run_id="one")
    kept = put(saver, "a", "other " * 1_000, run_id="two")
    saver.delete_for_runs(["one", "none"])
    assert [c.config["configurable"]["checkpoint_id"] for c in saver.list(config("a"))] == [kept]


@pytest.mark.parametrize(
    "harm", ["DELETE FROM parts", "DROP TABLE parts", "UPDATE parts SET data = 5"]
)
def test_a_file_whose_parts_are_gone_is_damaged(tmp_path: Path, harm: str) -> None:
    saver = open_checkpoints(tmp_path / "t.sqlite")
    put(saver, "a", "words " * 1_000)
    saver.close()
    with sqlite3.connect(tmp_path / "t.sqlite") as db:
        db.execute(harm)
    db.close()
    with pytest.raises(InputError, match="damaged"):
        read_checkpoints(tmp_path / "t.sqlite").get_tuple(config("a"))
