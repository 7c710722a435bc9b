"""A folder that is made again, killed at each step; and one that has lost its items."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest

from tests.memory_store.conftest import index_config
from tests.memory_store.tiny_bert import tiny_bert
from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store import ChromaStore, MemoryEntry
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.memory_store.operations import Operation
from vitarmm_agent.memory_store.reindex import reindex
from vitarmm_agent.memory_store.store.folder_files import declare_whole, renamings
from vitarmm_agent.settings import Settings

NS = ("team",)


def store(folder: Path) -> ChromaStore:
    return ChromaStore(folder, index=index_config(["text"]), index_batch=2)


def fill(folder: Path, *texts: str) -> None:
    with store(folder) as some:
        for text in texts:
            some.put(NS, text, {"text": text})


def copied_open(folder: Path, to: Path) -> None:
    """A folder as it is while a process has it open: with a write-ahead log."""
    with store(folder) as some:
        some.put(NS, "late", {"text": "late"})
        shutil.copytree(folder, to)
    assert (to / "items.sqlite-wal").stat().st_size


@pytest.mark.parametrize("keep", [False, True])
def test_a_swap_killed_at_each_rename_is_finished_at_the_next_open(
    tmp_path: Path, keep: bool
) -> None:
    fill(tmp_path / "old", "old one", "old two")
    fill(tmp_path / "new", "new one", "new two", "new three")
    done = 0
    for steps in range(9):
        folder = tmp_path / f"folder-{steps}"
        copied_open(tmp_path / "old", folder)
        shutil.copytree(tmp_path / "new", folder / ".reindexing")
        declare_whole(folder, keep_old=keep)
        done = 0
        for old, new in islice(renamings(folder), steps):
            old.rename(new)
            done += 1
        for _ in range(2):  # and once more, when all is done
            with store(folder) as some:
                found = {item.key for item in some.search(NS)}
                assert found == {"new one", "new two", "new three"}
                assert some.search(NS, query="new two", limit=1)[0].key == "new two"
        assert len(list(folder.glob(".replaced-*/items.sqlite"))) == keep
        assert not (folder / ".reindexing").exists()
    assert done == 6  # items and two logs away, the index away and in, items in


def test_a_store_that_is_not_whole_is_not_taken(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "old one")
    fill(tmp_path / "folder" / ".reindexing", "half")
    with store(tmp_path / "folder") as some:
        assert [item.key for item in some.search(NS)] == ["old one"]


def test_a_memory_that_lost_its_items_is_not_opened_as_an_empty_one(tmp_path: Path) -> None:
    settings = Settings.load(
        memory=str(tmp_path / "memory"), embedder=f"local:{tiny_bert(tmp_path / 'bert')}",
        home=tmp_path / "home",
    )  # fmt: skip
    memory = open_memory(settings)
    assert memory is not None
    lesson = MemoryEntry(entry_type="fact", applies_when="a square", content="It has four sides.")
    memory.write([Operation(kind="add", entry=lesson)], run="r", attempt=1)
    memory.close()
    for file in (tmp_path / "memory").glob("items.sqlite*"):
        file.unlink()
    shutil.rmtree(tmp_path / "memory" / "index")
    for _ in range(2):
        with pytest.raises(MemoryStoreError, match="vitarmm memory reindex"):
            open_memory(settings)
    assert reindex(settings).entries == {settings.namespace: 1}
    memory = open_memory(settings)
    assert memory is not None and [e.id for e in memory.list()] == [lesson.id]
    memory.forget(lesson.id)
    memory.close()
    reindex(settings)
    memory = open_memory(settings)  # forgotten is not lost
    assert memory is not None and memory.list() == []
    memory.close()
