"""What can be wrong with a database: one clear line each, and no password in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.memory_store.conftest import free_port
from tests.postgres.conftest import Machine
from tests.postgres.server import PASSWORD, PostgresServer
from tests.scripts import QUESTION, RIGHT, script
from vitarmm_agent import ReasoningAgent
from vitarmm_agent.cli.app import run_app
from vitarmm_agent.errors import DatabaseError, InputError
from vitarmm_agent.graphs.open_checkpoints import open_traces
from vitarmm_agent.postgres.database import open_postgres
from vitarmm_agent.settings import Settings
from vitarmm_agent.traces import list_runs

Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What a command says that must fail because of the user; its last line."""

    def run(*arguments: str) -> str:
        assert run_app([*arguments]) == 2
        shown = capsys.readouterr()
        assert PASSWORD not in shown.out + shown.err and "Traceback" not in shown.err
        return " ".join(shown.err.split())

    return run


@pytest.mark.parametrize("address", ["mysql://u:planted-database-password@h/d", "h:5432/d"])
def test_no_address_of_postgres(told: Told, address: str) -> None:
    assert "postgresql://HOST/NAME" in told("trace", "list", "--database", address)


def test_a_password_that_is_not_quoted(told: Told) -> None:
    said = told("trace", "list", "--database", f"postgresql://u:{PASSWORD}/x@host:5432/d")
    assert "%2F" in said


@pytest.mark.parametrize("module", ["psycopg", "psycopg_pool", "langgraph.checkpoint.postgres"])
def test_no_driver(told: Told, database: str, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for loaded in [m for m in sys.modules if f"{m}.".startswith("vitarmm_agent.graphs.postgres_")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    assert "vitarmm-agent[postgres]" in told("trace", "list", "--database", database)


def test_nobody_there(told: Told) -> None:
    url = f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port()}/d"
    said = told("trace", "list", "--database", url)
    assert "does not answer" in said and "VITARMM_DATABASE" in said and "127.0.0.1" in said


def test_a_wrong_password(told: Told, postgres: PostgresServer) -> None:
    url = postgres.url(password="wrong-planted-password")
    said = told("trace", "list", "--database", url)
    assert "password authentication failed" in said and "wrong-planted" not in said


def test_no_such_database(told: Told, postgres: PostgresServer) -> None:
    said = told("memory", "list", "--memory", "off", "--database", postgres.url("nowhere"))
    assert "memory is off" in said
    assert "nowhere" in told("trace", "list", "--database", postgres.url("nowhere"))


def test_an_unknown_option_of_the_address(told: Told, database: str) -> None:
    assert "nonsense" in told("trace", "list", "--database", f"{database}?nonsense=1")


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("version", "UPDATE vitarmm.version SET number = 2"),
        ("checkpoint_migrations", "INSERT INTO vitarmm.checkpoint_migrations VALUES (9999)"),
    ],
)
def test_tables_of_another_version(database: str, tmp_path: Path, table: str, sql: str) -> None:
    settings = Settings.load(database=database)
    open_traces(settings).close()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql)
    with pytest.raises(DatabaseError, match=f"a later version: table {table}"):
        open_traces(settings)


def reader_of(database: str, postgres: PostgresServer) -> str:
    name = f"reader_{database.rpartition('/')[2]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"GRANT USAGE ON SCHEMA vitarmm TO {name}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA vitarmm TO {name}")
    return postgres.url(database.rpartition("/")[2], name)


def test_a_role_that_may_only_read(
    database: str, postgres: PostgresServer, tmp_path: Path, told: Told
) -> None:
    """It sees the runs; what it would write is refused, and says why."""
    spec = script(tmp_path / "r.json", RIGHT, RIGHT)
    settings = Settings.load(database=database, memory="off", feedback="arithmetic", reasoner=spec)
    ReasoningAgent.open(settings=settings).solve(QUESTION, thread_id="t")
    reader = reader_of(database, postgres)
    kept = open_traces(settings.model_copy(update={"database": reader}))
    assert [run.thread_id for run in list_runs(kept)] == ["t"]
    solve = ("solve", QUESTION, "--reasoner", spec, "--memory", "off", "--database", reader)
    assert "lets this role not write" in told(*solve)
    said = told("trace", "delete", "t", "--yes", "--database", reader)
    assert "lets this role not write" in said
    assert [run.thread_id for run in list_runs(kept)] == ["t"]


def test_a_role_that_may_not_begin(database: str, postgres: PostgresServer) -> None:
    name = f"poor_{database.rpartition('/')[2]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    poor = postgres.url(database.rpartition("/")[2], name)
    with pytest.raises(DatabaseError, match="lets this role not write"):
        open_postgres(poor)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA vitarmm AUTHORIZATION {name}")
    open_traces(Settings.load(database=poor)).close()


def test_names_that_postgres_cannot_hold(machine: Machine) -> None:
    kept = open_traces(machine("one"))
    with pytest.raises(InputError, match="cannot hold this"):
        kept.get_tuple({"configurable": {"thread_id": "a\0b"}})


def test_a_history_is_only_added_to(machine: Machine) -> None:
    from tests.memory_store.test_two_machines import learn, opened

    memory = opened(machine("one"))
    learn(memory, "one", "a square")
    with psycopg.connect(str(machine("one").database), autocommit=True) as connection:
        for sql in ("DELETE FROM vitarmm.events", "TRUNCATE vitarmm.events",
                    "UPDATE vitarmm.events SET reason = ''"):  # fmt: skip
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(sql)


def test_the_password_is_shown_nowhere(
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in settings, traces, exports, or what the commands print."""
    monkeypatch.setenv("VITARMM_DATABASE", database)
    settings = Settings.load()
    assert PASSWORD not in repr(settings) and PASSWORD not in str(settings)
    assert PASSWORD not in json.dumps(settings.public())
    spec = script(tmp_path / "r.json", RIGHT)
    assert run_app(["solve", QUESTION, "--reasoner", spec, "--memory", "off", "--thread", "t"]) == 0
    for command in (["trace", "list"], ["trace", "show", "t", "--json"], ["doctor", "--json"],
                    ["trace", "export", "t", "--html", "-o", str(tmp_path / "t.html")]):  # fmt: skip
        run_app(command)
    shown = capsys.readouterr()
    assert PASSWORD not in shown.out + shown.err
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT metadata::text FROM vitarmm.checkpoints").fetchall()
    assert rows and not any(PASSWORD in row[0] for row in rows)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
