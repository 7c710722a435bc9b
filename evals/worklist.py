"""A list of jobs that survives being killed: each finished one is a line in a ledger on disk."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from pydantic import ValidationError

from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.group_commit import GroupCommit, Piece, taken
from vitarmm_agent.json_text import parse_json
from vitarmm_agent.models.calls import on_reply
from vitarmm_agent.private import FILE, private_file, private_folder

logger = logging.getLogger(__name__)
PATIENCE = 3600.0
"""Seconds for which a model server that answers nobody is asked again."""
LONGEST_WAIT = 60.0
ALONE = 100
"""A job that failed so often while others were answered has a request that the server cannot bear."""
DENIED = (401, 402, 403, 404)
"""HTTP statuses that mean the same for every job: key, quota, or the model's name is wrong."""
PASSING = (408, 409, 425, 429)
"""HTTP statuses below 500 that may be gone at the next try."""


class Keyed(Protocol):
    """A pydantic model that has a name of its own in the ledger."""

    @property
    def key(self) -> str:
        """The job's name."""
        ...

    def model_dump_json(self) -> str:
        """The row as one line of JSON."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """The row from data."""
        ...


Row = TypeVar("Row", bound=Keyed)
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One thing to do: its name, and whatever doing it needs."""

    key: str
    payload: Any = None


Do = Callable[[Job], Awaitable[Row]]
Crashed = Callable[[Job, Exception], Row]


@dataclass
class _Server:
    """How the model server does, as all jobs of one run together see it.

    Attributes:
        answers: replies, and jobs done, so far.
        silent_since: when it first failed after its last answer; None while it answers.
    """

    answers: int = 0
    silent_since: float | None = None

    def answered(self) -> None:
        self.answers += 1
        self.silent_since = None

    def failed(self) -> None:
        if self.silent_since is None:
            self.silent_since = time.monotonic()

    def silent_for(self) -> float:
        """For how many seconds it has failed in a row."""
        return 0.0 if self.silent_since is None else time.monotonic() - self.silent_since


@dataclass(frozen=True)
class _Work(Generic[Row]):
    """What one call of :meth:`WorkList.run` was given."""

    do: Do[Row]
    crashed: Crashed[Row]
    time_limit: float | None
    on_row: Callable[[Row], None]
    stop: Callable[[], str | None]
    patience: float
    first_wait: float
    server: _Server = field(default_factory=_Server)
    why: list[str] = field(default_factory=list)

    def stopped(self) -> bool:
        """Whether no further job is begun; the first reason is kept."""
        if not self.why and (reason := self.stop()):
            self.why.append(reason)
        return bool(self.why)

    def gone(self) -> bool:
        """Whether the model server has failed for too long."""
        return self.server.silent_for() >= self.patience


@dataclass(eq=False)
class _Line(Piece[None]):
    """One line of the ledger."""

    data: bytes


class WorkList(Generic[Row]):
    """Jobs and their ledger: one line of JSON, synced to disk, for each finished job.

    Attributes:
        done: finished rows by key, in the order in which they were finished.
    """

    def __init__(
        self, path: Path, row: type[Row], *, again: Callable[[Row], bool] | None = None
    ) -> None:
        """Use the ledger ``path``, which may not exist yet; what is to be done ``again`` is not done.

        Raises:
            InputError: the file cannot be read, or a line that is not its last is no ``row``.
        """
        self.path = path
        rows = read_rows(path, row)
        self.done: dict[str, Row] = {r.key: r for r in rows if again is None or not again(r)}
        self._lines = GroupCommit[_Line](self._append)

    async def run(
        self,
        lanes: Sequence[Sequence[Job]],
        do: Do[Row],
        *,
        workers: int,
        crashed: Crashed[Row],
        time_limit: float | None = None,
        on_row: Callable[[Row], None] | None = None,
        stop: Callable[[], str | None] | None = None,
        patience: float = PATIENCE,
        first_wait: float = 1.0,
    ) -> str | None:
        """Do what is not done yet. Jobs of one lane follow one another; lanes go side by side.

        The lanes with most left to do begin first. Cancelling keeps what is finished and cancels
        what is under way.

        Args:
            lanes: jobs in order.
            do: does one job.
            workers: lanes at a time.
            crashed: the row of a job that raised, or went over its time.
            time_limit: seconds for one try of a job.
            on_row: is told of each row once it is on disk.
            stop: asked before each job; a reason ends the work after the jobs under way.
            patience: seconds for which a model server that answers no job is asked again, with
                growing pauses; one that answers others, but :data:`ALONE` times not this job, makes
                this job a crashed one.
            first_wait: the first of those pauses, in seconds.

        Returns:
            Why it stopped early, or None.

        Raises:
            InputError: ``workers`` is under 1, or another process works on the same ledger.
            ModelServerError: the server denies every request alike (key, quota, name of the model).
        """
        if workers < 1:
            raise InputError(f"workers must be 1 or more, got {workers}")
        work = _Work(
            do, crashed, time_limit, on_row or _ignore, stop or (lambda: None), patience, first_wait
        )
        left = [[job for job in lane if job.key not in self.done] for lane in lanes]
        queue = iter(sorted(filter(None, left), key=len, reverse=True))
        with (
            self._held(),
            on_reply(work.server.answered),
            ThreadPoolExecutor(1, thread_name_prefix="ledger") as disk,
        ):
            self._repair()
            try:
                await side_by_side(*(self._worker(queue, work, disk) for _ in range(workers)))
            finally:
                disk.submit(self._lines.finish).result()
        return work.why[0] if work.why else None

    async def _worker(
        self, queue: Iterator[list[Job]], work: _Work[Row], disk: ThreadPoolExecutor
    ) -> None:
        for lane in queue:
            for job in lane:
                if work.stopped():
                    return
                row = await self._one(job, work)
                if row is None:
                    return
                await self._keep(row, disk)
                work.on_row(row)

    async def _one(self, job: Job, work: _Work[Row]) -> Row | None:
        """The row of a job; None when its model server failed for too long."""
        try:
            return await _patiently(job, work)
        except ModelServerError as error:
            status = http_status(error)
            if status in DENIED:
                raise
            if not _may_pass(status) or not (work.gone() or work.why):
                return work.crashed(job, error)
            if not work.why:
                work.why.append(f"the model server failed for {work.patience:g} s: {error}")
            return None
        except Exception as error:  # one sample of an evaluation
            logger.warning("job %s crashed: %s", job.key, error, exc_info=True)
            return work.crashed(job, error)

    async def _keep(self, row: Row, disk: ThreadPoolExecutor) -> None:
        """Put a row on disk; rows that end together share one sync."""
        line = _Line(row.model_dump_json().encode() + b"\n")
        await self._lines.ajoin(line, disk, leaves=False)
        line.outcome()
        self.done[row.key] = row

    def _append(self, waiting: deque[_Line]) -> None:
        lines, failure = taken(waiting), ""
        try:
            private_file(self.path)
            with self.path.open("ab") as ledger:
                ledger.write(b"".join(line.data for line in lines))
                ledger.flush()
                os.fsync(ledger.fileno())
        except OSError as error:
            failure = f"{str(self.path)!r} cannot be written: {error.strerror}"
        for line in lines:
            line.fail(InputError(failure)) if failure else line.settle(None)

    def _repair(self) -> None:
        """Cut off what a killed process left torn, so that the next line begins anew."""
        if self.path.exists():
            os.truncate(self.path, whole_lines(self.path.read_bytes()))

    @contextmanager
    def _held(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        private_folder(self.path.parent)
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=0, mode=FILE)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"another process works on {str(self.path)!r}; wait for it, or use another folder"
            ) from None
        try:
            yield
        finally:
            lock.release()


