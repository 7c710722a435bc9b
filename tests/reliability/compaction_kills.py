"""A compaction that is killed before its n-th statement: done again, and nothing is lost.

``python -m tests.reliability.compaction_kills 3 8 15`` tries these, and prints where it was killed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.memory_store.test_retention import events, fill
from tests.reliability.helpers import NAMESPACE, in_child, open_memory, warm
from tests.reliability.test_kills import die_before
from vitarmm_agent.memory_store.agreement import compare


def begin(folder: Path) -> bool:
    fill(open_memory(folder))
    return True


def compact(folder: Path, nth: int) -> bool:
    memory = open_memory(folder)
    die_before(nth, memory)
    memory.compact(keep_batches=1)
    return True


def again(folder: Path) -> tuple[list[str], bool, int]:
    memory = open_memory(folder)
    memory.compact(keep_batches=1)
    found = [e.title for e in memory.list()], bool(compare(memory, NAMESPACE)), events(memory)
    memory.close()
    return found


def main() -> None:
    """Try each number of the command line."""
    warm()
    for nth in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "memory"
            assert in_child(lambda f=folder: begin(f)).how == "done"  # type: ignore[misc]
            ended = in_child(lambda f=folder, n=nth: compact(f, n))  # type: ignore[misc]
            assert ended.how in ("died", "done"), ended
            after = in_child(lambda f=folder: again(f))  # type: ignore[misc]
            sys.stdout.write(f"{nth}: {ended.how}, then {after}\n")
            assert after.how == "done" and after.what[:2] == [["fourth"], False], after


if __name__ == "__main__":
    main()
