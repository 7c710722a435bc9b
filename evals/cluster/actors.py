"""The driver's side of a cluster: which actor does what, and what happens when one is lost.

Ray places actors and says when one is gone. The driver begins another in its place and has the errand
done again, alone in its actor the second time: one that kills whatever does it takes no other with it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vitarmm_agent.clip import one_line
from vitarmm_agent.errors import InputError, InternalError, ModelServerError
from vitarmm_agent.evals.cluster.actor import (
    Actor,
    Errand,
    ErrandReply,
    OpenWorker,
    differences,
    facts,
)
from vitarmm_agent.evals.cluster.parcels import Arrivals, Freight, Parcel, Place, named
from vitarmm_agent.evals.cluster.session import WORDS, Session
from vitarmm_agent.evals.worklist import side_by_side

if TYPE_CHECKING:
    from ray.exceptions import RayError

    from vitarmm_agent.settings import Settings

logger = logging.getLogger(__name__)
T = TypeVar("T")
TRIES = 3
"""Actors that one errand may cost before it counts as crashed."""
ROOM_WITHIN = 120.0
"""Seconds in which Ray must find room for an actor at the start, and begin its process."""
NOBODY = 120.0
"""Seconds without any actor after which the work ends."""
LOOK = 5.0
"""Seconds after which one who waits looks again."""
GOODBYE = 10.0
"""Seconds that actors may take to close their files."""


@dataclass(eq=False)
class _Begun:
    """One actor, and what it was sent.

    Attributes:
        handle: Ray's.
        marks: by memory, up to which batch of the driver's journal it has it.
        files: by path.
    """

    handle: Any
    marks: dict[Place, int] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


@dataclass(eq=False)
class _Seat:
    """The place of one actor, which may be lost and replaced.

    Attributes:
        actor: who has it now.
        ready: that one has loaded its models.
        busy: errands under way.
        alone: kept for one errand.
        failure: why there will be no actor any more.
    """

    actor: _Begun
    ready: bool = False
    busy: int = 0
    alone: bool = False
    failure: str = ""


class Actors:
    """Actors that do errands. Everything they leave is on the driver's disk when :meth:`send` returns."""

    def __init__(
        self, session: Session, settings: Settings, open_worker: OpenWorker, runs: int
    ) -> None:
        """Use :meth:`open`."""
        self._session, self._settings, self._open_worker = session, settings, open_worker
        self._runs, self._facts = runs, facts()
        self._freight = Freight(settings)
        self._arrivals = Arrivals(self._freight)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="freight")
        self._seats = [_Seat(self._new()) for _ in range(session.cluster.actors)]
        self._streams: dict[Hashable, _Seat] = {}
        self._changed = asyncio.Condition()
        self._replacing = set[asyncio.Task[None]]()
        self._nobody_since: float | None = None

    @classmethod
    async def open(
        cls, session: Session, settings: Settings, open_worker: OpenWorker, *, runs: int
    ) -> Self:
        """Start the actors, and wait until each has loaded its models.

        Args:
            session: says how many actors, and is closed with them.
            settings: of the driver; checkpoints and memories of its data folder travel.
            open_worker: opens what does the errands, on the settings of an actor.
            runs: errands at a time, all actors together.

        Raises:
            InputError: there is no room for them, or a node runs other code.
            UserError: a model cannot be loaded.
            InternalError: an actor was lost before it was ready.
        """
        from ray.exceptions import RayError

        try:
            actors = cls(session, settings, open_worker, runs)
        except BaseException:
            session.close()
            raise
        try:
            await side_by_side(*(actors._make_ready(seat, ROOM_WITHIN) for seat in actors._seats))
        except RayError as error:
            actors.close()
            raise _not_begun(error) from None
        except BaseException:
            actors.close()
            raise
        return actors

    async def send(self, errand: Errand) -> Any:
        """Have an errand done; returns or raises what the worker does.

        Raises:
            InternalError: it cost several actors.
            ModelServerError: no actor is left.
        """
        from ray.exceptions import RayActorError

        reason = ""
        for lost in range(TRIES):
            seat = await self._take(errand.stream, alone=lost > 0)
            actor = seat.actor
            try:
                return await self._done_by(actor, errand)
            except RayActorError as error:
                reason = why(error)
                logger.warning("an actor was lost at %s: %s", ", ".join(errand.threads), reason)
                self._replace(seat, actor, reason)
            finally:
                await self._leave(seat, alone=lost > 0)
        raise InternalError(f"each of {TRIES} actors that did it was lost, the last one: {reason}")

    def broken(self) -> str | None:
        """Why nothing can be done any more, or None."""
        if any(seat.ready for seat in self._seats):
            self._nobody_since = None
            return None
        failures = [seat.failure for seat in self._seats if seat.failure]
        self._nobody_since = self._nobody_since or time.monotonic()
        waited = time.monotonic() - self._nobody_since
        if len(failures) < len(self._seats) and waited < NOBODY:
            return None
        room = failures[-1] if failures else f"none could be started again for {waited:.0f} s"
        return f"no actor of the cluster is left: {room}"

    def close(self) -> None:
        """End the actors, release the files and leave the cluster."""
        import ray

        for task in self._replacing:
            task.cancel()
        actors = [seat.actor.handle for seat in self._seats]
        with suppress(Exception):  # whatever keeps one from ending: it is killed
            ray.wait(
                [actor.close.remote() for actor in actors], num_returns=len(actors), timeout=GOODBYE
            )
        for actor in actors:
            ray.kill(actor)
        self._disk.shutdown()
        self._freight.close()
        self._session.close()

    # one errand

    async def _done_by(self, actor: _Begun, errand: Errand) -> Any:
        parcel, mark = await self._off_loop(self._pack, actor, errand)
        reply: ErrandReply = await _answer(actor.handle.do.remote(errand, parcel))
        actor.files |= parcel.files.keys()
        await asyncio.shield(self._off_loop(self._take_in, actor, errand, reply.parcel, mark))
        if reply.error is not None:
            raise reply.error
        return reply.value

    def _pack(self, actor: _Begun, errand: Errand) -> tuple[Parcel, int]:
        """What an actor lacks of what the errand needs, and the mark of the last batch it then has."""
        place, batches, mark = errand.place, list[Any](), 0
        if place is not None:
            batches, mark = self._freight.batches(place, actor.marks.get(place, 0))
        files = self._freight.contents(path for path in errand.files if path not in actor.files)
        return Parcel(self._freight.runs(errand.threads), named(place), batches, files), mark

    def _take_in(self, actor: _Begun, errand: Errand, parcel: Parcel, mark: int) -> None:
        self._arrivals.take_in(parcel)
        if errand.place is not None:
            actor.marks[errand.place] = self._freight.batches(errand.place, mark)[1]

    # seats

    async def _take(self, stream: Hashable, *, alone: bool) -> _Seat:
        """A seat for an errand: that of its stream, or the one with the least to do."""
        async with self._changed:
            seat = await self._when(lambda: self._free(stream))
            while alone and not await self._emptied(seat):
                seat = await self._when(lambda: self._free(stream))
            seat.busy += 1
            return seat

    async def _emptied(self, seat: _Seat) -> bool:
        """Keep a seat for one errand, and wait for the others; whether there is an actor then."""
        seat.alone = True
        try:
            await self._when(lambda: bool(seat.failure) or (seat.ready and not seat.busy))
        except BaseException:
            seat.alone = False
            raise
        seat.alone = seat.ready
        return seat.ready

    async def _leave(self, seat: _Seat, *, alone: bool) -> None:
        seat.busy -= 1
        seat.alone = seat.alone and not alone
        async with self._changed:
            self._changed.notify_all()

    def _free(self, stream: Hashable) -> _Seat | None:
        free = [seat for seat in self._seats if seat.ready and not seat.alone]
        if not free:
            return None
        least = min(free, key=lambda seat: seat.busy)
        if stream is None:
            return least
        if self._streams.get(stream) not in free:
            self._streams[stream] = least
        return self._streams[stream]

    async def _when(self, found: Callable[[], T | None]) -> T:
        """What is found, as soon as something is; the lock is held."""
        while not (value := found()):
            if reason := self.broken():
                raise ModelServerError(reason)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._changed.wait()
        return value

    def _replace(self, seat: _Seat, actor: _Begun, reason: str) -> None:
        """Begin another actor in place of one, unless another errand saw to it."""
        import ray

        if seat.actor is not actor:
            return
        ray.kill(actor.handle)  # it may only have been out of reach
        seat.actor, seat.ready = self._new(), False
        task = asyncio.create_task(self._begin_again(seat, reason))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _begin_again(self, seat: _Seat, reason: str) -> None:
        from ray.exceptions import RayError

        for _ in range(TRIES):
            try:
                await self._make_ready(seat, None)
            except RayError as error:
                reason, seat.actor = why(error), self._new()
                continue
            except Exception as error:  # whatever keeps it from loading: told when nobody is left
                reason = str(error)
            break
        if not seat.ready:
            seat.failure = reason
            logger.error("an actor cannot be started again: %s", reason)
        async with self._changed:
            self._changed.notify_all()

    def _new(self) -> _Begun:
        import ray

        gpus = self._session.cluster.gpus_per_actor
        options = {"max_concurrency": self._runs + 4, "scheduling_strategy": "SPREAD"}
        made = ray.remote(Actor).options(num_cpus=1, num_gpus=gpus, max_restarts=0, **options)
        return _Begun(made.remote())

    async def _make_ready(self, seat: _Seat, room_within: float | None) -> None:
        try:
            async with asyncio.timeout(room_within):
                theirs = await seat.actor.handle.facts.remote()
        except TimeoutError:
            raise InputError(
                f"there was no room for {len(self._seats)} actors within {room_within:g} s: "
                f"{self._session.room()}; ask for fewer actors, or wait for others to end"
            ) from None
        if other := differences(self._facts, theirs):
            raise InputError(
                f"node {theirs['node']} of the cluster runs {other}; install the same on all nodes"
            )
        failed = await seat.actor.handle.open.remote(self._open_worker, self._settings)
        if failed is not None:
            raise failed
        seat.ready = True

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, function, *args)


async def _answer(asked: Any) -> Any:
    """What a call of an actor returns; cancelled, it is cancelled there too."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return await asked
    except RayTaskError as error:
        raise error.cause from None
    except asyncio.CancelledError:
        ray.cancel(asked)
        raise


def _not_begun(error: RayError) -> Exception:
    """The error of an actor that was lost before it was ready."""
    missing = re.search(r"No module named '[\w.]+'", str(error))
    if missing:
        return InputError(
            f"a node of the cluster cannot run this: {missing[0]}; install "
            '"vitarmm-agent[cluster]" of the same version on all nodes'
        )
    return InternalError(f"an actor was lost before it was ready: {why(error)}")


def why(error: BaseException) -> str:
    """Why an actor was lost, in a line."""
    text = one_line(str(error), WORDS)
    return text.partition("The actor is dead because ")[2][:200] or text[:200]
