"""A journal or a store that lost its end: told when the memory is opened, and nothing is deleted for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.memory_store.helpers import add
from tests.reliability.helpers import NAMESPACE, open_memory, word
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store import MemoryEntry, ReasoningMemory
from vitarmm_agent.memory_store.agreement import compare
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore

FRAME = 4096 + 24
"""Bytes of one page in SQLite's log."""


def entry(number: int) -> MemoryEntry:
    text = f"{word(number)}p {word(number)}q"
    return MemoryEntry(
        id=f"e{number}", entry_type="fact", applies_when=text, content=f"All of {text}."
    )


def write(memory: ReasoningMemory, *numbers: int) -> None:
    for number in numbers:
        memory.write(add(entry(number)), run=f"r{number}", attempt=1)


def begin(folder: Path) -> None:
    """Write, and die before SQLite has put its log away."""
    write(open_memory(folder), *range(6))
    os._exit(1)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a killed process left it."""
    folder = tmp_path_factory.mktemp("left") / "memory"
    code = f"from tests.memory_store.test_agreement import *; begin(Path({str(folder)!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
    )
    assert ended.returncode == 1
    assert (folder / "journal.sqlite-wal").stat().st_size > 3 * FRAME
    return folder


@pytest.fixture
def cut(left: Path, tmp_path: Path) -> Iterator[Path]:
    """The same, with a journal that lost the last frames of its log."""
    folder = tmp_path / "memory"
    shutil.copytree(left, folder)
    log = folder / "journal.sqlite-wal"
    os.truncate(log, log.stat().st_size - 5 * FRAME)
    return folder  # type: ignore[return-value]


def unchecked(folder: Path) -> ReasoningMemory:
    from tests.memory_store.conftest import index_config

    store = ChromaStore(folder, index=index_config(["index_text"]), index_batch=4)
    return ReasoningMemory(store, NAMESPACE, journal=Journal(folder / "journal.sqlite"))


def test_a_cut_journal_is_told_and_its_entries_stay(cut: Path) -> None:
    with pytest.raises(MemoryStoreError, match="journal has lost .* vitarmm memory reindex"):
        open_memory(cut)
    memory = unchecked(cut)
    assert memory.journal is not None
    assert len([*memory.journal.entries(NAMESPACE)]) < 6
    wrong = compare(memory, NAMESPACE)
    assert "e5" in wrong.unknown and not wrong.missing and wrong.order
    memory.rebuild()
    assert {e.id for e in memory.list()} == {f"e{n}" for n in range(6)}
    memory.close()


def test_what_is_left_as_it_was_is_opened(left: Path, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(left, folder)
    memory = open_memory(folder)
    write(memory, 7)
    assert not compare(memory, NAMESPACE)
    memory.rebuild()
    memory.close()
    open_memory(folder).close()


def test_entries_of_an_older_copy_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    memory = open_memory(folder)
    write(memory, 1)
    memory.close()
    shutil.copy(folder / "items.sqlite", tmp_path / "older")
    memory = open_memory(folder)
    write(memory, 2, 3)
    memory.forget("e1")
    memory.close()
    shutil.copy(tmp_path / "older", folder / "items.sqlite")
    with pytest.raises(MemoryStoreError, match="lack 3 changes"):
        open_memory(folder)
    memory = unchecked(folder)
    wrong = compare(memory, NAMESPACE)
    assert wrong.missing == ("e2", "e3") and wrong.outdated == ("e1",)
    memory.rebuild()
    assert not compare(memory, NAMESPACE) and {e.id for e in memory.list()} == {"e2", "e3"}
    memory.close()
    open_memory(folder).close()


def test_what_was_written_without_a_journal_is_opened_with_one(tmp_path: Path) -> None:
    first = ReasoningMemory(unchecked(tmp_path).store, NAMESPACE)
    write(first, 1)
    first.close()
    memory = open_memory(tmp_path)
    write(memory, 2)
    assert compare(memory, NAMESPACE).unknown == ("e1",)
    memory.close()
    open_memory(tmp_path).close()


def test_the_command_looks_at_everything(cut: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["memory", "check", "--memory", str(cut), "--json"]) == 2
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)
    assert row["namespace"] == [*NAMESPACE] and "e5" in row["unknown"]
    assert "vitarmm memory reindex" in printed.err