async def side_by_side(*parts: Coroutine[Any, Any, T]) -> list[T]:
    """Do all parts at the same time; the first that raises cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _patiently(job: Job, work: _Work[Row]) -> Row:
    """Do a job; while its model server fails in a way that may pass, again."""
    from tenacity import (
        AsyncRetrying,
        RetryCallState,
        retry_if_exception,
        wait_exponential,
        wait_random,
    )

    alone, answers = 0, work.server.answers

    def enough(state: RetryCallState) -> bool:
        nonlocal alone, answers
        work.server.failed()
        alone += work.server.answers > answers
        answers = work.server.answers
        return work.gone() or alone >= ALONE or work.stopped()

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning("job %s, try %d: %s", job.key, state.attempt_number, error)

    tries = AsyncRetrying(
        retry=retry_if_exception(_server_may_come_back),
        wait=wait_exponential(work.first_wait, LONGEST_WAIT) + wait_random(0, work.first_wait),
        stop=enough,
        before_sleep=tell,
        reraise=True,
    )
    row: Row = await tries(_in_time, job, work)
    work.server.answered()
    return row


async def _in_time(job: Job, work: _Work[Row]) -> Row:
    try:
        async with asyncio.timeout(work.time_limit) as bound:
            return await work.do(job)
    except TimeoutError as error:
        if bound.expired():
            raise TimeoutError(f"it was not done within {work.time_limit:g} s") from error
        raise


def _server_may_come_back(error: BaseException) -> bool:
    return isinstance(error, ModelServerError) and _may_pass(http_status(error))


def _may_pass(status: int | None) -> bool:
    return status is None or status >= 500 or status in PASSING


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an error or one of its causes carries, or None."""
    link: BaseException | None = error
    seen = set[int]()
    while link is not None and id(link) not in seen:  # an error may be its own cause
        seen.add(id(link))
        status = getattr(link, "status_code", None)
        if isinstance(status, int):
            return status
        link = link.__cause__
    return None


def read_rows(path: Path, row: type[Row]) -> list[Row]:
    """The rows of a ledger, each once; a last line that a killed process left torn is dropped.

    Raises:
        InputError: the file cannot be read, or another line is no ``row``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    lines = enumerate(data[: whole_lines(data)].splitlines(), 1)
    return [*{(one := read_row(line, row, path, n)).key: one for n, line in lines}.values()]


def read_row(line: bytes, row: type[Row], path: Path, number: int) -> Row:
    """The row of one line of a ledger; raises :class:`InputError` where it is none."""
    try:
        return row.model_validate(parse_json(line))
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{str(path)!r} line {number} is no {row.__name__}: {reason}; it was changed by hand, "
            "or written by another version"
        ) from None


def whole_lines(data: bytes) -> int:
    """How many bytes of a ledger are whole lines of JSON: all but a torn end."""
    end = data.rfind(b"\n") + 1
    last = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    return end if _is_json(data[last:end]) else last


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except ValueError:
        return False
    return True


def _ignore(row: object) -> None:
    """Tell nobody."""
