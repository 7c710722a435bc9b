"""The files of a memory folder, and how a set that was made anew takes their place.

The new set is made in a folder inside. Once it is whole, a mark there says so, and from then on it is
the memory: whoever opens the folder finishes what a killed process left of the renaming.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vitarmm_agent.memory_store.store.locks import FolderLock

ITEMS_FILE = "items.sqlite"
ITEMS_FILES = (ITEMS_FILE, f"{ITEMS_FILE}-wal", f"{ITEMS_FILE}-shm")
INDEX_FOLDER = "index"
FRESH = ".reindexing"
"""Folder of the set that is made anew."""
WHOLE = "whole"
"""The mark in it; it says where the old files go."""


def folder_lock(folder: Path) -> FolderLock:
    """Held by who opens the files of a folder, or puts others in their place."""
    return FolderLock(folder / ".lock")


def declare_whole(folder: Path, *, keep_old: bool) -> Path:
    """Mark the new set as whole; returns where the old files go, which is lasting if they are kept."""
    fresh = folder / FRESH
    (fresh / INDEX_FOLDER).mkdir(exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=folder)) if keep_old else fresh / "old"
    aside.mkdir(exist_ok=True)
    draft = fresh / f"{WHOLE}.draft"
    draft.write_text(str(aside.relative_to(folder)), "utf-8")
    for path in (draft, fresh, folder):
        sync(path)
    draft.rename(fresh / WHOLE)
    sync(fresh)
    return aside


def finish_renaming(folder: Path) -> None:
    """Put a new set that is whole in the place of the old; the folder's lock is held."""
    mark = folder / FRESH / WHOLE
    if not mark.exists():
        return
    for old, new in renamings(folder):
        old.rename(new)
    sync(folder)
    mark.unlink()
    shutil.rmtree(folder / FRESH, ignore_errors=True)


def renamings(folder: Path) -> Iterator[tuple[Path, Path]]:
    """What is still to be renamed, one after another; what is new comes last."""
    fresh = folder / FRESH
    aside = folder / (fresh / WHOLE).read_text("utf-8")
    renewed = (fresh / ITEMS_FILE).exists()  # so what lies in the folder is the old one, or nothing
    for name in ITEMS_FILES if renewed else ():
        if (folder / name).exists():
            yield folder / name, aside / name
    if (fresh / INDEX_FOLDER).exists():
        if (folder / INDEX_FOLDER).exists():
            yield folder / INDEX_FOLDER, aside / INDEX_FOLDER
        yield fresh / INDEX_FOLDER, folder / INDEX_FOLDER
    if renewed:
        yield fresh / ITEMS_FILE, folder / ITEMS_FILE


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(number)
    except OSError:  # nor do some network disks sync them
        pass
    finally:
        os.close(number)
