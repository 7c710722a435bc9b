"""The files of a Chroma index, and whether they are as they were left.

Chroma neither syncs nor checks them, and reads damaged ones natively: a flipped bit, or a page that a
power cut left empty, ends the process or loses vectors without a word. So their hashes are noted where
the items are, with a mark for as long as Chroma opens, loads or writes them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from vitarmm_agent.memory_store.store.sqlite_file import FAULTS
from vitarmm_agent.memory_store.store.sqlite_items import Items

OWN_DATABASE = "chroma.sqlite3"
OPENED = "acquire_write"
"""Its table that changes whenever Chroma opens it; it says nothing of what the index holds."""


class IndexFiles:
    """The files under one folder. Who uses them holds the index's lock."""

    def __init__(self, items: Items, folder: Path | None) -> None:
        """Note what is in ``folder`` beside ``items``; None: in memory there is nothing to note."""
        self._items, self._folder = items, folder
        self._hashed: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def doubt(self) -> str:
        """Why the files are not to be given to Chroma, or empty."""
        if self._folder is None:
            return ""
        opening, files = self._items.metas("opening", "files")
        if opening:
            return "a process died while it had its files in hand"
        return "" if self.digest(afresh=True) == files else "its files are not as they were left"

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """Have it noted on the disk that Chroma has the files; a process that dies leaves the note."""
        if self._folder is None:
            yield
            return
        self._items.set_meta(opening=uuid.uuid4().hex)
        try:
            yield
        finally:
            self._items.set_meta(opening="", files=self.digest())

    def digest(self, *, afresh: bool = False) -> str:
        """The name and hash of each file, as text; empty where there are none.

        Args:
            afresh: hash even what has the size and time it had. Damage does not change them.
        """
        known = {} if afresh else self._hashed
        self._hashed = {}
        for path in sorted(self._folder.rglob("*")) if self._folder else ():
            own = path.name.startswith(OWN_DATABASE)
            if path.is_file() and (not own or path.name == OWN_DATABASE):
                stat = path.stat()
                seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
                before, text = known.get(path, (None, ""))
                self._hashed[path] = seen, text if before == seen else _hash(path, own)
        found = {"/".join(p.parts[-2:]): text for p, (_, text) in self._hashed.items()}
        return json.dumps(found) if found else ""


def _hash(path: Path, own: bool) -> str:
    with path.open("rb") as file:
        if not own:
            return hashlib.file_digest(file, "sha256").hexdigest()
        try:
            return _hash_database(path, file)
        except FAULTS as error:
            return f"cannot be read: {error}"


def _hash_database(path: Path, file: BinaryIO) -> str:
    """Of all pages but the first, which counts changes, and the one that :data:`OPENED` is on."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        ((size,),) = db.execute("PRAGMA page_size").fetchall()
        tables = db.execute("SELECT type, name, rootpage, sql FROM sqlite_master").fetchall()
    passed_over = {1, *(row[2] for row in tables if row[1] == OPENED)}
    whole = hashlib.sha256(repr(tables).encode("utf-8", "replace"))
    for number, page in enumerate(iter(lambda: file.read(size), b""), start=1):
        if number not in passed_over:
            whole.update(page)
    return whole.hexdigest()
