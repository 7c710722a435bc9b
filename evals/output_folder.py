"""Output folders of long measurements: begun once, gone on with, files whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from vitarmm_agent.data import error_lines
from vitarmm_agent.errors import InputError
from vitarmm_agent.private import private_folder, write_text

CONFIG = "config.json"
SHOWN = 3
"""Items of a list that differ, in a message."""
Config = TypeVar("Config", bound=BaseModel)


def begin(
    folder: Path,
    config: Config,
    *,
    resume: bool,
    what: str,
) -> Config:
    """Make the folder of a measurement, or go on with the one that lies there.

    Returns:
        The configuration that the folder was made with.

    Raises:
        InputError: as :func:`earlier`, or it cannot be written.
    """
    known = earlier(folder, config, resume=resume, what=what)
    if known is None:
        write_config(folder, config)
    return known or config


def earlier(
    folder: Path,
    config: Config,
    *,
    resume: bool,
    what: str,
    differences: Callable[[Config, Config], list[str]] | None = None,
) -> Config | None:
    """The configuration of the measurement that is gone on with; None where one begins anew.

    Args:
        folder: new, empty, or with ``resume`` that of the same configuration.
        config: all that its rows depend on.
        resume: go on with what lies there.
        what: what it is, in words for messages, such as ``simulation``.
        differences: in words, how two configurations differ, the one of the folder first; default:
            in any field.

    Raises:
        InputError: as :func:`refuse_unless_usable`, or it was made with another configuration.
    """
    refuse_unless_usable(folder, resume=resume, what=what)
    if not (folder / CONFIG).exists():
        return None
    known = read_config(folder, type(config), what)
    if different := (differences or _differences)(known, config):
        raise InputError(
            f"{str(folder)!r} holds another {what}: {'; '.join(different)}; give the same options, "
            "or another output folder"
        )
    return known


def refuse_unless_usable(folder: Path, *, resume: bool, what: str) -> None:
    """Refuse early what :func:`begin` would refuse whatever the configuration.

    Raises:
        InputError: the folder is not empty and ``resume`` is not asked for, or it holds something
            else.
    """
    if (folder / CONFIG).exists():
        if not resume:
            raise InputError(
                f"{str(folder)!r} holds an earlier {what}; go on with it by --resume, or choose "
                "another output folder"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"output folder {str(folder)!r} is not empty and holds other files; choose a new or "
            "empty one"
        )


def write_config(folder: Path, config: BaseModel) -> None:
    """Write the configuration of a measurement into its folder, which is made when it is missing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        private_folder(folder)
        write_text(folder / CONFIG, config.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"output folder {str(folder)!r} cannot be written: {error.strerror}"
        ) from None


def read_config(folder: Path, kind: type[Config], what: str) -> Config:
    """The configuration that a folder was made with.

    Raises:
        InputError: there is none, or it is no such configuration.
    """
    try:
        return kind.model_validate_json((folder / CONFIG).read_bytes())
    except FileNotFoundError:
        raise InputError(f"{str(folder)!r} is no {what}: it has no {CONFIG}") from None
    except OSError as error:
        raise InputError(f"{str(folder / CONFIG)!r} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        faults = error_lines(error, got=False)
        raise InputError(
            f"{str(folder / CONFIG)!r} is no configuration for {what}: {faults}"
        ) from None


def _differences(known: BaseModel, asked: BaseModel) -> list[str]:
    """What an earlier version did not record cannot be compared."""
    one, other = known.model_dump(mode="json"), asked.model_dump(mode="json")
    differ = (k for k in one if k in known.model_fields_set and one[k] != other[k])
    return [f"{k} {_difference(one[k], other[k])}" for k in differ]


def _difference(known: Any, asked: Any) -> str:
    """How a value differs: a list by what it has more or less, whatever its length."""
    if isinstance(known, list) and isinstance(asked, list):
        lost = [item for item in known if item not in asked]
        new = [item for item in asked if item not in known]
        parts = filter(None, (_some(lost, "more"), _some(new, "less")))
        return f"had {' and '.join(parts) or 'another order'}"
    return f"was {known!r}, not {asked!r}"


def _some(items: list[Any], word: str) -> str:
    if not items:
        return ""
    shown = ", ".join(map(repr, items[:SHOWN]))
    return f"{len(items)} {word} ({shown}{', …' if len(items) > SHOWN else ''})"
