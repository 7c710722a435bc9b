"""Open the memory that the settings name."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from vitarmm_agent.errors import InputError, MemoryStoreError, UserError
from vitarmm_agent.memory_store.agreement import check_last
from vitarmm_agent.memory_store.embedding import embedding_dims, load_embeddings
from vitarmm_agent.memory_store.identity import identity, is_url
from vitarmm_agent.memory_store.journal import Journal
from vitarmm_agent.memory_store.journal.rows import PostgresRows
from vitarmm_agent.memory_store.memory import ReasoningMemory
from vitarmm_agent.memory_store.ranking import RecallConfig
from vitarmm_agent.memory_store.store.chroma_store import ChromaStore
from vitarmm_agent.postgres.database import open_postgres
from vitarmm_agent.private import private_folder
from vitarmm_agent.redaction import public_address
from vitarmm_agent.settings import Settings

logger = logging.getLogger(__name__)

JOURNAL_FILE = "journal.sqlite"
OFF = "memory is off; name its folder or server with --memory"
LISTED_BY = ("state", "entry_type", "superseded_by", "expires_at")
"""Fields of entries that lists are filtered by."""


def open_memory(settings: Settings) -> ReasoningMemory | None:
    """The memory of ``settings.namespace`` in the folder or server that the settings name.

    The journal lies in the folder, or for a server in the data folder of this machine; where the settings
    name a database, there.

    Returns:
        The memory, or None when it is off.

    Raises:
        InputError: the namespace, embedder or address is malformed.
        MemoryStoreError: the folder or server cannot be used as it is, or was made with another
            embedder.
        DatabaseError: the database cannot be used.
        WeightsError: the embedder's weights are missing.
    """
    location = settings.memory_location
    if location == "off":
        return None
    store = open_store(settings)
    try:
        journal = open_journal(settings)
    except UserError:
        store.close()
        raise
    memory = ReasoningMemory(
        store,
        settings.namespace,
        journal=journal,
        config=RecallConfig.for_embedder(settings.embedder),
    )
    try:
        if is_url(location):
            if settings.database_address is None:
                logger.warning("memory %s: %s", public_address(location), history_place(settings))
        elif journal.has_applied() and not store.list_namespaces(limit=1):
            raise MemoryStoreError(
                f"memory folder {location!r} has lost what its journal says was written to it; copy "
                "it anew, or make it again from the journal with: vitarmm memory reindex"
            )
        else:
            check_last(memory)
    except UserError:
        memory.close()
        raise
    return memory


def open_to_look(settings: Settings) -> ReasoningMemory:
    """The same without its embedder, and without a look at whether all is well with it.

    Raises:
        InputError: memory is off.
        MemoryStoreError: the folder or server cannot be used.
        DatabaseError: the database cannot be used.
    """
    location = settings.memory_location
    if location == "off":
        raise InputError(OFF)
    remote = is_url(location)
    store = ChromaStore(None if remote else location, url=location if remote else None)
    try:
        return ReasoningMemory(store, settings.namespace, journal=open_journal(settings))
    except UserError:
        store.close()
        raise


def open_journal(settings: Settings) -> Journal:
    """The history of the settings' memory; raises as :func:`open_memory` does."""
    if settings.database_address is None:
        return Journal(journal_path(settings))
    location = settings.memory_location
    database = open_postgres(settings.database_address)
    name = identity(location, database)
    return Journal(PostgresRows(database, name, one_lock=not is_url(location)))


def open_store(settings: Settings) -> ChromaStore:
    """The store of a memory, with the settings' embedder; raises as :func:`open_memory` does."""
    embeddings = load_embeddings(settings.embedder, settings)
    location = settings.memory_location
    remote = is_url(location)
    store = ChromaStore(
        None if remote else location,
        url=location if remote else None,
        index={
            "embed": embeddings,
            "dims": embedding_dims(embeddings),
            "fields": ["index_text"],
        },
        embedder=settings.embedder,
    )
    store.fields.add(*LISTED_BY)
    return store


def history_place(settings: Settings) -> str:
    """Where the history of a memory on a server is, and what follows from that."""
    if settings.database_address is not None:
        return f"its history is in database {public_address(settings.database_address)}"
    return (
        f"its history is in {journal_path(settings)}, on this machine only. What other machines write "
        "is recalled here, but not undone, dated (as_of) or made again (rebuild, reindex); name a "
        "database for all of them with VITARMM_DATABASE"
    )


def journal_path(settings: Settings) -> Path:
    """Where the history of the settings' memory is kept; a server's gets its folder here.

    Raises:
        MemoryStoreError: that folder cannot be made.
    """
    location = settings.memory_location
    if not is_url(location):
        return Path(location) / JOURNAL_FILE
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", public_address(location)).strip("-")[:60]
    digest = hashlib.sha256(location.encode()).hexdigest()[:8]
    folder = settings.data_dir / "journals"
    try:
        private_folder(folder)
    except OSError as error:
        raise MemoryStoreError(
            f"folder {str(folder)!r} for the journal cannot be made: {error.strerror}; "
            "set VITARMM_DATA_DIR to one that can be written"
        ) from None
    return folder / f"{slug}-{digest}.sqlite"
