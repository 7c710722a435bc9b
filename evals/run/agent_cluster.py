"""The agents of an evaluation on a cluster: a task goes to an actor, its sample and its run come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from vitarmm_agent.evals.cluster.actor import Errand
from vitarmm_agent.evals.cluster.actors import Actors
from vitarmm_agent.evals.cluster.parcels import Place
from vitarmm_agent.evals.cluster.session import Cluster, Session
from vitarmm_agent.evals.run.agents import Agents, arm_folder, stream_of, vote_thread
from vitarmm_agent.evals.run.arm_memory import NAMESPACE
from vitarmm_agent.evals.run.arms import LEARNING, Arm
from vitarmm_agent.evals.run.folder import EvaluationFolder
from vitarmm_agent.evals.run.recording import Task
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.run.teaching import shown_path
from vitarmm_agent.media import MediaStore
from vitarmm_agent.nodes.intake import store_images

if TYPE_CHECKING:
    from vitarmm_agent.settings import Settings


class AgentCluster:
    """What :class:`Agents` does, done by the actors of a cluster.

    Runs of one stream of problems stay with one actor while it lives; any other goes to the one that
    has the fewest under way.
    """

    def __init__(self, folder: EvaluationFolder, actors: Actors) -> None:
        """Use actors that are ready; see :meth:`open`."""
        self._folder, self._actors = folder, actors
        self._media = MediaStore(folder.data_dir / "media", local_files=True)

    @classmethod
    async def open(
        cls,
        cluster: Cluster,
        folder: EvaluationFolder,
        settings: Settings,
        *,
        runs: int,
        **choices: Any,
    ) -> Self:
        """Begin or join a cluster, and have each of its actors load the models.

        Args:
            cluster: where, and how many actors.
            folder: of the evaluation.
            settings: of every run.
            runs: at a time.
            choices: as those of :class:`Agents`.

        Raises:
            UserError: the cluster cannot be used, or a model cannot be loaded.
            InternalError: an actor was lost before it was ready.
        """
        session = Session(cluster)
        settings = settings.model_copy(update={"data_dir": folder.data_dir, "memory": None})
        opened = partial(_agents, choices)
        return cls(folder, await Actors.open(session, settings, opened, runs=runs))

    async def solve(self, task: Task) -> Sample:
        """As :meth:`Agents.solve`."""
        return await self._send(Agents.solve, task, (task.thread_id,))

    async def vote(self, task: Task, votes: int, cost_of: str) -> Sample:
        """As :meth:`Agents.vote`."""
        threads = tuple(vote_thread(task, number) for number in range(1, votes + 1))
        return await self._send(Agents.vote, task, threads, votes, cost_of)

    async def release(self, arm: Arm) -> None:
        """Nothing is held for an arm here; actors keep its files until they end."""

    def broken(self) -> str | None:
        """Why no actor is left, or None."""
        return self._actors.broken()

    def close(self) -> None:
        """End the actors and leave the cluster."""
        self._actors.close()

    async def _send(
        self,
        method: Callable[..., Awaitable[Sample]],
        task: Task,
        threads: tuple[str, ...],
        *more: Any,
    ) -> Sample:
        problem = await asyncio.to_thread(store_images, task.problem, self._media)
        read = [self._media.path(image) for image in problem.images]
        if task.arm.keeps == "shown":
            read.append(shown_path(self._folder.memories, task.arm))
        follows = task.arm.ordered or task.arm == LEARNING
        errand = Errand(
            method,
            (replace(task, problem=problem), *more),
            threads,
            _place(self._folder, task),
            tuple(str(path.relative_to(self._folder.data_dir)) for path in read),
            (task.arm.name, task.order) if follows else None,
        )
        sample: Sample = await self._actors.send(errand)
        return sample


def _place(folder: EvaluationFolder, task: Task) -> Place | None:
    """The memory that a task's run works with; None where it has none that is kept."""
    if not task.arm.loop or task.arm.keeps in ("nothing", "shown"):
        return None
    where = (folder.memories / arm_folder(task.arm, task.order)).relative_to(folder.data_dir)
    return Place(str(where), tuple(part.format(stream=stream_of(task)) for part in NAMESPACE))


def _agents(choices: dict[str, Any], settings: Settings) -> Agents:
    """The agents of one actor, on its own data folder."""
    return Agents(EvaluationFolder(settings.data_dir.parent), settings, **choices)
