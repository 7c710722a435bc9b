"""Connections to a team's Postgres database, its tables, and what its errors mean.

All tables lie in a schema of their own, so that the database may serve other programs too.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from vitarmm_agent.errors import DatabaseError, InputError, MissingExtraError, UserError
from vitarmm_agent.one_process import OneProcess
from vitarmm_agent.postgres.locks import LockSession, NamesLock
from vitarmm_agent.redaction import keep_secrets_of_address, public_address

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

    Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA, VERSION = "vitarmm", 1
CONNECTIONS = 6
"""Of one process at most, besides the one that holds its locks."""
PATIENCE = 15.0
"""Seconds in which a server that went away may come back."""
_TABLES = """
CREATE TABLE version (number INTEGER NOT NULL);
CREATE TABLE batches (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    time DOUBLE PRECISION NOT NULL,
    result TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, key)
);
CREATE INDEX batches_by_run ON batches (namespace, run);
CREATE INDEX batches_pending ON batches (namespace, id) WHERE applied = 0;
CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch BIGINT NOT NULL REFERENCES batches (id),
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    before TEXT,
    after TEXT,
    reason TEXT NOT NULL,
    time DOUBLE PRECISION NOT NULL
);
CREATE INDEX events_by_entry ON events (namespace, entry_id, seq);
CREATE INDEX events_by_batch ON events (batch);
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF TG_OP <> 'DELETE' OR current_setting('vitarmm.deleting', true) IS DISTINCT FROM 'on' THEN
            RAISE EXCEPTION 'the journal is append-only';
        END IF;
        RETURN NULL;
    END $$;
CREATE TRIGGER events_stay BEFORE DELETE OR UPDATE OR TRUNCATE ON events
    EXECUTE FUNCTION append_only();
