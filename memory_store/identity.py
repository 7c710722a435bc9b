"""Which memory a place holds, by whatever name each machine calls the place.

A database keeps the history of many memories. Two machines may reach one Chroma server at two addresses,
and a folder may be moved: so the place itself says which memory it is. A place that lost all it had is
known again by its address.
"""

from __future__ import annotations

import platform
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.clients import close_client, patiently, server_client
from vitarmm_agent.memory_store.store.folder_files import folder_lock
from vitarmm_agent.memory_store.store.locks import holding
from vitarmm_agent.private import private_folder, write_text
from vitarmm_agent.redaction import public_address

if TYPE_CHECKING:
    from vitarmm_agent.postgres.database import Postgres

COLLECTION = "vitarmm-identity"
FILE = "identity"


def is_url(location: str) -> bool:
    """Whether a memory location is a server's address."""
    return location.startswith(("http://", "https://"))


def identity(location: str, database: Postgres) -> str:
    """The name under which ``database`` keeps the history of the memory at ``location``.

    Raises:
        MemoryStoreError: the place cannot be reached or marked.
        DatabaseError: the database does not answer, or may not be written.
    """
    if is_url(location):
        address, mark = public_address(location), _mark_server
    else:
        address, mark = f"{platform.node()}:{Path(location).resolve()}", _mark_folder
    with database.alone("memories"), database.connection() as connection:
        find = "SELECT id FROM memories WHERE address = %s"
        row = connection.execute(find, (address,)).fetchone()
        noted = None if row is None else str(row[0])
        found = mark(location, noted or uuid.uuid4().hex)
        if found != noted:
            connection.execute(
                "INSERT INTO memories (address, id) VALUES (%s, %s) "
                "ON CONFLICT (address) DO UPDATE SET id = EXCLUDED.id",
                (address, found),
            )
    return found


def _mark_server(location: str, proposed: str) -> str:
    def ask() -> object:
        client = server_client(location, 30)
        try:
            mark = {"memory": proposed}
            kept = client.get_or_create_collection(
                COLLECTION, metadata=mark, embedding_function=None
            )
            return (kept.metadata or {}).get("memory")
        finally:
            close_client(client)

    found = patiently(ask, location, 0.5)
    if not isinstance(found, str):
        raise MemoryStoreError(
            f"collection {COLLECTION!r} on {public_address(location)} does not say which memory it is; "
            "delete it there, and it is made again"
        )
    return found


def _mark_folder(location: str, proposed: str) -> str:
    folder = Path(location)
    file = folder / FILE
    try:
        private_folder(folder)
        with holding(folder_lock(folder)):
            known = file.read_text("utf-8").strip() if file.exists() else ""
            if not known:
                write_text(file, proposed)
            return known or proposed
    except (OSError, ValueError) as error:
        raise MemoryStoreError(
            f"memory folder {location!r} cannot be marked in {FILE!r}: {error}; check that it can be "
            "written"
        ) from None
