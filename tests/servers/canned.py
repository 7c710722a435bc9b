"""A model server that answers 200 and whatever it was told to, and a proxy that answers itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.security.servers import EchoServer


class Canned(EchoServer):
    """Answers every request with the same bytes."""

    def __init__(self, body: bytes | Any, kind: str = "application/json") -> None:
        super().__init__(200)
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.kind = kind

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, told: str, *, stream: bool) -> tuple[bytes, str]:
        return self.body, self.kind


@contextmanager
def canned(body: bytes | Any, kind: str = "application/json") -> Iterator[Canned]:
    server = Canned(body, kind)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
