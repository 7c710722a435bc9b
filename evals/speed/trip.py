"""Which files one problem enters: the shorter the trip, the sooner a reader finds where a thing stands.

Two problems are solved with a scripted model, Chroma on disk and checkpoints in SQLite. The second is
traced: a wrong attempt, a lesson, a right one, as a run goes once everything is loaded. Every call of
a Python function of the package counts, comprehensions and module bodies apart; a *change of file* is
a call in another file than the call before it.

Run: ``python -m vitarmm_agent.evals.speed.trip [--route NODE]``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from langchain_core.embeddings import DeterministicFakeEmbedding

from vitarmm_agent import ReasoningAgent
from vitarmm_agent.memory_store import ChromaStore, ReasoningMemory
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.models.scripted import ScriptedChatModel

PACKAGE = Path(__file__).resolve().parents[2]
NODES = ("recall", "reason", "feedback", "remember")
WRONG = "1. The side is 20 / 4 = 6 cm.\n2. The area is 6 * 6 = 36.\nAnswer: 36"
RIGHT = "1. The side is 20 / 4 = 5 cm.\n2. The area is 5 * 5 = 25.\nAnswer: 25"
QUESTIONS = (
    "A square has a perimeter of 20 cm. What is its area in square centimeters?",
    "A square garden has a perimeter of 20 m. What is its area in square meters?",
)
TITLES = ("Divide before squaring", "Check the side first")


@dataclass
class Trip:
    """The files that were entered, in order, by node; ``""`` is what lies between the nodes."""

    steps: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def files(self, *nodes: str) -> set[str]:
        """The files that these nodes entered; of all, when none is named."""
        return {file for node in nodes or self.steps for file, _ in self.steps.get(node, [])}

    def changes(self, *nodes: str) -> int:
        """How often these nodes went from one file to another; of all, when none is named."""
        total = 0
        for node in nodes or self.steps:
            files = [file for file, _ in self.steps.get(node, [])]
            total += sum(one != other for one, other in zip(files, files[1:], strict=False))
        return total


@contextmanager
def traced() -> Iterator[Trip]:
    """Note every call of a function of the package, in whichever thread, until the block ends."""
    trip, names = Trip(), dict[CodeType, str]()
    node = ""

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal node
        code = frame.f_code
        if event != "call" or code.co_name.startswith("<"):
            return
        file = names.get(code)
        if file is None:
            file = names[code] = _file(code)
        if not file:
            return
        if file == "graphs/reasoning.py" and code.co_name in ("invoke", "ainvoke"):
            node = getattr(frame.f_locals.get("self"), "name", "")
            node = node if node in NODES else ""
        trip.steps.setdefault(node, []).append((file, code.co_qualname))

    threading.setprofile(note)  # of threads that begin meanwhile
    sys.setprofile(note)
    try:
        yield trip
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _file(code: CodeType) -> str:
    """The code's file within the package; empty for others and for this one."""
    path = Path(code.co_filename)
    if not path.is_absolute() or path == Path(__file__):
        return ""
    path = path.resolve()
    inside = path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / ".venv")
    return path.relative_to(PACKAGE).as_posix().removeprefix("vitarmm_agent/") if inside else ""


def two_attempts(folder: Path) -> Trip:
    """The trip of a problem that fails once, is solved then, and is kept as a lesson and an example."""
    embed = DeterministicFakeEmbedding(size=64)
    store = ChromaStore(folder, index={"embed": embed, "dims": 64, "fields": ["index_text"]})
    memory = ReasoningMemory(
        store, journal=Journal(folder / "journal.sqlite"), config=RecallConfig(floor=-1.0)
    )
    agent = ReasoningAgent.open(
        reasoner=ScriptedChatModel.of(*[WRONG, RIGHT] * len(QUESTIONS)),
        rmm=ScriptedChatModel.of(
            *({"structured": reply} for title in TITLES for reply in _lessons(title))
        ),
        feedback="arithmetic,reference",
        oracle=True,
        memory=memory,
        max_iterations=2,
        data_dir=folder / "data",
    )
    warm, question = ({"text": text, "reference": "25"} for text in QUESTIONS)
    agent.solve(warm)
    with traced() as trip:
        result = agent.solve(question)
    if [len(record["operations"]) for record in result.written] != [1, 2]:
        raise SystemExit(f"the problem took another way than it should: {result!r:.2000}")
    memory.close()
    return trip


def _lessons(title: str) -> tuple[dict[str, Any], dict[str, Any]]:
    def adds(title: str, content: str) -> dict[str, Any]:
        when = f"{title}: a square's perimeter is known"
        fields = {"title": title, "applies_when": when, "content": content}
        how = {"kind": "add", "entry_type": "insight", "confidence": 0.6}
        return {"operations": [how | fields]}

    return (
        adds(title, f"{title}; a side is a fourth of the perimeter, and it is squared afterwards."),
        adds(f"{title}, again", f"{title}: multiply the side by itself only after the division."),
    )


def main(arguments: list[str]) -> None:
    """Print the table, and the route of one node when asked."""
    with tempfile.TemporaryDirectory() as folder:
        trip = two_attempts(Path(folder))
    print("| part | files | changes of file | calls |\n|---|---|---|---|")
    for node in (*NODES, ""):
        calls = len(trip.steps.get(node, []))
        print(f"| {node or 'between'} | {len(trip.files(node))} | {trip.changes(node)} | {calls} |")
    calls = sum(map(len, trip.steps.values()))
    print(f"| all | {len(trip.files())} | {trip.changes()} | {calls} |")
    if arguments[:1] == ["--route"]:
        for (file, name), times in _route(trip.steps[arguments[1]]):
            print(f"{file}:{name}" + (f" ×{times}" if times > 1 else ""))
    if arguments == ["--files"]:
        entered = Counter(file for steps in trip.steps.values() for file, _ in steps)
        print(json.dumps(dict(entered.most_common()), indent=1))


def _route(steps: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], int]]:
    """Steps with the repeated ones that follow one another folded."""
    last: tuple[str, str] | None = None
    times = 0
    for step in steps:
        if step == last:
            times += 1
            continue
        if last is not None:
            yield last, times
        last, times = step, 1
    if last is not None:
        yield last, times


if __name__ == "__main__":
    main(sys.argv[1:])
