"""One actor of a cluster: it works in a folder of its own on whatever machine Ray put it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import platform
from collections.abc import Awaitable, Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import vitarmm_agent
from vitarmm_agent.errors import InternalError
from vitarmm_agent.evals.cluster.parcels import Freight, Parcel, Place, named
from vitarmm_agent.evals.cluster.scratch import Scratch
from vitarmm_agent.evals.worklist import http_status
from vitarmm_agent.private import write_privately
from vitarmm_agent.redaction import redact_logs

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings

OURS = "VITARMM_"
NOT_INSTALLED = ("speed", "studies")
"""Folders of ``evals`` that a checkout has and a wheel does not."""


class Worker(Protocol):
    """What does the tasks; their methods are coroutines."""

    def close(self) -> None:
        """Release the files."""
        ...


OpenWorker = Callable[["Settings"], Worker]
"""Opens a worker on the data folder of settings; it is sent there, so it must be picklable."""


@dataclass(frozen=True)
class Errand:
    """One task, and what goes with it.

    Attributes:
        method: of the worker's class; it is sent there, so it must be picklable.
        threads: runs whose checkpoints it may need, and leaves.
        place: the memory that it may change; no other errand may change it at the same time.
        files: paths below the data folder that it reads.
        stream: errands of one stream stay with one actor while it lives.
    """

    method: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    threads: tuple[str, ...] = ()
    place: Place | None = None
    files: tuple[str, ...] = ()
    stream: Hashable = None


@dataclass(frozen=True)
class ErrandReply:
    """What came of an errand: a value or an error, and what the run left."""

    parcel: Parcel
    value: Any = None
    error: Exception | None = None


class Actor:
    """What runs in the actor's process. Methods are coroutines: Ray calls them on one event loop."""

    def __init__(self) -> None:
        """Keep a folder for what it works with, until :meth:`close`."""
        write_privately()
        redact_logs()
        self._scratch = Scratch("actor")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="freight")
        self._marks: dict[Place, int] = {}

    async def facts(self) -> dict[str, str]:
        """What it runs, see :func:`facts`, and where."""
        import ray

        return facts() | {"node": ray.util.get_node_ip_address()}

    async def open(self, open_worker: OpenWorker, settings: Settings) -> Exception | None:
        """Load the models; why they cannot be, or None.

        Settings are the driver's alone, but for where this machine keeps its weights.
        """
        try:
            settings = _here(settings, self._scratch.path / "data")
            self._freight = Freight(settings)
            self._worker = await asyncio.to_thread(open_worker, settings)
        except Exception as error:  # told by the driver
            return portable(error)
        return None

    async def do(self, errand: Errand, parcel: Parcel) -> ErrandReply:
        """Carry out an errand with what was sent along."""
        value, error = None, None
        known = await self._off_loop(self._take_in, errand, parcel)
        try:
            value = await errand.method(self._worker, *errand.args)
        except Exception as failed:  # raised again by the driver
            error = portable(failed)
        left = await self._off_loop(self._pack, errand, known)
        return ErrandReply(left, value, error)

    async def close(self) -> None:
        """Release everything."""
        with suppress(AttributeError):  # it was not opened
            self._worker.close()
            await self._off_loop(self._freight.close)
        self._scratch.close()

    def _take_in(self, errand: Errand, parcel: Parcel) -> set[str]:
        self._freight.take_in(parcel)
        return {batch["key"] for batch in parcel.batches}

    def _pack(self, errand: Errand, known: set[str]) -> Parcel:
        """What the driver lacks; it is packed once, and checkpoints are not kept here."""
        runs = self._freight.runs(errand.threads)
        place, batches = errand.place, list[Any]()
        if place is not None:
            batches, mark = self._freight.batches(place, self._marks.get(place, 0))
            batches = [batch for batch in batches if batch["key"] not in known]
            self._marks[place] = mark
        self._freight.forget(errand.threads)
        return Parcel(runs, named(place), batches)

    async def _off_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *args)


def _here(settings: Settings, data_dir: Path) -> Settings:
    """The driver's settings on this machine: nothing but where weights lie comes from here."""
    home = type(settings).load().home
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ[f"{OURS}CONFIG"] = str(data_dir / "none.toml")
    return settings.model_copy(update={"home": home, "data_dir": data_dir, "memory": None})


def facts() -> dict[str, str]:
    """What must be the same on all machines: Python, this package's version, and its very code."""
    return {
        "Python": platform.python_version(),
        "vitarmm-agent": metadata.version("vitarmm-agent"),
        "code": code_sha256(Path(vitarmm_agent.__file__).parent),
    }


def code_sha256(package: Path) -> str:
    """A hash over modules and prompts, the same in a checkout and in an installation."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(package, followlinks=True):
        if Path(folder).name == "evals":
            folders[:] = [name for name in folders if name not in NOT_INSTALLED]
        folders.sort()
        for name in sorted(names):
            if name.endswith((".py", ".md")):
                path = Path(folder, name)
                digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """In words, what another machine runs that this one does not; empty when all is the same."""
    named = [
        f"{name} {theirs.get(name)!r} instead of {ours[name]!r}"
        for name in ("Python", "vitarmm-agent")
        if theirs.get(name) != ours[name]
    ]
    if not named and theirs.get("code") != ours["code"]:
        named = [f"vitarmm-agent {ours['vitarmm-agent']} with other code"]
    return " and ".join(named)


def portable(error: Exception) -> Exception:
    """The error as it can be sent to another process, with the HTTP status that it is due to."""
    status = http_status(error)
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its own pickling does
        sent = InternalError(f"{type(error).__name__}: {error}")
    if status is not None:
        sent.status_code = status
    found: Exception = sent
    return found
