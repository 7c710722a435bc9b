"""A process that is killed at any moment: nothing acknowledged is lost or doubled, and its runs go on.

``python -m tests.reliability.test_kills 600`` makes so many trials and prints what came of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.memory_store.helpers import add
from tests.reliability.helpers import (
    NAMESPACE,
    close,
    in_child,
    open_agent,
    question,
    run_script,
    warm,
    wilson,
    word,
)
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.agreement import compare

RUNS, LESSONS = 2, 20

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def lesson(number: int) -> MemoryEntry:
    text = f"{word(number)}x {word(number)}y {word(number)}z"
    return MemoryEntry(
        id=f"e{number}", entry_type="fact", applies_when=text, content=f"All {text}."
    )


def die_before(nth: int, memory: ReasoningMemory, *others: Any) -> None:
    """Die before the ``nth`` statement that any of the files of a memory, or another, is given from now on."""
    left = [nth]

    def passed(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    parts: Any = memory
    for db in (parts.journal._rows.connection, parts.store.file.connection, *others):
        db.set_trace_callback(passed)


def work(folder: Path, *, loop: bool, nth: int) -> list[str]:
    """Solve or go on with runs, and write lessons; note each in a file once it is acknowledged.

    Returns:
        What was acknowledged before, and is not there.
    """
    agent = open_agent(folder)
    lost = lost_of(agent, acknowledged(folder))
    memory, saver = agent.memory, agent.graph.checkpointer
    assert memory is not None
    die_before(nth, memory, saver.conn)  # type: ignore[union-attr]
    with (folder / "acknowledged").open("a") as log:

        def note(what: str) -> None:
            log.write(f"{what}\n")
            log.flush()

        async def solve(number: int) -> None:
            thread = f"t{number}"
            if begun(agent, thread):
                await agent.aresume(thread)
            else:
                await agent.asolve(question(number), thread_id=thread)
            note(thread)

        async def write(number: int) -> None:
            await memory.awrite(add(lesson(number)), run=f"r{number}", attempt=1)
            note(f"e{number}")

        async def all_at_once() -> None:
            await asyncio.gather(*map(write, range(LESSONS)), *map(solve, range(RUNS)))

        if loop:
            asyncio.run(all_at_once())
        else:
            for number in range(LESSONS):
                memory.write(add(lesson(number)), run=f"r{number}", attempt=1)
                note(f"e{number}")
            for number in range(RUNS):
                thread = f"t{number}"
                if begun(agent, thread):
                    agent.resume(thread)
                else:
                    agent.solve(question(number), thread_id=thread)
                note(thread)
    close(agent)
    return lost


def begun(agent: ReasoningAgent, thread: str) -> bool:
    state = agent.graph.get_state(agent._config(thread))
    return bool(state.values or state.tasks)


def acknowledged(folder: Path) -> list[str]:
    file = folder / "acknowledged"
    lines = file.read_text().split("\n") if file.exists() else []
    return list(dict.fromkeys(lines[:-1]))  # a line that was cut was not acknowledged


def lost_of(agent: ReasoningAgent, noted: list[str]) -> list[str]:
    """What was acknowledged and is not there."""
    memory = agent.memory
    assert memory is not None
    lost = [what for what in noted if what[0] == "e" and memory.get(what) is None]
    runs = [what for what in noted if what[0] == "t"]
    return lost + [thread for thread in runs if agent.result(thread).status != "passed"]


def wrong_at_the_end(folder: Path) -> list[str]:
    """What is doubled, missing, or told differently by entries, journal and runs."""
    agent = open_agent(folder)
    memory = agent.memory
    assert memory is not None and memory.journal is not None
    entries = {entry.id: entry for entry in memory.list()}
    wrong = [f"no {i}" for i in map(lambda n: f"e{n}", range(LESSONS)) if i not in entries]
    doubled = Counter(entry.content for entry in entries.values())
    wrong += [f"doubled: {text}" for text, times in doubled.items() if times > 1]
    shown: Counter[str] = Counter()
    learned = set[str]()
    for number in range(RUNS):
        result = agent.result(f"t{number}")
        if result.status != "passed" or len(result.attempts) != 2 or len(result.written) != 2:
            wrong.append(f"t{number}: {result.status}, {len(result.attempts)} attempts")
        shown.update(i for attempt in result.attempts for i in attempt.recalled)
        learned |= {o["entry_id"] for w in result.written for o in w["operations"]}
    if learned != entries.keys() - {f"e{n}" for n in range(LESSONS)}:
        wrong.append("runs and memory tell different lessons")
    wrong += [
        f"{i} counts {e.used}, not {shown[i]}" for i, e in entries.items() if e.used != shown[i]
    ]
    if compare(memory, NAMESPACE) or memory.journal.pending(NAMESPACE):
        wrong.append(f"journal and entries: {compare(memory, NAMESPACE)}")
    for entry in entries.values():
        if memory.recall(entry.index_text, k=1).entries[0].entry.id != entry.id:
            wrong.append(f"{entry.id} is not recalled")
    close(agent)
    return wrong


def trial(folder: Path, dice: random.Random) -> tuple[int, list[str], list[str]]:
    """Kills at random moments, then the rest of the work: (acknowledged before kills, lost, wrong)."""
    loop, lost = dice.random() < 0.5, list[str]()
    for _ in range(dice.choice((1, 1, 2))):
        by_time = dice.random() < 0.3
        nth = 0 if by_time else dice.randint(1, 900)
        when = dice.uniform(0.05, 1.5) if by_time else 0
        ended = in_child(lambda n=nth: work(folder, loop=loop, nth=n), kill_after=when)  # type: ignore[misc]
        if ended.how not in ("killed", "died", "done"):
            return 0, lost, [f"{ended}"]
        lost += ended.what if ended.how == "done" else []
    count = len(acknowledged(folder))
    ended = in_child(lambda: [*work(folder, loop=loop, nth=0), "|", *wrong_at_the_end(folder)])
    if ended.how != "done":
        return count, lost, [str(ended)]
    cut = ended.what.index("|")
    return count, lost + ended.what[:cut], ended.what[cut + 1 :]


def test_nothing_is_lost_or_doubled() -> None:
    assert "'lost': 0, 'bad_trials': 0" in run_script("test_kills", 3)


def main() -> None:
    """So many trials."""
    warm()
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if sys.argv[2:] else 0
    tally: Counter[str] = Counter()
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as place:
            acked, lost, wrong = trial(Path(place) / "data", random.Random(seed))
        tally.update(trials=1, acknowledged=acked, lost=len(lost), bad_trials=bool(lost or wrong))
        if lost or wrong:
            sys.stdout.write(f"seed {seed}: lost {lost}, wrong {wrong}\n")
            sys.stdout.flush()
        if seed % 20 == 19:
            sys.stdout.write(f"{dict(tally)}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{dict(tally)}; bad trials {wilson(tally['bad_trials'], count)}\n")
    sys.exit(bool(tally["bad_trials"]))


if __name__ == "__main__":
    main()
