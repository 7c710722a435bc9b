"""A path as a user wrote it."""

from __future__ import annotations

import os
from pathlib import Path

from vitarmm_agent.errors import InputError

_SHOWN = 200


def user_path(given: str | Path) -> Path:
    """The path, with the home folder for ``~``. Nothing need be there.

    A name that begins with ``~`` and no user's name is a name like any other, as in a shell.

    Raises:
        InputError: the system cannot look there.
    """
    path = Path(os.path.expanduser(given))
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        shown = str(given)[:_SHOWN] + "…" * (len(str(given)) > _SHOWN)
        raise InputError(f"path {shown!r} cannot be used: {reason}; give another") from None
    return path
