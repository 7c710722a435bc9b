"""What travels between the driver and its actors: checkpoints of runs, batches of memories, files.

An actor works in a folder of its own, so no disk is shared. Beside a task it is sent what it lacks: the
checkpoints of a run that was begun, what a memory has learned since, images. It sends back what the run
left. Of what an actor sends, the driver keeps checkpoints and batches, never files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from vitarmm_agent.graphs.checkpoints import open_checkpoints
from vitarmm_agent.graphs.serializers import PlainDataSerializer
from vitarmm_agent.memory_store.journal import Batch, history
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.open import open_memory
from vitarmm_agent.private import private_folder, write_bytes

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from vitarmm_agent.settings import Settings

_BATCHES = TypeAdapter(list[Batch])


@dataclass(frozen=True)
class Place:
    """A memory: its folder below the data folder, and its namespace."""

    folder: str
    namespace: tuple[str, ...]


@dataclass(frozen=True)
class Parcel:
    """Plain data on its way.

    Attributes:
        runs: by thread, its checkpoints, oldest first: each with its namespace, the one before it,
            itself, its metadata and its pending writes.
        place: the memory that ``batches`` are of, folder and namespace; empty where there are none.
        batches: of its journal, oldest first.
        files: contents by path below the data folder.
    """

    runs: dict[str, list[Any]] = field(default_factory=dict)
    place: list[Any] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def named(place: Place | None) -> list[Any]:
    """A memory as a parcel names it."""
    return [] if place is None else [place.folder, list(place.namespace)]


class Freight:
    """The files of one data folder, as far as they travel. Its calls follow one another."""

    def __init__(self, settings: Settings) -> None:
        """Use the data folder of ``settings``.

        Raises:
            InputError: its checkpoints cannot be opened.
        """
        self.data_dir = settings.data_dir
        self._settings = settings
        self._checkpoints = open_checkpoints(settings.checkpoints_path)
        self._memories: dict[str, ReasoningMemory] = {}

    def runs(self, threads: Sequence[str]) -> dict[str, list[Any]]:
        """The checkpoints of those threads that have any."""
        found = {thread: self._run(thread) for thread in threads}
        return {thread: rows for thread, rows in found.items() if rows}

    def batches(self, place: Place, mark: int) -> tuple[list[Any], int]:
        """Batches of a memory after a mark of its journal, and the mark of the last."""
        rows = history(self._memory(place).journal, "a cluster").since(place.namespace, mark)
        found = _BATCHES.dump_python([batch for _, batch in rows], mode="json")
        return found, max([mark, *(number for number, _ in rows)])

    def contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Files below the data folder."""
        return {path: (self.data_dir / path).read_bytes() for path in paths}

    def take_in(self, parcel: Parcel) -> None:
        """Write what a parcel holds; done again, it changes nothing.

        Files are written only where they are missing. Memory comes before checkpoints, as in a run.
        """
        for path, data in parcel.files.items():
            if not (self.data_dir / path).exists():
                _write(self.data_dir / path, data)
        if parcel.batches:
            folder, namespace = parcel.place
            memory = self._memory(Place(folder, tuple(namespace)))
            memory.repeat(_BATCHES.validate_python(parcel.batches))
        for thread, rows in parcel.runs.items():
            self._put(thread, rows)

    def forget(self, threads: Sequence[str]) -> None:
        """Delete checkpoints, which another has by now."""
        for thread in threads:
            self._checkpoints.delete_thread(thread)

    def close(self) -> None:
        """Release the files."""
        for memory in self._memories.values():
            memory.close()
        self._checkpoints.close()

    def _memory(self, place: Place) -> ReasoningMemory:
        if place.folder not in self._memories:
            where = str(self.data_dir / place.folder)
            opened = open_memory(self._settings.model_copy(update={"memory": where}))
            assert opened is not None, "it is a folder"
            self._memories[place.folder] = opened
        return self._memories[place.folder].with_namespace(place.namespace)

    def _run(self, thread: str) -> list[Any]:
        rows = list[Any]()
        for found in self._checkpoints.list(_at(thread)):
            parent = (found.parent_config or {"configurable": {}})["configurable"]
            space = found.config["configurable"]["checkpoint_ns"]
            writes = [list(write) for write in found.pending_writes or ()]
            before = parent.get("checkpoint_id")
            rows.append([space, before, found.checkpoint, found.metadata, writes])
        return rows[::-1]

    def _put(self, thread: str, rows: Sequence[Any]) -> None:
        for space, before, checkpoint, metadata, writes in rows:
            place = _at(
                thread, checkpoint_ns=space, **({"checkpoint_id": before} if before else {})
            )
            put = self._checkpoints.put(place, checkpoint, metadata, {})
            tasks: dict[str, list[tuple[str, Any]]] = {}
            for task_id, channel, value in writes:
                tasks.setdefault(task_id, []).append((channel, value))
            for task_id, own in tasks.items():
                self._checkpoints.put_writes(put, own, task_id)


class Arrivals:
    """Parcels that the driver is about to take in: whole or not at all, whenever it is killed.

    Memory and checkpoints are different files. Without this, a run that is begun again would find
    what it had learned itself.
    """

    def __init__(self, freight: Freight) -> None:
        """Take in what a killed driver left."""
        self._freight = freight
        self._folder = freight.data_dir / "arrivals"
        self._plain = PlainDataSerializer()
        for path in sorted(self._folder.glob("*.parcel")):
            kind, data = path.read_bytes().split(b"\n", 1)
            freight.take_in(Parcel(**self._plain.loads_typed((kind.decode(), data))))
            path.unlink()

    def take_in(self, parcel: Parcel) -> None:
        """Keep checkpoints and batches; durable, both or none, when this returns."""
        parcel = Parcel(parcel.runs, parcel.place, parcel.batches)
        if not parcel.batches:
            self._freight.take_in(parcel)
            return
        kind, data = self._plain.dumps_typed(asdict(parcel))
        name = hashlib.sha256("\0".join(parcel.runs).encode()).hexdigest()[:32]
        path = self._folder / f"{name}.parcel"
        _write(path, kind.encode() + b"\n" + data)
        self._freight.take_in(parcel)
        path.unlink()


def _at(thread: str, **where: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, **where}}


def _write(path: Path, data: bytes) -> None:
    private_folder(path.parent)
    write_bytes(path, data)
