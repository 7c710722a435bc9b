"""A full disk: an error of ours, nothing acknowledged is lost, and all goes on once there is room.

``python -m tests.reliability.test_disk_full 100`` makes so many trials. The disk is full where a file
may not grow any more (``RLIMIT_FSIZE``), which needs no disk of one's own.
"""

from __future__ import annotations

import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

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
)
from tests.reliability.test_kills import lesson
from vitarmm_agent.errors import VitaRMMError
from vitarmm_agent.memory_store.agreement import compare

resource = pytest.importorskip("resource", reason="there are no such limits here")


def limited(limit: int | None) -> None:
    """Let no file grow beyond so many bytes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


def work(folder: Path, room: int) -> list[str]:
    """Write and solve while there is room, and again when there is; what was wrong."""
    agent = open_agent(folder)
    memory = agent.memory
    assert memory is not None
    wrong, acknowledged, errors = list[str](), list[int](), 0
    limited(room)
    for number in range(60):
        try:
            memory.write(add(lesson(number)), run=f"r{number}", attempt=1)
            acknowledged.append(number)
            if number % 10 == 0:
                agent.solve(question(number), thread_id=f"t{number}")
        except VitaRMMError:
            errors += 1
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error} {traceback.format_exc()[-500:]}")
            break
        if errors == 3:
            break
    limited(None)
    if not errors and not wrong:
        wrong.append("there was room for all")
    wrong += [f"lost e{n}" for n in acknowledged if memory.get(f"e{n}") is None]
    memory.write(add(lesson(99)), run="later", attempt=1)
    if not memory.recall(lesson(99).applies_when, k=1).entries:
        wrong.append("what is written later is not recalled")
    agent.solve(question(99), thread_id="later")
    if found := compare(memory, NAMESPACE):
        wrong.append(f"journal and entries: {found}")
    close(agent)
    return wrong


def again(folder: Path) -> list[str]:
    """What another process finds wrong."""
    agent = open_agent(folder)
    memory = agent.memory
    assert memory is not None
    wrong = [] if memory.get("e99") else ["e99 is lost"]
    if agent.result("later").status != "passed":
        wrong.append("the run is lost")
    close(agent)
    return wrong


def test_a_full_disk_is_told_and_loses_nothing() -> None:
    assert "wrong: 0 of 4" in run_script("test_disk_full", 4)


def main() -> None:
    """So many trials."""
    warm()
    count, tally = int(sys.argv[1]), Counter[str]()
    for seed in range(count):
        room = random.Random(seed).randint(60_000, 700_000)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "data"
            first = in_child(lambda f=folder, r=room: work(f, r))  # type: ignore[misc]
            then = in_child(lambda f=folder: again(f))  # type: ignore[misc]
        wrong = [str(e.what) for e in (first, then) if e.how != "done" or e.what]
        tally["wrong"] += bool(wrong)
        for words in wrong:
            sys.stdout.write(f"seed {seed}, room for {room:,}: {words}\n")
            sys.stdout.flush()
    sys.stdout.write(f"wrong: {wilson(tally['wrong'], count)}\n")
    sys.exit(bool(tally["wrong"]))


if __name__ == "__main__":
    main()
