"""Agents in several processes; the work list and its ledger stay in one.

A run costs its process some milliseconds of work for each model call (an OpenAI client, a graph with
checkpoints on disk), so that one process drives about a hundred calls a second at most, however many
workers wait for a fast server. Each further process loads the models itself and works on the same
files: checkpoints and memories may be open in several processes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Self

from vitarmm_agent.errors import InputError, InternalError, ModelServerError
from vitarmm_agent.evals.run.agents import Agents
from vitarmm_agent.evals.run.arms import LEARNING, Arm
from vitarmm_agent.evals.run.recording import Task
from vitarmm_agent.evals.run.samples import Sample
from vitarmm_agent.evals.worklist import http_status
from vitarmm_agent.redaction import redact_logs

logger = logging.getLogger(__name__)
CANCEL = "cancel"
READY = 0
"""The number of a child's first answer: that its agents are open, or why they are not."""
PATIENCE = 10.0
"""Seconds that a child may take to close its files."""

Open = Callable[[], Agents]
"""Opens the agents of one process; it is sent there, so it must be picklable."""


class AgentProcesses:
    """What :class:`Agents` does, done by several processes.

    Runs of one stream of problems stay in one process; any other goes to the process that has the
    fewest under way.
    """

    def __init__(self, children: list[_Child]) -> None:
        """Use processes that are ready; see :meth:`open`."""
        self._children = children
        self._streams: dict[tuple[str, int, str], _Child] = {}

    @classmethod
    async def open(cls, count: int, open_agents: Open) -> Self:
        """Start ``count`` processes, and wait until each has loaded its models.

        Raises:
            UserError: a model cannot be loaded.
            InternalError: a process ended before it was ready.
        """
        children = [_Child(open_agents) for _ in range(count)]
        processes = cls(children)
        try:
            for child in children:
                await child.ready
        except BaseException as error:
            processes.close()
            if isinstance(error, ModelServerError):
                raise InternalError(f"while models were loaded, {error}") from None
            raise
        return processes

    async def solve(self, task: Task) -> Sample:
        """As :meth:`Agents.solve`."""
        sample: Sample = await self._of(task).ask("solve", task)
        return sample

    async def vote(self, task: Task, votes: int, cost_of: str) -> Sample:
        """As :meth:`Agents.vote`."""
        sample: Sample = await self._of(task).ask("vote", task, votes, cost_of)
        return sample

    async def release(self, arm: Arm) -> None:
        """As :meth:`Agents.release`, in every process."""
        for child in self._alive():
            await child.ask("release", arm)

    def broken(self) -> str | None:
        """Why no process is left, or None."""
        return None if self._alive() else f"every process ended: {self._children[-1].end()}"

    def close(self) -> None:
        """Cancel what is under way, close the files and end the processes."""
        for child in self._children:
            child.hang_up()
        for child in self._children:
            child.join()

    def _alive(self) -> list[_Child]:
        return [child for child in self._children if child.alive]

    def _of(self, task: Task) -> _Child:
        alive = self._alive()
        if not alive:
            raise ModelServerError(self.broken())
        least = min(alive, key=lambda child: len(child.pending))
        if not (task.arm.ordered or task.arm == LEARNING):
            return least
        stream = (task.arm.name, task.order, task.benchmark)
        if self._streams.get(stream) not in alive:
            self._streams[stream] = least
        return self._streams[stream]


class _Child:
    """One process, and the calls that it has not answered yet."""

    def __init__(self, open_agents: Open) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, open_agents), daemon=True)
        with _importing_nothing_from_here():
            self._process.start()
        theirs.close()
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(READY + 1)
        self.alive = True
        self.ready: asyncio.Future[Any] = self._loop.create_future()
        self.pending: dict[int, asyncio.Future[Any]] = {READY: self.ready}
        threading.Thread(target=self._listen, name="agent-process", daemon=True).start()

    async def ask(self, method: str, *args: Any) -> Any:
        """Have a method of its agents called; returns or raises what that does."""
        number, answer = next(self._numbers), self._loop.create_future()
        self.pending[number] = answer
        try:
            self._send((number, method, args))
            return await answer
        except asyncio.CancelledError:
            self._send((number, CANCEL, ()))
            raise
        finally:
            self.pending.pop(number, None)

    def end(self) -> str:
        """In words, how the process ended."""
        self._process.join(1.0)
        return f"a process of the evaluation ended with exit code {self._process.exitcode}"

    def hang_up(self) -> None:
        """Tell it to end."""
        self._send(None)

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()

    def _send(self, call: Any) -> None:
        try:
            self._pipe.send(call)
        except OSError:  # the other end is gone; the listener tells those who wait
            logger.debug("a call to an ended process was dropped")

    def _listen(self) -> None:
        try:
            while True:
                self._tell(self._settle, *self._pipe.recv())
        except (EOFError, OSError):
            self._tell(self._gone)

    def _tell(self, function: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: nobody waits any more
            logger.debug("an answer came after the end")

    def _settle(self, number: int, value: Any, error: Exception | None) -> None:
        answer = self.pending.get(number)
        if answer is None or answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def _gone(self) -> None:
        self.alive = False
        for answer in self.pending.values():
            if not answer.done():
                answer.set_exception(ModelServerError(self.end()))


@contextmanager
def _importing_nothing_from_here() -> Iterator[None]:
    """Python begins such a child with ``-c``, which looks for modules in the working directory first."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]


def _serve(pipe: Connection, open_agents: Open) -> None:
    """The whole life of a child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is over
    redact_logs()
    try:
        agents = open_agents()
    except Exception as error:
        pipe.send((READY, None, portable(error)))
        return
    try:
        asyncio.run(_answer_all(pipe, agents))
    finally:
        agents.close()


async def _answer_all(pipe: Connection, agents: Agents) -> None:
    calls: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        call: Any = READY
        while call is not None:
            try:
                call = pipe.recv()
            except (EOFError, OSError):  # the parent is gone
                call = None
            loop.call_soon_threadsafe(calls.put_nowait, call)

    threading.Thread(target=listen, name="calls", daemon=True).start()
    under_way: dict[int, asyncio.Task[None]] = {}
    pipe.send((READY, None, None))
    while (call := await calls.get()) is not None:
        number, method, args = call
        if method != CANCEL:
            under_way[number] = asyncio.create_task(_call(agents, method, args))
            under_way[number].add_done_callback(partial(_answer, pipe, under_way, number))
        elif number in under_way:
            under_way[number].cancel()
    for task in [*under_way.values()]:
        task.cancel()
    await asyncio.gather(*under_way.values(), return_exceptions=True)


async def _call(agents: Agents, method: str, args: tuple[Any, ...]) -> Any:
    return await getattr(agents, method)(*args)


def _answer(
    pipe: Connection,
    under_way: dict[int, asyncio.Task[Any]],
    number: int,
    task: asyncio.Task[Any],
) -> None:
    """Tell the parent what came of a call, unless it was the parent who cancelled it."""
    del under_way[number]
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, Exception):
        pipe.send((number, None, portable(error)))
    elif error is None:
        pipe.send((number, task.result(), None))


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


def check_count(count: int, workers: int) -> None:
    """Refuse a number of processes that cannot be used.

    Raises:
        InputError: it is under 1, or there are fewer workers than processes.
    """
    if not 1 <= count <= workers:
        raise InputError(f"processes must be from 1 to the workers ({workers}), got {count}")
