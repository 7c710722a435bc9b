"""Checkpoints in a team's Postgres database."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from psycopg import Cursor
from psycopg.rows import DictRow, dict_row

from vitarmm_agent.graphs.any_checkpoints import REMARKS, Checkpoints, heads_sql
from vitarmm_agent.graphs.serializers import PlainDataSerializer
from vitarmm_agent.postgres.database import CONNECTIONS, Postgres

_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


class PostgresCheckpoints(Checkpoints, PostgresSaver):
    """LangGraph's ``PostgresSaver`` on a few connections, with its async methods in as many threads."""

    def __init__(self, database: Postgres) -> None:
        """Keep checkpoints in ``database``; the tables are made when they are missing.

        Raises:
            DatabaseError: the database cannot be used, or another version made its tables.
        """
        super().__init__(None, serde=_OfText(PlainDataSerializer()))  # type: ignore[arg-type]
        self._database = database
        self.worker = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="checkpoints")
        self.setup()

    def setup(self) -> None:
        """Make the tables that are missing."""
        known, found = len(self.MIGRATIONS) - 1, self._migration()
        if found < known:
            with self._database.alone("checkpoints"):
                if self._migration() < known:
                    super().setup()
                    with self._cursor() as cursor:
                        cursor.execute(REMARKS)
        else:
            self._database.check_version("checkpoint_migrations", found, known)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As in the base class; also what Postgres's JSON cannot hold."""
        values = {k: _storable(v) for k, v in checkpoint["channel_values"].items()}
        return super().put(config, {**checkpoint, "channel_values": values}, metadata, new_versions)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As in the base class; no connection is held while they are gone through."""
        found = super().list(config, filter=filter, before=before, limit=limit)
        return iter([*found])

    def heads(self) -> list[tuple[str, str, str]]:  # type: ignore[valid-type]
        """Each thread with its first checkpoint, and what changes whenever the thread does."""
        with self._cursor() as cursor:
            rows = cursor.execute(heads_sql("checkpoint_writes")).fetchall()
        return [(row["id"], row["born"], row["version"]) for row in rows]

    def checkpoint_ids(self, thread_id: str) -> list[str]:  # type: ignore[valid-type]
        """Ids of a thread's own checkpoints, newest first; none is decoded."""
        with self._cursor() as cursor:
            rows = cursor.execute(
                "SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = '' "
                "ORDER BY checkpoint_id DESC",
                (thread_id,),
            ).fetchall()
        return [row["checkpoint_id"] for row in rows]

    def remarks(self, thread_id: str | None = None) -> dict[str, str]:
        """What people noted of runs, of one or of all: thread → text; as far as this role may read it."""
        with self._cursor() as cursor:
            if not self._has("remarks", cursor):
                return {}
            rows = cursor.execute(
                "SELECT thread_id, text FROM remarks WHERE thread_id = coalesce(%s, thread_id)",
                (thread_id,),
            ).fetchall()
        return {row["thread_id"]: row["text"] for row in rows}

    def remark(self, thread_id: str, text: str) -> None:
        """Keep what a person notes of a run, in place of what was noted before; nothing for ""."""
        with self._cursor() as cursor, cursor.connection.transaction():
            if not self._has("remarks", cursor):  # a database of an earlier version
                if not text:
                    return
                cursor.execute(REMARKS)
            cursor.execute("DELETE FROM remarks WHERE thread_id = %s", (thread_id,))
            if text:
                cursor.execute("INSERT INTO remarks VALUES (%s, %s)", (thread_id, text))

    def delete_thread(self, thread_id: str) -> None:
        """As in the base class, and what was noted of it."""
        super().delete_thread(thread_id)
        self.remark(str(thread_id), "")

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As in the base class.

        Raises:
            InputError: another strategy than ``keep_latest`` or ``delete``.
        """
        self.check_strategy(strategy)
        super().prune(thread_ids, strategy=strategy)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete all checkpoints, with their writes, whose metadata names one of these LangGraph runs."""
        with self._cursor() as cursor, cursor.connection.transaction():
            found = cursor.execute(
                "DELETE FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s) "
                "RETURNING thread_id, checkpoint_ns, checkpoint_id",
                ([*map(str, run_ids)],),
            ).fetchall()
            cursor.executemany(
                "DELETE FROM checkpoint_writes WHERE thread_id = %s AND checkpoint_ns = %s "
                "AND checkpoint_id = %s",
                [(row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"]) for row in found],
            )
            cursor.execute(
                "DELETE FROM checkpoint_blobs b WHERE thread_id = ANY(%s) AND NOT EXISTS ("
                "SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id "
                "AND c.checkpoint_ns = b.checkpoint_ns "
                "AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)",
                (sorted({row["thread_id"] for row in found}),),
            )

    def shrink(self) -> bool:
        """Have the space of what was deleted used again; the server does so by itself, too."""
        with self._database.connection() as connection:
            connection.execute(f"VACUUM {', '.join(_TABLES)}")
        return True

    def spare(self) -> float:
        """None that the server does not use again by itself."""
        return 0.0

    def close(self) -> None:
        """Finish what is under way; the database closes when nobody uses it any more."""
        self.worker.shutdown()

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:
        """A cursor on a connection of its own; what is sent in a pipeline is one transaction."""
        with self._database.connection() as connection:
            if not pipeline:
                with connection.cursor(binary=True, row_factory=dict_row) as cursor:
                    yield cursor
                return
            with (
                connection.pipeline(),
                connection.transaction(),
                connection.cursor(binary=True, row_factory=dict_row) as cursor,
            ):
                yield cursor

    def _has(self, table: str, cursor: Cursor[DictRow]) -> bool:
        """Whether there is a table that this role may read."""
        find = "SELECT has_table_privilege(to_regclass(%s)::oid, 'SELECT') AS may"
        found = cursor.execute(find, (table,)).fetchone()
        return bool(found and found["may"])

    def _migration(self) -> int:
        """Up to which the tables were made; -1: there are none."""
        with self._cursor() as cursor:
            if not self._has("checkpoint_migrations", cursor):
                return -1
            row = cursor.execute("SELECT max(v) AS v FROM checkpoint_migrations").fetchone()
        return -1 if row is None or row["v"] is None else int(row["v"])


class _Kept:
    """A plain value that Postgres's JSON has no place for, and that is kept as bytes therefore."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _OfText(SerializerProtocol):
    """A serializer that writes what :class:`_Kept` holds in its place."""

    def __init__(self, inner: SerializerProtocol) -> None:
        self._inner = inner

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self._inner.dumps_typed(obj.value if isinstance(obj, _Kept) else obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return self._inner.loads_typed(data)


def _storable(value: Any) -> Any:
    """NUL, half of a surrogate pair, infinities and NaN are no JSON to Postgres."""
    if isinstance(value, str):
        whole = "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        return value if whole else _Kept(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _Kept(value)
    return value
