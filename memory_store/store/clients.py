"""Chroma clients: embedded, and of a server. Telemetry is off in both."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlparse

from langgraph.store.base import Item

from vitarmm_agent.errors import MemoryStoreError
from vitarmm_agent.memory_store.store.records import Namespace, read_item
from vitarmm_agent.private import private_folder
from vitarmm_agent.redaction import public_address, redact

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.client import Client
    from chromadb.api.types import GetResult
    from chromadb.config import Settings

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_open_paths: set[str] = set()


def embedded_client(folder: Path | None) -> ClientAPI:
    """A client of its own: Chroma would share one between all that name a path alike."""
    import chromadb

    settings = _settings()
    if folder is None:
        return chromadb.EphemeralClient(settings=settings)
    try:
        private_folder(folder)
    except OSError as error:
        raise MemoryStoreError(
            f"index folder {str(folder)!r} cannot be made: {error.strerror}"
        ) from None
    path = str(folder)
    while path in _open_paths:
        path += "/."
    client = chromadb.PersistentClient(path, settings=settings)
    _open_paths.add(path)
    return client


def close_client(client: ClientAPI) -> None:
    """Close a client and the files or connections it holds."""
    _open_paths.discard(client.get_settings().persist_directory)
    cast("Client", client).close()


def server_client(url: str, timeout: float) -> ClientAPI:
    """A client of the server at ``url``; a call fails after ``timeout`` seconds without an answer.

    Raises:
        httpx.TransportError: the server does not answer.
        MemoryStoreError: something else than a Chroma server answers.
    """
    import chromadb
    import httpx

    parts = urlparse(url)
    secure = parts.scheme == "https"
    answer = httpx.get(f"{url.rstrip('/')}/api/v2/heartbeat", timeout=timeout)
    if answer.status_code != 200:
        raise MemoryStoreError(
            f"{url} answers {answer.status_code} where a Chroma server would answer 200; "
            "check the address and that the server is of version 1"
        )
    try:
        client = chromadb.HttpClient(
            host=str(parts.hostname),
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            settings=_settings(),
        )
    except ValueError as error:  # Chroma's word for a server that cannot be reached
        raise httpx.ConnectError(str(error)) from None
    # Chroma's client waits for ever, and has no setting for it.
    session = getattr(getattr(client, "_server", None), "_session", None)
    if isinstance(session, httpx.Client):
        session.timeout = httpx.Timeout(timeout)
    return client


def _settings() -> Settings:
    """Chroma's settings, without those that a ``.env`` in the working directory would add.

    Such a file may have come with a repository of someone else, and Chroma would let it say which
    server gets the memory, and what is imported to reach it.
    """
    from chromadb.config import Settings

    return Settings(_env_file=None, anonymized_telemetry=False)


def patiently(request: Callable[[], Answer], url: str, seconds: float) -> Answer:
    """Ask a server, and while it cannot be reached ask again for so many seconds.

    The request must be one that can be repeated: it names what it writes.

    Raises:
        MemoryStoreError: the server does not answer.
    """
    import httpx

    deadline, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return request()
        except (httpx.TransportError, ConnectionError) as error:
            late = time.monotonic() + pause > deadline
            if late or isinstance(error, httpx.TimeoutException):
                raise MemoryStoreError(
                    f"Chroma server {url} does not answer ({error or type(error)}); "
                    "start it with `chroma run`, or check the address and the network"
                ) from error
            logger.info(
                "Chroma server %s: %s; trying again", public_address(url), redact(str(error))
            )
        time.sleep(pause)
        pause *= 1.5


def chroma_errors() -> tuple[type[BaseException], ...]:
    """What Chroma raises when its files are damaged; parts of it raise built-in errors.

    AttributeError is what its own clean-up raises after it could not open a folder.
    """
    from chromadb.errors import ChromaError

    return ChromaError, ValueError, RuntimeError, AttributeError


def page_items(namespace: Namespace, page: GetResult) -> list[Item]:
    """The items of a page of a server's collection."""
    rows: Any = zip(page["documents"] or (), page["metadatas"] or (), strict=True)
    return [
        read_item(namespace, row["key"], value, row["created"], row["updated"])
        for value, row in rows
    ]


def filler(key: str) -> list[float]:
    """A vector where Chroma wants one: a direction in the plane, different for each key."""
    angle = int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest()[:4]) / 2**32 * math.tau
    return [math.cos(angle), math.sin(angle)]
