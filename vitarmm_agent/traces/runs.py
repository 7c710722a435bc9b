"""All runs of a checkpointer: a summary of each, filtered and paged.

What is listed is derived from the last checkpoint of each run. Reading ten thousand of them takes
seconds, so summaries are kept in a SQLite file of their own, which may be deleted at any time: each
is made again when its run has a newer checkpoint.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from vitarmm_agent.errors import InputError
from vitarmm_agent.graphs.checkpoint_files import DAMAGE
from vitarmm_agent.memory_store.store.records import namespace_text
from vitarmm_agent.private import private_file, private_folder
from vitarmm_agent.redaction import redact
from vitarmm_agent.traces.newly_written import NewlyWritten
from vitarmm_agent.traces.reader import config_of, runs_known, sqlite_of
from vitarmm_agent.traces.remarks import all_remarks, read_remark
from vitarmm_agent.traces.summary import RunFilter, RunSummary, summarize

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

VERSION = 6
BATCH = 256
SORTS = ("attempts", "tokens", "seconds")
"""What runs can be sorted by, besides when they began."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    thread_id TEXT PRIMARY KEY, version TEXT NOT NULL, born TEXT NOT NULL, own INTEGER NOT NULL,
    status TEXT, verdicts TEXT, recalled INTEGER, written INTEGER, benchmark TEXT,
    started_at TEXT, namespace TEXT, words TEXT, attempts INTEGER, tokens INTEGER, seconds REAL,
    tags TEXT, summary TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_birth ON runs (born);
