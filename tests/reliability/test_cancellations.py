"""Asynchronous calls that are cancelled at any moment: nothing is lost or doubled, and no lock is kept.

``python -m tests.reliability.test_cancellations 1000`` makes so many and prints what came of them.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.memory_store.helpers import add
from tests.reliability.helpers import NAMESPACE, close, open_agent, question, wilson
from tests.reliability.test_kills import lesson
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.memory_store.agreement import compare

TOGETHER = 8
"""Calls that are under way at a time."""


async def cancelled(
    agent: ReasoningAgent, count: int, dice: random.Random
) -> tuple[Counter[str], list[int], list[int]]:
    """So many calls, each cancelled after a random time: what came of them, and what they were."""
    tally, noted, runs = Counter[str](), list[int](), list[int]()
    memory = agent.memory
    assert memory is not None

    async def call(number: int) -> None:
        if number % 10 == 3:
            await agent.asolve(question(number), thread_id=f"t{number}")
        elif number % 10 == 7:
            await memory.arecall(lesson(number).applies_when)
        else:
            await memory.awrite(add(lesson(number)), run=f"r{number}", attempt=1)
            noted.append(number)

    for start in range(0, count, TOGETHER):
        numbers = range(start, min(start + TOGETHER, count))
        tasks = [asyncio.ensure_future(call(number)) for number in numbers]
        for task in sorted(tasks, key=lambda _: dice.random()):
            await asyncio.sleep(dice.choice((0, dice.uniform(0, 0.01), dice.uniform(0, 0.1))))
            task.cancel()
        for number, end in zip(
            numbers, await asyncio.gather(*tasks, return_exceptions=True), strict=True
        ):
            stopped = isinstance(end, asyncio.CancelledError)
            tally["cancelled" if stopped else "done" if end is None else repr(end)] += 1
            runs += [number] if number % 10 == 3 and stopped else []
    return tally, noted, runs


def check(agent: ReasoningAgent, noted: list[int], runs: list[int]) -> list[str]:
    """What is wrong after all of them; the first write of another process, too, finds the lock free."""
    memory = agent.memory
    assert memory is not None and memory.journal is not None
    wrong = [f"lost e{n}" for n in noted if memory.get(f"e{n}") is None]
    lock, patience = memory._group.lock([memory.namespace]), time.monotonic() + 30
    while not lock.acquire(blocking=False):  # a write that was under way is finished in its thread
        if time.monotonic() > patience:
            return [*wrong, "the lock is kept"]
        time.sleep(0.05)
    lock.release()
    memory.write(add(lesson(1_000_000)), run="last", attempt=1)
    for number in runs:
        try:
            begun = bool(agent.result(f"t{number}").problem.text)
        except ValueError:
            begun = False  # it was cancelled before its first checkpoint
        status = agent.resume(f"t{number}").status if begun else "passed"
        wrong += [f"t{number}: {status}"] if status != "passed" else []
    contents = Counter(entry.content for entry in memory.list())
    wrong += [f"doubled: {text}" for text, times in contents.items() if times > 1]
    if memory.journal.pending(NAMESPACE) or compare(memory, NAMESPACE):
        wrong.append(f"journal and entries: {compare(memory, NAMESPACE)}")
    return wrong


def trials(folder: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    agent = open_agent(folder)
    tally, noted, runs = asyncio.run(cancelled(agent, count, random.Random(seed)))
    wrong = check(agent, noted, runs)
    close(agent)
    return tally, wrong


def test_cancelled_calls_lose_nothing_and_keep_no_lock(tmp_path: Path) -> None:
    tally, wrong = trials(tmp_path, 120, 1)
    assert not wrong and set(tally) == {"cancelled", "done"} and tally["cancelled"] > 10, tally


def main() -> None:
    """So many calls."""
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        tally, wrong = trials(Path(place), count, 0)
    sys.stdout.write(f"{dict(tally)}; wrong: {wilson(len(wrong), tally['cancelled'])}\n")
    sys.stdout.write("".join(f"{words}\n" for words in wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
