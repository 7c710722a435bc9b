"""Server failures of real clients, on the loopback interface, told apart from bugs."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from vitarmm_agent.errors import InputError, ModelServerError
from vitarmm_agent.models import load_chat_model
from vitarmm_agent.servers.failures import as_server_error
from vitarmm_agent.settings import Settings


class Server:
    """An OpenAI-compatible server that fails in one way."""

    def __init__(self, status: int | None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if status is None:  # dies in the middle of a request
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                body = b'{"error": {"message": "out of order"}}'
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], str]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[Server] = []

    def start(status: int | None) -> str:
        servers.append(Server(status))
        return servers[-1].url

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def failure(base_url: str) -> BaseException:
    """What a hosted model raises against that server."""
    model = load_chat_model(
        "openai:gpt-x", settings=Settings(base_url=base_url), max_retries=0, timeout=2
    )
    with pytest.raises(Exception) as caught:
        model.invoke("Hi")
    return caught.value


def test_a_server_that_is_not_there(serve: Callable[[int | None], str]) -> None:
    error = as_server_error(failure("http://127.0.0.1:9/v1"))
    assert isinstance(error, ModelServerError)
    assert "cannot be reached" in str(error) and "the run can be resumed" in str(error)


def test_a_server_that_dies_in_a_request(serve: Callable[[int | None], str]) -> None:
    error = as_server_error(failure(serve(None)))
    assert isinstance(error, ModelServerError) and "stopped answering" in str(error)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(500, "it failed"), (503, "it failed"), (429, "busy"), (401, "API key"), (404, "model name")],
)
def test_a_server_that_refuses(
    serve: Callable[[int | None], str], status: int, remedy: str
) -> None:
    error = as_server_error(failure(serve(status)))
    assert isinstance(error, ModelServerError)
    assert f"answered {status}" in str(error) and remedy in str(error)
    assert "out of order" in str(error)


def test_a_slow_server_of_any_client() -> None:
    error = as_server_error(httpx.ReadTimeout("too slow"))
    assert isinstance(error, ModelServerError) and "ReadTimeout: too slow" in str(error)
    assert as_server_error(TimeoutError()) is not None
    assert as_server_error(ConnectionResetError("reset")) is not None


def test_the_cause_counts() -> None:
    try:
        try:
            raise httpx.ConnectError("refused")
        except httpx.ConnectError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        assert isinstance(as_server_error(error), ModelServerError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bug"),
        KeyError("bug"),
        InputError("too long"),
        OSError("disk"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_left_alone(error: BaseException) -> None:
    assert as_server_error(error) is None


def test_a_server_error_stays_itself() -> None:
    error = ModelServerError("died")
    assert as_server_error(error) is error
