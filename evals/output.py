"""Output folders of long measurements: begun once, gone on with, files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from vitarmm_agent.errors import InputError
from vitarmm_agent.private import private_folder

CONFIG = "config.json"
Config = TypeVar("Config", bound=BaseModel)


def begin(folder: Path, config: BaseModel, *, resume: bool, what: str) -> None:
    """Make the folder of a measurement, or go on with the one that lies there.

    Args:
        folder: new, empty, or with ``resume`` that of the same configuration.
        config: all that its rows depend on.
        resume: go on with what lies there.
        what: what it is, in words for messages, such as ``simulation``.

    Raises:
        InputError: the folder is not empty and ``resume`` is not asked for, or it was made with
            another configuration.
    """
    if (folder / CONFIG).exists():
        if not resume:
            raise InputError(
                f"{str(folder)!r} holds a {what} already; go on with it by --resume, or choose "
                "another output folder"
            )
        _refuse_another(read_config(folder, type(config), what), config, folder, what)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"output folder {str(folder)!r} is not empty; choose a new or empty one")
    private_folder(folder)
    write_text(folder / CONFIG, config.model_dump_json(indent=2) + "\n")


def read_config(folder: Path, kind: type[Config], what: str) -> Config:
    """The configuration that a folder was made with.

    Raises:
        InputError: there is none, or it is no such configuration.
    """
    try:
        return kind.model_validate_json((folder / CONFIG).read_bytes())
    except OSError:
        raise InputError(f"{str(folder)!r} is no folder of a {what}: it has no {CONFIG}") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{str(folder / CONFIG)!r} is no configuration of a {what}: "
            f"{where}: {error.errors()[0]['msg']}"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old file or the new one, never half."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _refuse_another(known: BaseModel, asked: BaseModel, folder: Path, what: str) -> None:
    one, other = known.model_dump(mode="json"), asked.model_dump(mode="json")
    different = [f"{k} was {one[k]!r}, not {other[k]!r}" for k in one if one[k] != other[k]]
    if different:
        raise InputError(
            f"{str(folder)!r} holds another {what}: {'; '.join(different)}; give the same options, "
            "or another output folder"
        )
