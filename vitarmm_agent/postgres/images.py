"""Images of all machines, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitarmm_agent.postgres.database import Postgres


class PostgresImages:
    """Bytes by hash; see :class:`vitarmm_agent.media.SharedImages`."""

    def __init__(self, database: Postgres) -> None:
        """Keep them in ``database``."""
        self._database = database

    def keep(self, sha256: str, suffix: str, data: bytes) -> None:
        """Keep bytes; what is there already is not sent."""
        with self._database.connection() as connection:
            known = connection.execute("SELECT 1 FROM media WHERE sha256 = %s", (sha256,))
            if known.fetchone() is None:
                connection.execute(
                    "INSERT INTO media (sha256, suffix, data) VALUES (%s, %s, %s) "
                    "ON CONFLICT (sha256) DO NOTHING",
                    (sha256, suffix, data),
                )

    def load(self, sha256: str) -> tuple[str, bytes] | None:
        """Suffix and bytes of an image, or None."""
        with self._database.connection() as connection:
            find = "SELECT suffix, data FROM media WHERE sha256 = %s"
            row = connection.execute(find, (sha256,)).fetchone()
        return None if row is None else (str(row[0]), bytes(row[1]))