CREATE INDEX IF NOT EXISTS runs_by_benchmark ON runs (benchmark);
CREATE INDEX IF NOT EXISTS runs_by_tokens ON runs (tokens, born);
CREATE INDEX IF NOT EXISTS runs_by_seconds ON runs (seconds, born);
CREATE INDEX IF NOT EXISTS runs_by_attempts ON runs (attempts, born);
"""


class RunPage(NamedTuple):
    """Some runs, newest first; ``total`` match; ``unread`` runs were not looked at yet."""

    runs: list[RunSummary]
    total: int
    unread: int = 0


class Head(NamedTuple):
    """A run by its first checkpoint id, and what changes whenever the run does."""

    thread_id: str
    born: str
    version: str


def list_runs(
    checkpointer: BaseCheckpointSaver[str],
    *,
    limit: int = 50,
    offset: int = 0,
    where: RunFilter | None = None,
) -> list[RunSummary]:
    """The newest runs first; ``offset`` pages on."""
    index = RunIndex(checkpointer)
    try:
        return index.page(where, limit=limit, offset=offset).runs
    finally:
        index.close()


class RunIndex:
    """Summaries of all runs, kept up to date with the checkpoints."""

    def __init__(self, checkpointer: BaseCheckpointSaver[str], path: Path | None = None) -> None:
        """Keep summaries in the file at ``path``, or in memory."""
        self._checkpointer = checkpointer
        self._lock = threading.RLock()
        self._db = _open(path)
        self._seen: tuple[int, int] | None = None
        self._heads: list[Head] = []
        self._stale: dict[str, Head] = {}
        self._foreign: set[str] = set()
        self._remarks: dict[str, str] = {}
        connection = sqlite_of(checkpointer)
        self._newer = None if connection is None else NewlyWritten(connection)

    def page(
        self,
        where: RunFilter | None = None,
        *,
        limit: int = 50,
        offset: int = 0,
        seconds: float | None = None,
        sort: str = "",
    ) -> RunPage:
        """Runs that match, newest first.

        Args:
            where: which runs; default: all.
            limit: how many at most.
            offset: how many to pass over.
            seconds: stop reading new runs after this long; the rest is counted as ``unread``.
            sort: one of :data:`SORTS`, the largest first; those alike newest first.

        Raises:
            InputError: ``sort`` is none of them.
        """
        if sort not in ("", *SORTS):
            raise InputError(f"runs are sorted by {', '.join(SORTS)}; got {sort!r}")
        with self._lock:
            self._look()
            where = where or RunFilter()
            if where.empty and not sort:
                return self._plain_page(limit, offset)
            unread = self._refresh(seconds)
            clause, values = _where(where)
            order = f"{sort} DESC, " if sort else ""
            total = self._db.execute(f"SELECT count(*) FROM runs WHERE {clause}", values)
            rows = self._db.execute(
                f"SELECT summary FROM runs WHERE {clause} ORDER BY {order}born DESC LIMIT ? OFFSET ?",
                [*values, limit, offset],
            )
            runs = [RunSummary.model_validate_json(row[0]) for row in rows.fetchall()]
            return RunPage(runs, total.fetchone()[0], unread)

    def named(self, names: Iterable[str]) -> dict[str, RunSummary]:
        """Summaries of those of these runs that there are."""
        wanted = set(names)
        with self._lock:
            self._look()
            for name in wanted & self._stale.keys():
                self._read(self._stale[name])
            self._db.commit()
            rows = self._db.execute(
                "SELECT thread_id, summary FROM runs WHERE own = 1 "
                "AND thread_id IN (SELECT value FROM json_each(?))",
                [json.dumps(sorted(wanted))],
            )
            return {row[0]: RunSummary.model_validate_json(row[1]) for row in rows.fetchall()}

    def tags(self) -> list[str]:
        """All tags that runs have."""
        with self._lock:
            self._look()
            kept = self._remarks.values()
            return sorted({tag for text in kept for tag in read_remark(text).tags})

    def benchmarks(self) -> list[str]:
        """Names of benchmarks among the runs read so far."""
        with self._lock:
            rows = self._db.execute(
                "SELECT DISTINCT benchmark FROM runs WHERE benchmark != '' ORDER BY benchmark"
            )
            return [row[0] for row in rows.fetchall()]

    def refresh(self, seconds: float | None = None) -> int:
        """Read runs that are new or changed; how many are left unread when time was up."""
        with self._lock:
            self._look()
            return self._refresh(seconds)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _plain_page(self, limit: int, offset: int) -> RunPage:
        """Without a filter only the runs of the page itself have to be read."""
        runs: list[RunSummary] = []
        passed = 0
        for head in self._heads:
            if passed >= offset and head.thread_id in self._stale:
                self._read(head)
            if head.thread_id in self._foreign:
                continue
            passed += 1
            if passed > offset:
                runs.append(self._summary(head.thread_id))
            if len(runs) == limit:
                break
        self._db.commit()
        return RunPage(runs, len(self._heads) - len(self._foreign))

    def _summary(self, thread_id: str) -> RunSummary:
        row = self._db.execute("SELECT summary FROM runs WHERE thread_id = ?", (thread_id,))
        return RunSummary.model_validate_json(row.fetchone()[0])

    def _look(self) -> None:
        """Find out which runs are new, changed or gone, unless nothing was written since."""
        token = self._token()
        if token is not None and token == self._seen:
            return
        remarks = all_remarks(self._checkpointer)
        newer = self._newer.heads() if self._newer is not None else None
        if newer is None or remarks != self._remarks:
            self._remarks = remarks
            self._look_at_all()
        else:
            changed = {name: self._with_remark(Head(name, *rest)) for name, *rest in newer}
            kept = [head for head in self._heads if head.thread_id not in changed]
            self._heads = sorted([*kept, *changed.values()], key=lambda h: h.born, reverse=True)
            self._stale |= changed
        self._seen = token

    def _look_at_all(self) -> None:
        self._heads = [self._with_remark(head) for head in self._all_heads()]
        known = dict(self._db.execute("SELECT thread_id, version FROM runs").fetchall())
        self._stale = {h.thread_id: h for h in self._heads if known.get(h.thread_id) != h.version}
        gone = known.keys() - {head.thread_id for head in self._heads}
        self._db.executemany("DELETE FROM runs WHERE thread_id = ?", [(name,) for name in gone])
        rows = self._db.execute("SELECT thread_id FROM runs WHERE own = 0")
        self._foreign = {row[0] for row in rows.fetchall()}
        self._db.commit()

    def _token(self) -> tuple[int, int] | None:
        """What changes with every write to a SQLite file, by us or another; None elsewhere."""
        connection = sqlite_of(self._checkpointer)
        if connection is None:
            return None
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        return int(version), connection.total_changes

    def _with_remark(self, head: Head) -> Head:
        """What is noted of a run is no checkpoint, and changes it too."""
        text = self._remarks.get(head.thread_id)
        return head._replace(version=f"{head.version}:{crc32(text.encode())}") if text else head

    def _all_heads(self) -> list[Head]:
        if (known := runs_known(self._checkpointer)) is not None:
            return [Head(*head) for head in known.heads()]
        return sorted(self._any_heads(), key=lambda head: head.born, reverse=True)

    def _any_heads(self) -> Iterator[Head]:
        """From any checkpointer: by what begins a run, an input or the update that forks it."""
        born: dict[str, str] = {}
        newest: dict[str, str] = {}
        for source in ("input", "update"):
            for checkpoint in self._checkpointer.list(None, filter={"source": source}):
                at = checkpoint.config["configurable"]
                if at.get("checkpoint_ns", "") == "":
                    thread, own = str(at["thread_id"]), checkpoint.checkpoint["id"]
                    born[thread] = min(born.get(thread, own), own)
                    newest[thread] = max(newest.get(thread, own), own)
        rows = self._db.execute(
            "SELECT thread_id, version FROM runs WHERE status NOT IN ('running', 'interrupted', 'died')"
        )
        done = dict(rows.fetchall())
        for thread, first in born.items():
            if newest[thread] <= done.get(thread, ""):
                yield Head(thread, first, done[thread])
            elif (last := self._checkpointer.get_tuple(config_of(thread))) is not None:
                version = f"{last.checkpoint['id']}:{len(last.pending_writes or [])}"
                yield Head(thread, first, version)

    def _refresh(self, seconds: float | None) -> int:
        start = time.monotonic()
        for number, head in enumerate([*self._stale.values()]):
            if seconds is not None and time.monotonic() - start > seconds:
                break
            self._read(head)
            if number % BATCH == 0:
                self._db.commit()
        self._db.commit()
        return len(self._stale)

    def _read(self, head: Head) -> None:
        self._stale.pop(head.thread_id, None)
        self._foreign.discard(head.thread_id)
        own, summary = True, RunSummary(thread_id=head.thread_id)
        try:
            last = self._checkpointer.get_tuple(config_of(head.thread_id))
            if last is None or not (found := summarize(last)):
                own = False
                self._foreign.add(head.thread_id)
            else:
                summary = found
        except DAMAGE as error:
            words = redact(f"{type(error).__name__}: {error}")[:200]
            summary = RunSummary(thread_id=head.thread_id, unreadable=words)
        remark = read_remark(self._remarks.get(head.thread_id, ""))
        summary = summary.model_copy(update=dict(remark))
        self._db.execute(
            "INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                head.thread_id,
                head.version,
                head.born,
                own,
                summary.status,
                ",".join(summary.verdicts),
                summary.recalled,
                summary.written,
                summary.benchmark,
                summary.started_at,
                namespace_text(summary.namespace),
                " ".join(
                    [summary.text, summary.answer or "", *summary.tags, summary.note]
                ).casefold(),
                summary.attempts,
                summary.tokens,
                summary.seconds,
                f",{','.join(summary.tags)}," if summary.tags else "",
                summary.model_dump_json(),
            ),
        )


def _where(where: RunFilter) -> tuple[str, list[Any]]:
    clauses, values = ["own = 1"], list[Any]()
    for word in where.text.casefold().split():
        clauses.append("(words LIKE ? ESCAPE '\\' OR thread_id LIKE ? ESCAPE '\\')")
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values += [f"%{escaped}%", f"{escaped}%"]
    for column in ("status", "benchmark", "namespace"):
        if wanted := getattr(where, column):
            clauses.append(f"{column} = ?")
            values.append(wanted)
    if where.tag:
        clauses.append("instr(tags, ?) > 0")
        values.append(f",{where.tag},")
    if where.verdict:
        clauses.append("',' || verdicts || ',' LIKE ?")
        values.append(f"%,{where.verdict},%")
    memory = {"used": "recalled > 0", "written": "written > 0", "none": "recalled = 0"}
    if where.memory in memory:
        clauses.append(memory[where.memory])
    if where.since:
        clauses.append("substr(started_at, 1, 10) >= ?")
        values.append(where.since)
    if where.until:
        clauses.append("substr(started_at, 1, 10) <= ?")
        values.append(where.until)
    return " AND ".join(clauses), values


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        private_folder(path.parent)
        private_file(path)
    db = sqlite3.connect(path or ":memory:", timeout=60, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            db.execute("DROP TABLE IF EXISTS runs")
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        db.close()
        if path is None:
            raise
        path.unlink()  # derived data: make it again
        return _open(path)
    return db
