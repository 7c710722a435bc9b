"""``vitarmm.toml``: which ones are read, and what of them is taken.

The user's own lies in their configuration folder; ``vitarmm config set`` writes it. Above it is the one in
the working directory, or the one that ``VITARMM_CONFIG`` names, which is then the only one. A file that was named is trusted. One that merely lies in the working directory may have come with a
repository of someone else: where keys, problems and files go it may say only after it was trusted once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from vitarmm_agent.errors import InputError
from vitarmm_agent.private import write_text

CONFIG_FILE = "vitarmm.toml"
PLACES = (
    "base_url", "embedder_base_url", "extra_body", "home", "data_dir", "memory", "database",
    "local_files", "page_models", "run_models", "run_verifiers", "run_memories", "server_hosts",
    "server_origins",
)  # fmt: skip
"""Settings that say where something is sent or read, or who is let in."""
MODELS = ("reasoner", "judge", "rmm", "teacher", "embedder")
LOCAL_SCHEMES = ("vita", "scripted", "huggingface")
"""Forms of model spec that always name files, or code that is fetched."""

logger = logging.getLogger(__name__)


def config_file() -> Path | None:
    """The file that settings are read from, or None when there is none."""
    path = Path(os.environ.get("VITARMM_CONFIG", CONFIG_FILE))
    return path if path.is_file() else None


def user_file() -> Path:
    """The user's own file, whether it is there or not."""
    return platformdirs.user_config_path("vitarmm") / CONFIG_FILE


def read_config() -> dict[str, Any]:
    """What the files say, by name of the setting.

    Raises:
        InputError: one is no TOML, or says what only a trusted file may.
    """
    values: dict[str, Any] = {}
    for _, said in reversed(read_files()):
        values |= said
    return values


def read_files() -> list[tuple[Path, dict[str, Any]]]:
    """The files that are read, and what each says; the one whose word counts first.

    Raises:
        InputError: as :func:`read_config`.
    """
    path, own = config_file(), user_file()
    files = [] if path is None else [(path, _checked(path))]
    if "VITARMM_CONFIG" not in os.environ and own.is_file():
        files.append((own, _read(own)[0]))
    return files


def _checked(path: Path) -> dict[str, Any]:
    values, digest = _read(path)
    wanted = needs_trust(values)
    if wanted and "VITARMM_CONFIG" not in os.environ and _trusted().get(_key(path)) != digest:
        told = "; ".join(f"{name} = {values[name]!r:.200}" for name in wanted)
        raise InputError(
            f"{str(path.resolve())!r} lies in the working directory and sets {told}: that decides where "
            "your keys, problems and files go. If the file is yours, say so once: vitarmm trust. "
            "If not, delete these lines or work in another folder"
        )
    logger.info("settings are read from %s", path.resolve())
    return values


def needs_trust(values: Mapping[str, Any]) -> list[str]:
    """Names of the settings among ``values`` that only a trusted file may give."""
    places = [name for name in PLACES if name in values]
    if values.get("memory") == "off":
        places.remove("memory")
    return places + [name for name in MODELS if _names_a_file(values.get(name))]


def trust(path: Path) -> dict[str, Any]:
    """Take from now on all that ``path`` says, until it is changed; returns what that adds.

    Raises:
        InputError: there is no such file, it is no TOML, or the note of it cannot be kept.
    """
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r} to trust; name it: vitarmm trust FILE")
    values, digest = _read(path)
    note = _note()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(_trusted() | {_key(path): digest}, indent=2))
    except OSError as error:
        raise InputError(f"{str(note)!r} cannot be written: {error.strerror}") from None
    return {name: values[name] for name in needs_trust(values)}


def _names_a_file(spec: object) -> bool:
    scheme, _, rest = str(spec or "").partition(":")
    if scheme == "local" and not re.fullmatch(r"[\w.-]+", rest):
        return True
    try:
        return scheme in LOCAL_SCHEMES or bool(rest) and Path(rest).exists()
    except (OSError, ValueError):
        return True


def _read(path: Path) -> tuple[dict[str, Any], str]:
    try:
        data = path.read_bytes()
        return tomllib.loads(data.decode("utf-8")), hashlib.sha256(data).hexdigest()
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None


def _key(path: Path) -> str:
    return str(path.resolve())


def _note() -> Path:
    return user_file().with_name("trusted.json")


def _trusted() -> dict[str, str]:
    """SHA-256 of each trusted file, by its path."""
    try:
        known = json.loads(_note().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
