"""Flipped bits in any file of a data folder: the same is read as before, or an error says what to do.

``python -m tests.reliability.test_bit_flips 240`` makes so many trials and prints them.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.helpers import (
    close,
    in_child,
    open_agent,
    question,
    run_script,
    warm,
    wilson,
)
from vitarmm_agent.errors import VitaRMMError
from vitarmm_agent.media import MediaStore
from vitarmm_agent.problem import Problem
from vitarmm_agent.traces import list_runs, read_trace

pytestmark = pytest.mark.thorough

RUNS = 4
FILES = {
    "journal": "memory/journal.sqlite",
    "items": "memory/items.sqlite",
    "checkpoints": "traces.sqlite",
    "Chroma's database": "memory/index/chroma.sqlite3",
    "image": "media/*/*",
    "journal, its log": "memory/journal.sqlite-wal",
    "items, their log": "memory/items.sqlite-wal",
}
"""What is damaged; of the logs, those of a process that was killed before SQLite put them away."""


def picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(file, "PNG")
    return file.getvalue()


def fill(folder: Path, *, killed: bool) -> bool:
    """Runs, memory and an image; the process that made them ends well, or is killed."""
    agent = open_agent(folder)
    for number in range(RUNS):
        images = (picture(),) if number == 0 else ()
        stored = [MediaStore(agent.settings.media_dir).put(one) for one in images]
        agent.solve(Problem(text=question(number), images=stored), thread_id=f"t{number}")
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)
    agent.memory.store.flush()  # type: ignore[union-attr]
    close(agent)
    return True


def look(folder: Path) -> dict[str, Any]:
    """All that a user can see of a data folder."""
    agent = open_agent(folder)
    memory, saver = agent.memory, agent.graph.checkpointer
    assert memory is not None and memory.journal is not None
    entries = memory.list()
    traces = [read_trace(saver, f"t{number}") for number in range(RUNS)]  # type: ignore[arg-type]
    image = traces[0].result.problem.images[0]
    found = {
        "entries": sorted(entry.model_dump_json() for entry in entries),
        "each": sorted(e.model_dump_json() for i in entries if (e := memory.get(i.id))),
        "found": [
            [r.entry.id for r in memory.recall(e.index_text, k=1).entries] == [e.id]
            for e in entries
        ],
        "journal": sorted(e.model_dump_json() for e in memory.journal.entries(memory.namespace)),
        "events": [repr(event) for event in memory.journal.events(memory.namespace)],
        "runs": [trace.model_dump_json() for trace in traces],
        "told": [list(trace.problems) for trace in traces],
        "list": [run.model_dump_json() for run in list_runs(saver)],  # type: ignore[arg-type]
        "image": MediaStore(folder / "media").read(image.sha256)[0].hex(),
    }
    close(agent)
    return found


def outcome(folder: Path, truth: dict[str, Any]) -> list[str]:
    """``same``, ``told`` by an error of ours, ``raw`` error, or ``silent`` about what differs."""
    try:
        found = look(folder)
    except VitaRMMError as error:
        return ["told", str(error)]
    except Exception as error:
        import traceback

        return ["raw", f"{type(error).__name__}: {error} {traceback.format_exc()[-700:]}"]
    differs = [name for name in truth if found[name] != truth[name]]
    if said := [words for run in found["told"] for words in run]:
        return ["told", "; ".join(said)]
    return ["silent", ", ".join(differs)] if differs else ["same", ""]


def flip(file: Path, dice: random.Random) -> list[int]:
    """One bit, or 64 bits, of a file."""
    data = bytearray(file.read_bytes())
    places = [dice.randrange(len(data)) for _ in range(dice.choice((1, 1, 1, 64)))]
    for place in places:
        data[place] ^= 1 << dice.randrange(8)
    file.write_bytes(bytes(data))
    return places


class Folders:
    """A data folder that was closed, and one of a process that was killed; and what is in them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        for killed in (False, True):
            in_child(lambda k=killed: fill(place / f"killed-{k}", killed=k))  # type: ignore[misc]
        self.truth = {k: self._truth(k) for k in (False, True)}

    def _truth(self, killed: bool) -> dict[str, Any]:
        with self.copy(killed) as folder:
            ended = in_child(lambda: look(folder))
        assert ended.how == "done", ended
        return ended.what  # type: ignore[no-any-return]

    def copy(self, killed: bool) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def made() -> Iterator[Path]:
            with tempfile.TemporaryDirectory(dir=self.place) as place:
                shutil.copytree(self.place / f"killed-{killed}", Path(place) / "data")
                yield Path(place) / "data"

        return made()

    def trial(self, what: str, dice: random.Random) -> tuple[str, str]:
        killed = what.endswith("log")
        with self.copy(killed) as folder:
            (file,) = folder.glob(FILES[what])
            places = flip(file, dice)
            ended = in_child(lambda: outcome(folder, self.truth[killed]))
        how, words = ended.what if ended.how == "done" else (ended.how, str(ended.what))
        return how, f"{places[:3]}: {words}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_flipped_bits_are_told_or_change_nothing() -> None:
    """Of the first 140 trials, 52 were silent, raw or fatal before."""
    assert "right" in run_script("test_bit_flips", 3 * len(FILES))


def main() -> None:
    """So many trials, spread over the files, or over those that are named."""
    count, names = int(sys.argv[1]), sys.argv[2:] or [*FILES]
    warm()
    with tempfile.TemporaryDirectory() as place:
        folders, dice = Folders(Path(place)), random.Random(0)
        tally = Counter[tuple[str, str]]()
        for number in range(count):
            what = names[number % len(names)]
            how, words = folders.trial(what, dice)
            tally[what, how] += 1
            if how not in ("same", "told"):
                sys.stdout.write(f"{what}: {how} {words}\n")
    for (what, how), times in sorted(tally.items()):
        sys.stdout.write(f"{what:20}  {how:8}  {times}\n")
    bad = sum(times for (_, how), times in tally.items() if how not in ("same", "told"))
    sys.stdout.write(f"neither right nor told: {wilson(bad, count)}\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
