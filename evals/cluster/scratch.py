"""A folder that one process works in, of this user alone, and gone when the process is."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from vitarmm_agent.private import FILE

LOCK = ".lock"


class Scratch:
    """A new folder among the temporary ones, until :meth:`close`."""

    def __init__(self, kind: str) -> None:
        """Make it, and delete those of this kind that killed processes left: nobody holds their lock."""
        from filelock import FileLock, Timeout

        prefix = f"vitarmm-{kind}-"
        for left in Path(tempfile.gettempdir()).glob(f"{prefix}*/{LOCK}"):
            with suppress(Timeout, OSError), FileLock(left, timeout=0):
                shutil.rmtree(left.parent, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = FileLock(self.path / LOCK, timeout=0, mode=FILE)
        self._lock.acquire()

    def close(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
