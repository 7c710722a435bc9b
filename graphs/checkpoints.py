"""SQLite checkpoints for sync and async runs alike."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.sqlite import SqliteSaver

from vitarmm_agent.errors import InputError, UserError
from vitarmm_agent.graphs.any_checkpoints import REMARKS, Checkpoints
from vitarmm_agent.graphs.checkpoint_files import (
    UNREADABLE,
    CheckpointSums,
    plain_tables,
    warn_of_damage,
)
from vitarmm_agent.graphs.serializers import (
    SCHEMA,
    PartedSerializer,
    PlainDataSerializer,
    forget_parts,
)
from vitarmm_agent.group_commit import GroupCommit, Piece, taken
from vitarmm_agent.memory_store.store import sqlite_file
from vitarmm_agent.memory_store.store.sqlite_file import FAULTS
from vitarmm_agent.private import FILE, private_file, private_folder

BUSY_SECONDS = 60
T = TypeVar("T")


class SqliteCheckpoints(Checkpoints, SqliteSaver):
    """LangGraph's ``SqliteSaver`` with its async methods, which run in one worker thread.

    The saver's lock lets one call through at a time anyway: one thread of our own keeps the others of
    the process free, and a call takes well under a millisecond. Asynchronous writes that wait at
    the same time share one transaction; each returns when its own is committed.
    """

    def __init__(
        self, conn: sqlite3.Connection, *, serde: SerializerProtocol | None = None
    ) -> None:
        """Use an open connection that may be used from several threads.

        Args:
            conn: of the file.
            serde: default: plain data and messages only; a graph whose state holds objects of other
                classes needs one that knows them.
        """
        self._parts = PartedSerializer(serde or PlainDataSerializer(), conn)
        super().__init__(conn, serde=self._parts)
        self._sums = CheckpointSums(conn)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._together = GroupCommit[_Write](self._write_group)
        self._grouping = threading.local()

    def setup(self) -> None:
        """Make the tables that are missing."""
        if not self.is_setup:
            super().setup()
            self.conn.execute(SCHEMA)
            self.conn.execute(REMARKS)
            self._sums.prepare()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As in the base class; what the thread holds already is kept once."""
        with self._kept(config, [checkpoint]) as cursor:
            kept = super().put(config, checkpoint, metadata, new_versions)
            self._sums.note(cursor, "checkpoints", kept)
            return kept

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As in the base class; what the thread holds already is kept once."""
        with self._kept(config, [value for _, value in writes]) as cursor:
            super().put_writes(config, writes, task_id, task_path)
            self._sums.note(cursor, "writes", config)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As in the base class; what is not as it was written is refused."""
        with _telling(self.conn, of_reading=True):
            found = super().get_tuple(config)
            if found is not None:
                self._sums.check(found.config)
        return found

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As in the base class; what is not as it was written is refused."""
        with _telling(self.conn, of_reading=True):
            for found in super().list(config, filter=filter, before=before, limit=limit):
                self._sums.check(found.config)
                yield found

    def delete_thread(self, thread_id: str) -> None:
        """As in the base class; the space is used again, and given back by :meth:`shrink`."""
        with self._alone() as cursor:
            super().delete_thread(thread_id)
            forget_parts(cursor, str(thread_id))
            cursor.execute("DELETE FROM remarks WHERE thread_id = ?", (str(thread_id),))

    def remarks(self, thread_id: str | None = None) -> dict[str, str]:
        """As in the base class; an older file, that is only looked at, holds none."""
        with _telling(self.conn, of_reading=True):
            tables = self.conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'remarks'")
            if tables.fetchone() is None:
                return {}
            rows = self.conn.execute(
                "SELECT thread_id, text FROM remarks WHERE thread_id = coalesce(?, thread_id)",
                (thread_id,),
            )
            return {str(thread): str(text) for thread, text in rows.fetchall()}

    def remark(self, thread_id: str, text: str) -> None:
        """As in the base class."""
        with self._alone() as cursor:
            cursor.execute("DELETE FROM remarks WHERE thread_id = ?", (thread_id,))
            if text:
                cursor.execute("INSERT INTO remarks VALUES (?, ?)", (thread_id, text))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete all checkpoints, with their writes, whose metadata names one of these LangGraph runs."""
        for run_id in run_ids:
            self._delete("json_extract(CAST(metadata AS TEXT), '$.run_id') = ?", str(run_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all checkpoints of these threads but the last of each place in the graph.

        Args:
            thread_ids: which threads.
            strategy: ``keep_latest``, or ``delete``, which keeps none.

        Raises:
            InputError: another strategy.
        """
        self.check_strategy(strategy)
        for thread_id in map(str, thread_ids):
            if strategy == "delete":
                self.delete_thread(thread_id)
            else:
                self._delete(
                    "thread_id = ? AND checkpoint_id < (SELECT max(checkpoint_id) FROM checkpoints "
                    "AS other WHERE other.thread_id = checkpoints.thread_id "
                    "AND other.checkpoint_ns = checkpoints.checkpoint_ns)",
                    thread_id,
                )

    def shrink(self) -> bool:
        """Give the space of what was deleted back to the disk; whether nobody was writing meanwhile."""
        try:
            sqlite_file.vacuum(self.conn)
        except sqlite3.OperationalError:
            return False
        return True

    def spare(self) -> float:
        """The share of the file that :meth:`shrink` would give back."""
        find = (
            "SELECT freelist_count * 1.0 / page_count FROM pragma_freelist_count, pragma_page_count"
        )
        return float(self.conn.execute(find).fetchone()[0])

    @contextmanager
    def _kept(self, config: RunnableConfig, values: Sequence[Any]) -> Iterator[sqlite3.Cursor]:
        """Have values written in parts, in one transaction with them."""
        thread_id = str(config["configurable"]["thread_id"])
        with self._alone() as cursor, self._parts.kept(cursor, thread_id, values):
            yield cursor

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Cursor]:
        """One transaction, which no other process writes into, for all that is done within.

        Within another it is that one.
        """
        if getattr(self._grouping, "on", False):
            yield self.conn.cursor()
            return
        with _telling(self.conn), super().cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            self._grouping.on = True
            try:
                yield cursor
            except BaseException:
                self.conn.rollback()
                raise
            finally:
                self._grouping.on = False

    def _delete(self, which: str, value: str) -> None:
        """Delete the checkpoints that a condition with one value names, and what they alone need."""
        with self._alone() as cursor:
            rows = cursor.execute(
                f"SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints WHERE {which}",
                (value,),
            ).fetchall()
            for table in ("checkpoints", "writes"):
                cursor.executemany(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? "
                    "AND checkpoint_id = ?",
                    rows,
                )
            for thread_id in {row[0] for row in rows}:
                forget_parts(cursor, thread_id)

    def close(self) -> None:
        """Finish what is under way and close the file."""
        self.worker.shutdown()
        self._together.finish()  # what a cancelled caller left
        self.conn.close()

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As in the base class; within a group of writes, the group holds the lock and commits."""
        if not getattr(self._grouping, "on", False):
            with _telling(self.conn), super().cursor(transaction) as cursor:
                yield cursor
            return
        cursor = self.conn.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    async def write_off_loop(self, function: Callable[..., T], *args: Any) -> T:
        """Carry out a write in the worker, in one transaction with all that wait by then."""
        write = _Write(lambda: function(*args))
        await self._together.ajoin(write, self.worker, leaves=False)
        done: T = write.outcome()
        return done

    def _write_group(self, waiting: deque[_Write]) -> None:
        group = taken(waiting)
        try:
            with self._alone():
                for write in group:
                    write.carry_out()
        except (sqlite3.Error, UserError) as error:  # of the commit: nothing was written
            self.conn.rollback()
            for write in group:
                write.fail(write.error or error)


@dataclass(eq=False)
class _Write(Piece[Any]):
    """One write that waits, and what came of it."""

    function: Callable[[], Any]

    def carry_out(self) -> None:
        try:
            self.settle(self.function())
        except Exception as error:  # raised again in the coroutine that waits
            self.fail(error)


def open_checkpoints(path: Path) -> SqliteCheckpoints:
    """Open, or make, the checkpoint file; several processes may have it open, and open it at once.

    A killed process loses nothing that was written. A power cut may lose the newest checkpoints,
    never the file: the log is brought to the disk at SQLite's own checkpoints only (WAL with
    ``synchronous=NORMAL``). The run then goes on from an earlier one, and what it had written to
    memory, which is brought to the disk at once, is not written twice.

    Raises:
        InputError: the folder cannot be written or the file is no SQLite database.
    """
    from filelock import FileLock

    try:
        private_folder(path.parent)
        private_file(path)
        connection = sqlite3.connect(path, check_same_thread=False, timeout=BUSY_SECONDS)
        plain_tables(connection, path)
        sqlite_file.check_structure(connection, path)
        connection.execute("PRAGMA synchronous=NORMAL")
        checkpoints = SqliteCheckpoints(connection)
        # SQLite refuses at once, without waiting, to change to WAL where another is at it.
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=BUSY_SECONDS, mode=FILE):
            checkpoints.setup()
    except FAULTS as error:
        raise InputError(f"traces in {str(path)!r} {_words(error)}") from None
    except OSError as error:
        raise InputError(
            f"traces cannot be kept in {str(path)!r}: {error}; check the folder, or set "
            "VITARMM_DATA_DIR to another"
        ) from None
    return checkpoints


def read_checkpoints(path: Path) -> SqliteCheckpoints:
    """Open a checkpoint file only to look at it, such as one that was mailed; nothing is written.

    Raises:
        InputError: it is not there, or is no file of checkpoints.
    """
    path = path.resolve()
    # Beside a file that nobody has open, SQLite would make two more to read it.
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=ro{alone}", uri=True, check_same_thread=False,
            timeout=BUSY_SECONDS,
        )  # fmt: skip
        if not {"checkpoints", "writes"} <= plain_tables(connection, path):
            raise InputError(
                f"{str(path)!r} holds no traces; name a file of checkpoints, or move it away, and "
                "new runs begin one"
            )
        warn_of_damage(connection, path)
    except (OSError, *FAULTS) as error:
        raise InputError(f"traces in {str(path)!r} {_words(error)}") from None
    checkpoints = SqliteCheckpoints(connection)
    checkpoints.is_setup = True
    return checkpoints


@contextmanager
def _telling(connection: sqlite3.Connection, *, of_reading: bool = False) -> Iterator[None]:
    """Say in an error of ours what is wrong with the file, and what to do.

    Args:
        connection: of the file.
        of_reading: what cannot be decoded is damage, too.

    Raises:
        InputError: it is damaged, or cannot be written or read.
    """
    try:
        yield
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"traces in {_file(connection)!r} {_words(error)}") from error
    except UNREADABLE as error:
        if not of_reading:
            raise
        raise InputError(
            f"a checkpoint in {_file(connection)!r} is damaged ({type(error).__name__}: {error}); "
            "begin the run anew, or bring back a copy of the file"
        ) from error


def _words(error: Exception) -> str:
    """What is wrong with a file of traces, and what to do."""
    if not sqlite_file.is_damage(error):
        return f"cannot be kept or read: {error}; check that the disk has space and can be written"
    return (
        f"are damaged: {error}; bring back a copy of the file, or move it away: new runs begin "
        "another. What it still holds, `vitarmm trace list` shows"
    )


def _file(connection: sqlite3.Connection) -> str:
    try:
        return str(connection.execute("PRAGMA database_list").fetchone()[2])
    except FAULTS:
        return "the file"
