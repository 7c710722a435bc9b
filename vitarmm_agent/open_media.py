"""Open the images that the settings name."""

from __future__ import annotations

from vitarmm_agent.media import MediaStore, SharedImages
from vitarmm_agent.postgres.database import open_postgres
from vitarmm_agent.postgres.images import PostgresImages
from vitarmm_agent.settings import Settings


def open_media(settings: Settings, *, local_files: bool = False) -> MediaStore:
    """The images of this machine, shared with the others where there is a database.

    Args:
        settings: where they lie.
        local_files: see :class:`~vitarmm_agent.media.MediaStore`.

    Raises:
        DatabaseError: the database cannot be used.
    """
    shared: SharedImages | None = None
    if settings.database_address is not None:
        shared = PostgresImages(open_postgres(settings.database_address))
    return MediaStore(settings.media_dir, local_files=local_files, shared=shared)
