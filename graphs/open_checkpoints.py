"""Open the checkpoints that the settings name: they are the traces."""

from __future__ import annotations

from vitarmm_agent.errors import MissingExtraError
from vitarmm_agent.graphs.any_checkpoints import Checkpoints
from vitarmm_agent.graphs.checkpoints import open_checkpoints, read_checkpoints
from vitarmm_agent.postgres.database import open_postgres
from vitarmm_agent.settings import Settings


def open_traces(settings: Settings, *, write: bool = True) -> Checkpoints:
    """A SQLite file under the data folder, or the database where the settings name one.

    Args:
        settings: where they are.
        write: without it, a file that is there is opened only to be looked at.

    Raises:
        InputError: the file cannot be used.
        DatabaseError: the database cannot be used.
        MissingExtraError: its driver is not installed.
    """
    if settings.database_address is None:
        path = settings.checkpoints_path
        return open_checkpoints(path) if write or not path.is_file() else read_checkpoints(path)
    database = open_postgres(settings.database_address)
    try:
        from vitarmm_agent.graphs.postgres_checkpoints import PostgresCheckpoints
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("vitarmm_agent"):
            raise
        raise MissingExtraError("a Postgres database", "postgres") from None
    return PostgresCheckpoints(database)