CREATE TABLE horizons (
    namespace TEXT PRIMARY KEY, first BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL
);
CREATE TABLE memories (address TEXT PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE media (sha256 TEXT PRIMARY KEY, suffix TEXT NOT NULL, data BYTEA NOT NULL);
"""
_open: WeakValueDictionary[tuple[int, str], Postgres] = WeakValueDictionary()
_opening = threading.Lock()


class Postgres:
    """A database that is open; who names the same one shares it, and it closes when nobody does.

    Safe for threads.
    """

    def __init__(self, url: str) -> None:
        """Connect, and make the tables where there are none; see :func:`open_postgres`."""
        keep_secrets_of_address(url)
        self.where = f"database {public_address(url)!r}"
        self._opened = OneProcess(self.where, DatabaseError)
        connect, told = partial(_connect, url, self.where), partial(_told, self.where)
        self.locks = LockSession(connect, told, self._opened)
        weakref.finalize(self, self._opened.only(self.locks.close))
        with connect() as connection:
            self._prepare(connection)
        with told():
            self._pool = _pool(url)
        weakref.finalize(self, self._opened.only(self._pool.close))

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection whose statements are each a transaction.

        Raises:
            DatabaseError: the database does not answer, or refuses.
            InputError: it cannot hold what was given.
        """
        self._opened.check()
        with _told(self.where), self._pool.connection() as connection:
            yield connection

    def alone(self, what: str) -> NamesLock:
        """A ``with`` block that one process of all machines is in at a time."""
        return self.locks.lock([f"{SCHEMA} {what}"])

    def _prepare(self, connection: Connection) -> None:
        """Make the tables where there are none.

        Raises:
            DatabaseError: those there are another version's.
        """
        with _told(self.where):
            found = _version(connection)
            if found is None:
                with self.alone("tables"):
                    found = _version(connection) or _made(connection)
        self.check_version("version", found, VERSION)

    def check_version(self, table: str, found: int, known: int) -> None:
        """Refuse tables that another version made.

        Raises:
            DatabaseError: they are another version's.
        """
        if found != known:
            who = "a later" if found > known else "an earlier"
            raise DatabaseError(
                f"{self.where} was made by {who} version: table {table} says {found}, this "
                f"installation knows {known}; use the same version of vitarmm-agent[postgres] on all "
                "machines, or another database"
            )


def open_postgres(url: str) -> Postgres:
    """The database at ``url``.

    Raises:
        MissingExtraError: its driver is not installed.
        DatabaseError: it cannot be reached or used, or another version made its tables.
    """
    try:
        import psycopg  # noqa: F401
        import psycopg_pool  # noqa: F401
    except ImportError:
        raise MissingExtraError("a Postgres database", "postgres") from None
    with _opening:
        found = _open.get((os.getpid(), url))
        if found is None:
            found = _open[os.getpid(), url] = Postgres(url)
        return found


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say of Postgres's errors whose they are, and what to do."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise meaning(error, where) from None


def _connect(url: str, where: str) -> Connection:
    import psycopg

    with _told(where):
        connection = psycopg.connect(url, autocommit=True, **_defaults(url))
        _configure(connection)
        return connection


def meaning(error: psycopg.Error, where: str) -> UserError:
    """An error of Postgres's in the words of this package, on one line."""
    import psycopg
    from psycopg import errors

    words = " ".join(str(error).split())
    if isinstance(error, (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        return DatabaseError(
            f"{where} lets this role not write: {words}; name a role that owns schema {SCHEMA!r}, or "
            "may create it"
        )
    if isinstance(error, (psycopg.DataError, errors.ProgramLimitExceeded)):
        return InputError(f"{where} cannot hold this: {words}")
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return DatabaseError(
            f"{where} does not answer as asked: {words}; check VITARMM_DATABASE (host, port, name, "
            "password) and that the server runs. What was acknowledged is kept; runs can be resumed"
        )
    return DatabaseError(f"{where} cannot be used as it is: {words}")


def _pool(url: str) -> ConnectionPool[Connection]:
    from psycopg_pool import ConnectionPool

    _hear_once()
    return ConnectionPool(
        url,
        kwargs={"autocommit": True, **_defaults(url)},
        min_size=1,
        max_size=CONNECTIONS,
        timeout=PATIENCE,
        reconnect_timeout=PATIENCE / 3,  # then it tries at once when it is asked
        configure=_configure,
        check=ConnectionPool.check_connection,
        name=SCHEMA,
        open=True,
    )


@cache
def _hear_once() -> None:
    """Each attempt of the pool's to reach the server is no news: the error tells when it is given up."""
    logging.getLogger("psycopg.pool").addFilter(
        lambda record: not (isinstance(record.args, tuple) and SCHEMA in record.args[:1])
    )


def _defaults(url: str) -> dict[str, Any]:
    """What the address leaves open."""
    from psycopg.conninfo import conninfo_to_dict

    ours = {"connect_timeout": 10, "application_name": SCHEMA}
    return {name: value for name, value in ours.items() if name not in conninfo_to_dict(url)}


def _configure(connection: Connection) -> None:
    """Find the tables; and let the server notice within a minute that this machine is gone."""
    connection.execute(
        f"SET search_path TO {SCHEMA}; SET tcp_keepalives_idle = 30; "
        "SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
    )


def _version(connection: Connection) -> int | None:
    (there,) = connection.execute(f"SELECT to_regclass('{SCHEMA}.version') IS NOT NULL").fetchone()  # type: ignore[misc]
    row = connection.execute("SELECT max(number) FROM version").fetchone() if there else None
    return row[0] if row else None


def _made(connection: Connection) -> int:
    with connection.transaction():
        (there,) = connection.execute(f"SELECT to_regnamespace('{SCHEMA}') IS NOT NULL").fetchone()  # type: ignore[misc]
        if not there:  # a role may own the schema without being let to make one
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
        connection.execute(_TABLES)
        connection.execute("INSERT INTO version VALUES (%s)", (VERSION,))
    return VERSION
