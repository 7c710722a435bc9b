"""Teams of machines: each has a data folder of its own, all share one Postgres and one Chroma server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("psycopg_pool", reason="needs the extra `postgres`")

from tests.memory_store.conftest import ChromaServer, SmallEmbedder
from tests.memory_store.conftest import chroma_server as chroma_server
from tests.memory_store.conftest import small_embedder as small_embedder
from tests.postgres.server import PostgresServer, programs
from vitarmm_agent.settings import Settings

Machine = Callable[..., Settings]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if programs() is None:
        pytest.skip("needs Postgres: apt-get install postgresql, or pip install pgserver")
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    """An empty database of its own; its address."""
    return postgres.new(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def machine(
    chroma_server: ChromaServer, small_embedder: SmallEmbedder, database: str, tmp_path: Path
) -> Machine:
    """Settings of a machine, by its name: a data folder of its own, everything else shared."""
    root = f"r{uuid.uuid4().hex[:8]}"

    def settings(name: str, tenant: str = "agent", **other: object) -> Settings:
        given = {
            "memory": chroma_server.url,
            "database": f"{database}?application_name={name}",  # and so connections of its own
            "embedder": f"local:{small_embedder.folder}",
            "home": small_embedder.home,
            "data_dir": tmp_path / name,
            "namespace": (root, tenant),
        }
        return Settings.load(**{**given, **other})

    return settings
