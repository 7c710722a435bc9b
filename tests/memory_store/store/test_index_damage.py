"""Damaged files of a Chroma index: no process dies of them, and nothing is missed.

``python -m tests.memory_store.store.test_index_damage 200`` makes so many trials and prints them.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from tests.memory_store.conftest import index_config
from vitarmm_agent.memory_store import ChromaStore

NS = ("team",)
COUNT, BATCH = 1_300, 260  # Chroma writes its files at 1,000
LOOKED_UP = 60
KINDS = ("zero-tail", "zero-block", "cut", "one bit", "64 bits", "gone")


def fill(folder: Path) -> None:
    with ChromaStore(folder, index=index_config(["text"])) as store:
        for start in range(0, COUNT, BATCH):
            some = range(start, start + BATCH)
            store.batch([PutOp(NS, f"k{n}", {"text": f"word{n} thing{n}"}) for n in some])
        store.flush()


def missed(folder: Path) -> int:
    """How many of so many items are not found by their own text."""
    with ChromaStore(folder, index=index_config(["text"])) as store:
        found = {
            n: store.search(NS, query=f"word{n} thing{n}", limit=1)
            for n in random.Random(5).sample(range(COUNT), LOOKED_UP)
        }
    return sum(not hits or hits[0].key != f"k{n}" for n, hits in found.items())


def damage(file: Path, kind: str, dice: random.Random) -> None:
    """What power cuts, bad disks and people do to a file."""
    data = bytearray(file.read_bytes())
    place = dice.randrange(len(data))
    if kind == "zero-tail":
        data[place:] = bytes(len(data) - place)
    elif kind == "zero-block":
        block = place // 4096 * 4096
        data[block : block + 4096] = bytes(len(data[block : block + 4096]))
    elif kind == "cut":
        del data[place:]
    else:
        for _ in range(64 if kind == "64 bits" else 1):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    file.write_bytes(bytes(data))
    if kind == "gone":
        file.unlink()


def in_child(folder: Path, start: str = "spawn") -> str:
    """``missed`` in a process of its own, which may die."""
    child: Any = multiprocessing.get_context(start).Process(  # type: ignore[attr-defined]
        target=_exit_with_missed, args=(folder,)
    )
    child.start()
    child.join(120)
    child.kill()
    code = child.exitcode
    return "died" if code is None or code < 0 else "error" if code == 255 else f"{code} missed"


def _exit_with_missed(folder: Path) -> None:
    try:
        sys.exit(missed(folder))
    except Exception:
        sys.exit(255)


def trials(good: Path, number: int, start: str = "spawn") -> Counter[tuple[str, str]]:
    """So many damages, each looked at by two processes, one after the other."""
    dice, tally = random.Random(0), Counter[tuple[str, str]]()
    names = sorted(p.relative_to(good) for p in good.rglob("index/*/*") if p.stat().st_size)
    for _ in range(number):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "memory"
            shutil.copytree(good, folder)
            kind, name = dice.choice(KINDS), dice.choice(names)
            damage(folder / name, kind, dice)
            for _ in range(2):
                tally[kind, in_child(folder, start)] += 1
    return tally


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    fill(folder)
    assert list(folder.rglob("data_level0.bin"))
    return folder


@pytest.mark.slow
def test_damage_ends_no_process_and_loses_nothing(good: Path) -> None:
    """Of these, one ended the process at every open before."""
    tally = trials(good, 3)
    assert {outcome for _, outcome in tally} == {"0 missed"}, tally


@pytest.mark.parametrize(
    ("name", "kind"),
    [*(("data_level0.bin", kind) for kind in KINDS), ("header.bin", "one bit")],
)
def test_damaged_files_are_not_given_to_chroma(
    good: Path, tmp_path: Path, kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(good, folder)
    (file,) = folder.rglob(name)
    damage(file, kind, random.Random(1))
    assert missed(folder) == 0
    assert "not as they were left" in caplog.text
    caplog.clear()
    assert missed(folder) == 0 and not caplog.records


def test_an_index_that_was_in_hand_when_a_process_died_is_made_again(
    good: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(good, folder)
    with ChromaStore(folder, index=index_config(["text"])) as store:
        store._backend.items.set_meta(opening="as a process that died left it")  # type: ignore[attr-defined]
    assert missed(folder) == 0
    assert "a process died" in caplog.text


if __name__ == "__main__":
    import chromadb  # noqa: F401  children that are forked need not import it again

    with tempfile.TemporaryDirectory() as made:
        child = multiprocessing.get_context("spawn").Process(target=fill, args=(Path(made),))
        child.start()
        child.join()  # before Chroma has threads here
        found = trials(Path(made), int(sys.argv[1]), "fork")
        for (kind, outcome), times in sorted(found.items()):
            sys.stdout.write(f"{kind:10}  {outcome:10}  {times}\n")
