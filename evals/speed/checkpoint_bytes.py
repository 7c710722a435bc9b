"""What runs take on the disk: ``python -m vitarmm_agent.evals.speed.checkpoint_bytes``.

The same runs, of a scripted model, are kept by LangGraph's own saver for SQLite and by ours, which keeps
once what the checkpoints of a thread have in common: runs of 1, 4 and 16 iterations, and a chat in which
each turn's message brings a new image, or the same.
"""

from __future__ import annotations

import base64
import io
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver

from vitarmm_agent.agent import ReasoningAgent
from vitarmm_agent.evals.speed.measure import Row, print_table
from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.graphs.serializers import PlainDataSerializer
from vitarmm_agent.models.scripted import ScriptedChatModel
from vitarmm_agent.verifiers import FeedbackPolicy, Function

QUESTION = "A square has a perimeter of 20 cm. What is its area? " * 10
REPLY = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
Kept = Callable[[Path], SqliteSaver]


def plain(path: Path) -> SqliteSaver:
    """LangGraph's own saver."""
    saver = SqliteSaver(sqlite3.connect(path, check_same_thread=False), serde=PlainDataSerializer())
    saver.setup()
    return saver


def agent(saver: SqliteSaver, replies: int, iterations: int, home: Path) -> ReasoningAgent:
    """An agent whose every attempt fails, so that it goes on."""
    return ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*[f"{REPLY} {n}" for n in range(replies)]),
        feedback=FeedbackPolicy((Function(lambda problem, attempt: False),)),
        memory="off", checkpointer=saver, max_iterations=iterations, data_dir=home,
    )  # fmt: skip


def run_bytes(kept: Kept, iterations: int) -> float:
    """Bytes of one run; of three, so that what a file takes anyway counts little."""
    with tempfile.TemporaryDirectory() as place:
        saver = kept(Path(place) / "traces.sqlite")
        solver = agent(saver, 3 * iterations, iterations, Path(place))
        empty = size(saver, Path(place))
        for number in range(3):
            solver.solve(f"{QUESTION} {number}", thread_id=f"t{number}")
        return (size(saver, Path(place)) - empty) / 3


def chat_bytes(kept: Kept, turns: int, *, same: bool) -> float:
    """Bytes of a chat on one thread, with an image of 1 MB in each message."""
    with tempfile.TemporaryDirectory() as place:
        saver = kept(Path(place) / "traces.sqlite")
        solver = agent(saver, turns, 1, Path(place))
        empty = size(saver, Path(place))
        for turn in range(turns):
            image = {"type": "image_url", "image_url": {"url": png(0 if same else turn)}}
            said: list[Any] = [{"type": "text", "text": f"{QUESTION} ({turn})"}, image]
            config: Any = solver._config("chat")
            solver.graph.invoke({"messages": [HumanMessage(said)]}, config, durability="sync")
        return size(saver, Path(place)) - empty


def size(saver: SqliteSaver, place: Path) -> int:
    """Bytes of the file, once SQLite's log is put away."""
    saver.conn.commit()
    saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (place / "traces.sqlite").stat().st_size


def png(seed: int) -> str:
    """An image of 1 MB, as a data URL."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (590, 590, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def rows() -> Iterator[Row]:
    """All comparisons."""
    for count in (1, 4, 16):
        ours, theirs = (run_bytes(kept, count) for kept in (open_checkpoints, plain))
        yield _row(f"a run of {count} iterations", ours, theirs)
        yield _row(f"an iteration, of {count}", ours / count, theirs / count)
    for turns, same in ((1, True), (3, True), (10, True), (3, False)):
        ours, theirs = (chat_bytes(k, turns, same=same) for k in (open_checkpoints, plain))
        which = "the same image" if same else "another image each"
        yield _row(f"a chat of {turns} turns, {which}", ours, theirs)


def _row(what: str, ours: float, theirs: float) -> Row:
    return Row(what, ours / 1000, theirs / 1000, "kB", "LangGraph's SqliteSaver")


if __name__ == "__main__":
    print_table("Bytes", list(rows()))
