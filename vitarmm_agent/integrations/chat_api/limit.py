"""How many runs one client may have under way, so that one busy client leaves room for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from vitarmm_agent.errors import InputError
from vitarmm_agent.integrations.chat_api.requests import ApiError

RETRY_SECONDS = 5
"""After which a client that was refused asks again: about as long as a short run takes."""


class RunsAtOnce:
    """Counts the runs of each client; for one event loop."""

    def __init__(self, most: int) -> None:
        """Let each client have ``most``.

        Raises:
            InputError: that is none.
        """
        if most < 1:
            raise InputError(f"runs_per_client must be 1 or more, got {most!r}")
        self._most = most
        self._under_way = Counter[str]()

    def enter(self, client: str) -> Callable[[], None]:
        """Count one run of ``client``, until what is returned is called.

        Raises:
            ApiError: it has as many as it may.
        """
        if self._under_way[client] >= self._most:
            raise ApiError(
                f"you have {self._most} runs under way, and this server lets no client have more at "
                f"once; ask again when one is over, or in {RETRY_SECONDS} seconds",
                429,
                code="rate_limit_exceeded",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._under_way[client] += 1

        def leave() -> None:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]

        return leave
