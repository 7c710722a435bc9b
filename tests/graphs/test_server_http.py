"""What stands before the LangGraph server: other sites are refused, allowed ones may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from vitarmm_agent.graphs.server_http import OwnOrigin

STUDIO = "https://smith.langchain.com"


async def ran(request: Request) -> Response:
    return PlainTextResponse("ran")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("VITARMM_SERVER_HOSTS", '["agent.example"]')
    monkeypatch.setenv("VITARMM_SERVER_ORIGINS", f'["{STUDIO}"]')
    route = Route("/runs", ran, methods=["GET", "POST"])
    app = Starlette(routes=[route], middleware=[Middleware(OwnOrigin)])
    with TestClient(app, base_url="http://127.0.0.1:2024") as opened:
        yield opened


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:2024", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "localhost:2024"}, 200),
        ({"host": "agent.example"}, 200),
        ({"host": "10.0.0.7:8000"}, 200),
        ({"host": "[::1]:2024"}, 200),
        ({"origin": STUDIO, "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "evil.example", "origin": STUDIO}, 421),
        ({"host": ""}, 421),
    ],
)
def test_who_may_use_the_server(client: TestClient, headers: dict[str, str], status: int) -> None:
    for answer in (client.get("/runs", headers=headers), client.post("/runs", headers=headers)):
        assert answer.status_code == status and (answer.text == "ran") == (status == 200)


def test_only_allowed_origins_may_read(client: TestClient) -> None:
    asks = {"origin": STUDIO, "access-control-request-method": "POST"}
    assert client.options("/runs", headers=asks).headers["access-control-allow-origin"] == STUDIO
    answer = client.get("/runs", headers={"origin": STUDIO})
    assert answer.headers["access-control-allow-origin"] == STUDIO
    refused = client.options("/runs", headers=asks | {"origin": "https://evil.example"})
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-origin" not in client.get("/runs").headers
