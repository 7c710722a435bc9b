"""The problems of a simulation on a cluster: a problem goes to an actor, its row and its run come back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

from vitarmm_agent.evals.cluster.actor import Errand
from vitarmm_agent.evals.cluster.actors import Actors
from vitarmm_agent.evals.cluster.parcels import Place
from vitarmm_agent.evals.cluster.session import Cluster, Session
from vitarmm_agent.evals.writers.trials import Probe
from vitarmm_agent.media import MediaStore
from vitarmm_agent.nodes.intake import store_images
from vitarmm_agent.training.sampling import ProblemDrawn
from vitarmm_agent.training.simulated import SimulatedRow, SimulationConfig
from vitarmm_agent.training.simulator import (
    LANES,
    NAMESPACE,
    Baselines,
    Simulator,
    memory_folder,
    thread_of,
)

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings


class SimulatorCluster:
    """What :class:`Simulator` does, done by the actors of a cluster. A lane stays with one actor."""

    def __init__(self, config: SimulationConfig, settings: Settings, actors: Actors) -> None:
        """Use actors that are ready; see :meth:`open`."""
        self._actors, self._namespace = actors, NAMESPACE if config.lanes == 1 else LANES
        self._media = MediaStore(settings.media_dir, local_files=True)
        self._data_dir = settings.data_dir

    @classmethod
    async def open(
        cls,
        cluster: Cluster,
        config: SimulationConfig,
        baselines: Baselines,
        settings: Settings,
        *,
        runs: int,
    ) -> Self:
        """Begin or join a cluster, and have each of its actors load the models.

        Args:
            cluster: where, and how many actors.
            config: what is run.
            baselines: attempts with an empty memory that were made before.
            settings: the simulation's own.
            runs: problems at a time.

        Raises:
            UserError: the cluster cannot be used, or a model cannot be loaded.
            InternalError: an actor was lost before it was ready.
        """
        opened = partial(Simulator.open, config, baselines)
        session = Session(cluster)
        return cls(config, settings, await Actors.open(session, settings, opened, runs=runs))

    async def row(
        self, task: ProblemDrawn, similar: Sequence[Probe], lane: int = 0
    ) -> SimulatedRow:
        """As :meth:`Simulator.row`."""
        problem, *others = [
            await asyncio.to_thread(store_images, one, self._media)
            for one in (task.problem, *(probe.problem for probe in similar))
        ]
        probes = [
            probe.model_copy(update={"problem": stored})
            for probe, stored in zip(similar, others, strict=True)
        ]
        images = [image for one in (problem, *others) for image in one.images]
        errand = Errand(
            Simulator.row,
            (replace(task, problem=problem), probes, lane),
            (thread_of(task),),
            Place(
                memory_folder(task.held_out), tuple(p.format(lane=lane) for p in self._namespace)
            ),
            tuple(str(self._media.path(image).relative_to(self._data_dir)) for image in images),
            (task.held_out, lane),
        )
        row: SimulatedRow = await self._actors.send(errand)
        return row

    def broken(self) -> str | None:
        """Why no actor is left, or None."""
        return self._actors.broken()

    def close(self) -> None:
        """End the actors and leave the cluster."""
        self._actors.close()
