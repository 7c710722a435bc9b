"""Folders and files that are no one else's on this machine.

Traces, memory, images and evaluations hold what people asked. What is there already keeps the access
that someone gave it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

FOLDER, FILE = 0o700, 0o600


def private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER, exist_ok=True)
    path.mkdir(exist_ok=True)  # raises where it is a file


def private_file(path: Path) -> None:
    """Make an empty file for this user alone, unless there is one or it cannot be made.

    What opens it next says why it cannot.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file for this user alone, which takes the place of ``path`` when the block ends.

    It is on the disk then. Whoever reads sees the old one or the new one, never half; where the block
    fails, the old one stays.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a :func:`whole_file` at once."""
    with whole_file(path) as file:
        file.write(text)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a :func:`whole_file` at once."""
    with whole_file(path, "wb") as file:
        file.write(data)


def private_database(path: Path | None) -> sqlite3.Connection:
    """A SQLite file for this user alone that several threads and processes use; None: in memory.

    What is committed is on the disk. Transactions are begun and ended by hand.

    Raises:
        sqlite3.Error: it cannot be made, or is no such file.
    """
    import sqlite3

    if path is not None:
        private_file(path)
    opened = sqlite3.connect(
        path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False
    )
    opened.execute("PRAGMA journal_mode = WAL")
    opened.execute("PRAGMA synchronous = FULL")
    return opened


def write_privately() -> None:
    """Have whatever this process writes from now on be for this user alone. For processes of ours."""
    os.umask(os.umask(0o077) | 0o077)
