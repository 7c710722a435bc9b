"""Requests to the page: whatever path, query, header and form a visitor sends, it answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.fuzz import fuzzed
from tests.fuzz.strategies import TEXT
from tests.viewer.conftest import settings_in
from vitarmm_agent.viewer import create_app

PATHS = st.sampled_from(
    ["runs", "runs/x", "runs/x/fork", "runs/x/resume", "runs/x/delete", "diff", "media/x", "solve",
     "memory", "memory/review", "memory/undo", "memory/new", "memory/import", "memory/namespaces",
     "memory/export.jsonl", "memory/entry/x", "evaluations", "evaluations/x", "evaluations/x/run", "compare",
     "static/app.js"]
)  # fmt: skip
QUERY = st.dictionaries(
    st.sampled_from(
        [
            "page",
            "turn",
            "text",
            "status",
            "a",
            "b",
            "thread",
            "checkpoint",
            "token",
            "namespace",
            "outcome",
            "row",
            "as_of",
        ]
    ),  # fmt: skip
    TEXT.map(lambda text: text.encode("utf-8", "replace").decode()),
    max_size=3,
)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
HEADERS = st.dictionaries(
    st.sampled_from(["cookie", "origin", "authorization", "x-fragment", "accept", "content-type"]),
    PLAIN,
    max_size=2,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = settings_in(tmp_path_factory.mktemp("fuzz"), memory="off", page_models=())
    with TestClient(
        create_app(settings), base_url="http://127.0.0.1:8765", raise_server_exceptions=True
    ) as opened:
        yield opened


@fuzzed(40)
@given(path=PATHS, query=QUERY, headers=HEADERS, form=QUERY, send=st.booleans())
def test_any_request_is_answered(
    client: TestClient,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    form: dict[str, str],
    send: bool,
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    if send:
        token = re.findall(r'name="csrf" value="([0-9a-f]{64})"', client.get("/solve").text)[0]
        answer = client.post(f"/{path}", params=query, data=form | {"csrf": token}, headers=sent)  # type: ignore[arg-type]
    else:
        answer = client.get(f"/{path}", params=query, headers=sent)  # type: ignore[arg-type]
    assert answer.status_code < 500
    assert "content-security-policy" in answer.headers
